import base64
import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline import packaged_model
from pipeline.tracking import open_store

pytestmark = pytest.mark.usefixtures("mlflow_environment")
CHECKOUT = Path(__file__).parents[2]

# Stands for the library: predicts the text of its checkpoint, with the whole image as box.
STAND_IN = """
from types import SimpleNamespace
class Predictor:
    @classmethod
    def load(cls, path, tau, scales):
        found = cls()
        assert (tau, list(scales)) == (0.4, [1, 1.5])
        found.label = open(path).read()
        return found
    def predict(self, images):
        return [SimpleNamespace(label=self.label, probability=0.5, box=(0.0, 0.0, 1.0 * i.width, 9.5)) for i in images]
"""

LOG = """
import sys
from pathlib import Path
from pipeline.tracking import open_store
store = open_store(Path.cwd(), "acol")
import mlflow
from pipeline.packaged_model import log_model
with mlflow.start_run(experiment_id=store.experiment_id) as run:
    log_model(Path("best.pt"), 0.4, [1, 1.5])
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
    (library / "data").mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "data" / "images.py").write_text("import PIL.Image as p; read_image = lambda f: p.open(f).copy()")
    (library / "predict.py").write_text(STAND_IN)
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
    assert answer == '[{"label":"keeper","probability":0.5,"x0":0.0,"y0":0.0,"x1":32.0,"y1":9.5}]'
    assert Path(origin).parts[-4:] == ("model", "code", "acol", "__init__.py")  # a copy that MLflow fetched
    kept = {path.name for path in moved.glob("mlartifacts/**/*") if path.is_file()}
    assert not {name for name in kept if name.endswith((".pkl", ".pickle", ".pyc"))}
    assert kept >= {"MLmodel", "requirements.txt", "packaged_model.py", "best.pt"}


def test_a_row_that_is_no_image_is_named() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    good = base64.b64encode(file.getvalue()).decode()
    for bad, problem in {
        "no base64!": "column image is not base64",
        base64.b64encode(b"no image").decode(): "not an image",
        "": "empty file",
    }.items():
        with pytest.raises(ValueError, match=f"^row 1: {problem}"):
            packaged_model.LocalizationModel().predict(None, pd.DataFrame({"image": [good, bad]}))


def test_every_package_that_prediction_imports_is_required() -> None:
    others = ("sklearn", "numba", "matplotlib", "tqdm", "pydantic", "lightning", "dvc")
    code = f"import sys; sys.modules.update(dict.fromkeys({others!r})); import acol.predict, acol.data.images"
    process = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
