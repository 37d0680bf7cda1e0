import base64
import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from acol.prediction.predictor import Prediction
from pipeline.tracking import packaged_model
from pipeline.tracking.store import open_store

pytestmark = pytest.mark.usefixtures("mlflow_environment")
CHECKOUT = Path(__file__).parents[3]

# Stands for the library: predicts the text of its checkpoint, with the whole image as box.
STAND_IN = """
from types import SimpleNamespace
class Predictor:
    @classmethod
    def load(cls, path, tau, scales, calibration, map_name):
        found = cls()
        assert (tau, list(scales), calibration.images, map_name) == (0.4, [1, 1.5], 8, "cam+late")
        found.label = open(path).read()
        return found
    def predict(self, images):
        return [SimpleNamespace(label=self.label, probability=0.5, probabilities={self.label: 0.5, "referee": 0.5},
            box=(0.0, 0.0, 1.0 * i.width, 9.5), map_png=lambda: b"PNG") for i in images]
"""

LOG = """
import sys
from collections.abc import Iterable
from pathlib import Path
from pipeline.tracking.store import open_store
store = open_store(Path.cwd(), "acol")
import mlflow
from acol.metrics.calibration import Calibration
from pipeline.tracking.packaged_model import log_model
with mlflow.start_run(experiment_id=store.experiment_id) as run:
    log_model(Path("best.pt"), 0.4, [1, 1.5], Calibration(images=8), "cam+late")
print(run.info.run_id)
"""

LOAD = """
import sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
print(model.predict(model.input_example).to_json(orient="records"))
import acol
print(acol.__file__)
"""


