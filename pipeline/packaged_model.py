"""The model as MLflow keeps it: this file, the library's source and the checkpoint; nothing pickled.

MLflow runs a copy of this file where the model is loaded, so it imports nothing else of the pipeline.
"""

import base64
import binascii
import importlib.metadata
import importlib.util
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from acol.predict import Predictor

# What `acol.predict` imports, and what reads the request.
REQUIREMENTS = ("mlflow", "torch", "torchvision", "numpy", "opencv-python-headless", "pandas", "pillow")
BOX = ("x0", "y0", "x1", "y1")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "label"),
            ColSpec(DataType.double, "probability"),
            *(ColSpec(DataType.double, edge) for edge in BOX),
        ]
    ),
)


class LocalizationModel(PythonModel):  # type: ignore[misc]  # MLflow's base class is untyped
    """Images in, a row for each out: label, its probability in [0, 1], and box in the image's pixels (half-open).

    The input is a table whose column `image` holds image files (JPEG, PNG, ...) in base64. Raises `ValueError` naming
    the row that is none.
    """

    _predictor: "Predictor"

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint, which MLflow put beside this file."""
        from acol.predict import Predictor

        settings = context.model_config  # the box threshold and sizes by which the model was evaluated
        self._predictor = Predictor.load(
            context.artifacts["checkpoint"], tau=settings["tau"], scales=settings["scales"]
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict all rows of `model_input` in their order."""
        with tempfile.TemporaryDirectory(prefix="acol-") as folder:
            images = [_image(text, Path(folder, f"row {row}")) for row, text in enumerate(model_input["image"])]
        rows = [(found.label, found.probability, *found.box) for found in self._predictor.predict(images)]
        return pd.DataFrame(rows, columns=["label", "probability", *BOX])


def log_model(checkpoint: Path, tau: float, scales: Sequence[float]) -> None:
    """Log the model of a checkpoint into MLflow's active run as `model`.

    `tau` and `scales` are those of `acol.predict.Predictor`; who loads the model can override them by `model_config`.
    """
    library = importlib.util.find_spec("acol")
    assert library is not None
    assert library.origin is not None
    mlflow.pyfunc.log_model(
        name="model",
        python_model=__file__,
        artifacts={"checkpoint": str(checkpoint)},
        model_config={"tau": tau, "scales": list(scales)},
        code_paths=[str(Path(library.origin).parent)],
        signature=SIGNATURE,
        input_example=pd.DataFrame({"image": [_example()]}),
        # Named here since MLflow would otherwise find them out by running the model in a new process.
        pip_requirements=[f"{name}=={_version(name)}" for name in REQUIREMENTS],
    )


def _version(name: str) -> str:
    return importlib.metadata.version(name).partition("+")[0]  # "2.13.0+cpu" is no version that an index knows


def _image(text: str, path: Path) -> Image.Image:
    from acol.data.images import read_image

    try:
        path.write_bytes(base64.b64decode(text, validate=True))
        return read_image(path)  # the library's one way to pixels: orientation, transparency, limits
    except binascii.Error as error:
        raise ValueError(f"{path.name}: column image is not base64 ({error})") from None
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from None


def _example() -> str:
    image = Image.new("RGB", (32, 32), (60, 120, 60))
    ImageDraw.Draw(image).ellipse((8, 6, 22, 26), fill=(220, 180, 150))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


set_model(LocalizationModel())
