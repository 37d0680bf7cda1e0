"""The model as MLflow keeps it: this file, the library's source and the checkpoint. Nothing is pickled.

MLflow runs a copy of this file where the model is loaded, so the file imports nothing else of the pipeline.
"""

import base64
import importlib.metadata
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Map
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from acol.metrics.calibration import Calibration
    from acol.prediction.predictor import Predictor

# The packages that `acol.prediction.predictor` imports, and those that read the request.
REQUIREMENTS = ("mlflow", "torch", "torchvision", "numpy", "opencv-python-headless", "pandas", "pillow")
CORNERS = ("x0", "y0", "x1", "y1")
_URL_SAFE = str.maketrans("-_", "+/")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "label"),
            ColSpec(DataType.double, "probability"),
            ColSpec(Map(DataType.double), "probabilities"),
            *(ColSpec(DataType.double, name) for name in CORNERS),
            ColSpec(DataType.string, "map"),
        ]
    ),
)


class LocalizationModel(PythonModel):  # type: ignore[misc]  # MLflow's base class is untyped
    """Takes images and returns a row for each: label, its probability in [0, 1], that of every class, box and map.

    The input is a table with a column `image`. It holds image files (JPEG, PNG, ...) as base64 text, which may have
    several lines, or as bytes, uint8 arrays (H, W, 3), or paths as `pathlib.Path`. Text is never a path, and no request
    can hold a `Path`. So a served model reads no file of its server. The box is in the image's pixels (half-open). The
    map is a grayscale PNG in base64, at the image's size but at most 1024 pixels a side. Raises `MlflowException` (a
    bad request if the model is served) that names the first row that is not an image or is above the limits of
    `acol.prediction.uploads`.
    """

    _predictor: "Predictor"

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint, which MLflow put beside this file."""
        from acol.metrics.calibration import Calibration
        from acol.prediction.predictor import Predictor

        settings = context.model_config  # how the model was evaluated
        self._predictor = Predictor.load(
            context.artifacts["checkpoint"],
            tau=settings["tau"],
            scales=settings["scales"],
            calibration=Calibration(**settings.get("calibration", {})),  # older models have neither this nor a map
            map_name=settings.get("map", "cam"),
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict all rows of `model_input` in their order."""
        images = (_as_image(image, f"row {row}") for row, image in enumerate(model_input["image"]))  # one in memory
        rows = []
        for prediction in self._predictor.predict(images):
            score_map = base64.b64encode(prediction.map_png()).decode()
            row = (prediction.label, prediction.probability, prediction.probabilities, *prediction.box, score_map)
            rows.append(row)
        return pd.DataFrame(rows, columns=SIGNATURE.outputs.input_names())


class _SavedUnopened:
    """MLflow's own way to save such a model; its `log_model` would also open each one and answer the example."""

    @staticmethod
    def save_model(validate_serving_input: bool, **options: Any) -> None:
        """Save it, without the option that is meant for `Model.log` alone."""
        mlflow.pyfunc.save_model(**options)


def log_model(
    checkpoint: Path, tau: float, scales: Sequence[float], calibration: "Calibration", map_name: str = "cam"
) -> str:
    """Log the model of a checkpoint into MLflow's active run as `model`, and return its id.

    `tau`, `scales`, `calibration` and `map_name` are those of `acol.prediction.predictor.Predictor`. Who loads the
    model can override them with `model_config`.
    """
    import acol

    logged = Model.log(
        artifact_path=None,
        name="model",
        flavor=_SavedUnopened,
        flavor_name="pyfunc.ModelFromCode",
        validate_serving_input=False,
        python_model=__file__,
        artifacts={"checkpoint": str(checkpoint)},
        model_config={"tau": tau, "scales": list(scales), "calibration": asdict(calibration), "map": map_name},
        code_paths=[str(Path(str(acol.__file__)).parent)],
        signature=SIGNATURE,
        input_example=pd.DataFrame({"image": [_example_image()]}),
        # Without this list MLflow would run the model in a new process to find them.
        pip_requirements=[f"{name}=={_version(name)}" for name in REQUIREMENTS],
    )
    return str(logged.model_id)


def _version(name: str) -> str:
    return importlib.metadata.version(name).partition("+")[0]  # package indexes have no "2.13.0+cpu"


def _as_image(image: object, name: str) -> Image.Image:
    from acol.errors import InputError
    from acol.prediction import uploads

    try:
        match image:
            case str():
                return uploads.read_bytes(_decode_base64(image, name), name)
            case bytes():
                return uploads.read_bytes(image, name)
            case Path():
                return uploads.read_file(image, name)
            case np.ndarray():
                return uploads.read_array(image, name)
        raise InputError(f"{name}: {type(image).__name__} is not an image; give base64 text, bytes, pixels or a Path")
    except InputError as error:
        raise MlflowException.invalid_parameter_value(str(error)) from None


def _decode_base64(text: str, name: str) -> bytes:
    from acol.errors import InputError
    from acol.prediction.uploads import MAX_BYTES

    # MIME and the command base64 break the text into lines, and a browser writes a data URL. In URLs "-" and "_" stand
    # for "+" and "/", and the padding may be missing.
    text = re.sub(r"^data:[^,]*,|[\s=]", "", text, flags=re.IGNORECASE).translate(_URL_SAFE)
    text += "=" * (-len(text) % 4)
    if len(text) > 4 * (MAX_BYTES // 3 + 1):
        raise InputError(f"{name}: more than {MAX_BYTES} bytes; save it smaller")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # not only binascii.Error: text that is not ASCII raises another one
        raise InputError(f"{name}: column image is not base64 ({error}); encode the image file") from None


def _example_image() -> str:
    image = Image.new("RGB", (32, 32), (60, 120, 60))
    ImageDraw.Draw(image).ellipse((8, 6, 22, 26), fill=(220, 180, 150))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


set_model(LocalizationModel())