def test_the_logged_model_works_anywhere_without_the_checkout(project: Path, tmp_path: Path) -> None:
    library = tmp_path / "library" / "acol"
    (library / "prediction").mkdir(parents=True)
    (library / "metrics").mkdir()
    (library / "metrics" / "calibration.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Calibration:\n    images: int = 0"
    )
    (library / "__init__.py").touch()
    (library / "errors.py").write_text("class InputError(ValueError): pass\nclass MachineError(RuntimeError): pass")
    reader = "import io, PIL.Image as p\nread_bytes = lambda b, name: p.open(io.BytesIO(b)).copy()\nMAX_BYTES = 9999"
    (library / "prediction" / "uploads.py").write_text(reader)
    (library / "prediction" / "predictor.py").write_text(STAND_IN)
    (project / "best.pt").write_text("keeper")
    log = subprocess.run(
        [sys.executable, "-c", LOG],
        cwd=project,
        env={**os.environ, "PYTHONPATH": f"{library.parent}{os.pathsep}{CHECKOUT}"},
        capture_output=True,
        text=True,
    )
    assert log.returncode == 0, log.stderr
    assert "Failed to validate" not in log.stderr
    moved = project.rename(tmp_path / "moved")
    store = open_store(moved, "acol")
    (library / "__init__.py").write_text("raise ImportError('not from the model')")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    load = subprocess.run(
        [sys.executable, "-c", LOAD, store.uri, f"runs:/{log.stdout.strip()}/model"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert load.returncode == 0, load.stderr
    answer, origin = load.stdout.splitlines()[-2:]
    assert json.loads(answer) == [
        {
            "label": "keeper",
            "probability": 0.5,
            "probabilities": {"keeper": 0.5, "referee": 0.5},
            "x0": 0,
            "y0": 0,
            "x1": 32,
            "y1": 9.5,
            "map": base64.b64encode(b"PNG").decode(),
        }
    ]
    assert Path(origin).parts[-4:] == ("model", "code", "acol", "__init__.py")  # a copy that MLflow fetched
    kept = {path.name for path in moved.glob("mlartifacts/**/*") if path.is_file()}
    assert not {name for name in kept if name.endswith((".pkl", ".pickle", ".pyc"))}
    assert kept >= {"MLmodel", "requirements.txt", "packaged_model.py", "best.pt"}


class Colour:
    """A predictor that answers with an image's colour and size."""

    def predict(self, images: Iterable[Image.Image]) -> list[Prediction]:
        return [
            Prediction(label := str(image.getpixel((0, 0))), 1.0, {label: 1.0}, np.ones((4, 4), np.float32), image.size)
            for image in images
        ]


def model() -> packaged_model.LocalizationModel:
    model = packaged_model.LocalizationModel()
    model._predictor = Colour()
    return model


def png(width: int = 8, height: int = 8, colour: tuple[int, int, int] = (9, 80, 200)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims to be large."""
    header = b"IHDR" + struct.pack(">II", width, height) + png()[24:29]
    return png()[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]


def test_bytes_base64_a_path_and_an_array_are_one_image(tmp_path: Path) -> None:
    file = tmp_path / "a b.png"
    file.write_bytes(png(30, 20))
    texts = [base64.b64encode(png(30, 20)).decode(), base64.encodebytes(png(30, 20)).decode()]
    assert "\n" in texts[1].strip()
    texts.append(f"data:image/png;base64,{texts[0]}")
    texts.append(base64.urlsafe_b64encode(png(30, 20)).decode().rstrip("="))
    images = [png(30, 20), *texts, file, np.full((20, 30, 3), (9, 80, 200), np.uint8)]
    answers = model().predict(None, pd.DataFrame({"image": pd.Series(images, dtype=object)}))
    assert list(answers.columns) == packaged_model.SIGNATURE.outputs.input_names()
    assert len(answers.drop_duplicates(["label", "x1", "y1", "map"])) == 1
    assert answers.iloc[-1][["label", "x1", "y1"]].tolist() == ["(9, 80, 200)", 30, 20]


def test_the_map_is_a_grayscale_png_of_the_images_size_up_to_a_limit() -> None:
    answers = model().predict(None, pd.DataFrame({"image": [png(30, 20), png(4096, 100)]}))
    maps = [Image.open(io.BytesIO(base64.b64decode(text))) for text in answers["map"]]
    assert [(score_map.mode, score_map.size) for score_map in maps] == [("L", (30, 20)), ("L", (1024, 25))]
    assert maps[0].getextrema() == (255, 255)


def test_a_row_that_is_no_image_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    problems: list[tuple[object, str]] = [
        ("no base64!", "column image is not base64"),
        ("bäse64", "column image is not base64"),
        (str(secret), "column image is not base64"),  # a request reads no file of the server
        ("A" * 28_000_000, "more than 20971520 bytes; save it smaller"),
        (bytes(20 * 2**20 + 1), "more than 20971520 bytes; save it smaller"),
        (base64.b64encode(b"no image").decode(), "not an image"),
        (png(300, 300)[:200], "truncated or damaged"),
        ("", "empty file"),
        (claiming(25_000, 25_000), "more than 178956970 pixels"),
        (claiming(8_000, 8_000), "8000 x 8000 is more than 50000000 pixels; save it smaller"),
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "no such file"),
        (None, "NoneType is not an image; give base64 text, bytes, pixels or a Path"),
        (0.5, "float is not an image"),
        ([[[0, 0, 0]]], "list is not an image"),
        (np.zeros((4, 4, 3)), "float64 array of shape (4, 4, 3); give uint8 pixels (H, W, 3)"),
        (np.zeros((4, 4), np.uint8), "uint8 array of shape (4, 4)"),
        (np.zeros((0, 4, 3), np.uint8), "uint8 array of shape (0, 4, 3)"),
    ]
    for bad, problem in problems:
        with pytest.raises(MlflowException, match=f"^row 1: {re.escape(problem)}") as raised:
            model().predict(None, pd.DataFrame({"image": pd.Series([png(), bad], dtype=object)}))
        assert raised.value.get_http_status_code() == 400


def test_every_package_that_prediction_imports_is_required() -> None:
    others = ("sklearn", "numba", "matplotlib", "tqdm", "pydantic", "lightning", "dvc")
    modules = "acol.prediction.uploads, acol.prediction.predictor"
    code = f"import sys; sys.modules.update(dict.fromkeys({others!r})); import {modules}"
    process = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
