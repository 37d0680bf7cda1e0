"""A registered champion with a real network."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import torch

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.network.checkpoint import ModelCard, save_model
from pipeline.gate import gate
from pipeline.params import load_params
from pipeline.track import track

ROOT = Path(__file__).parents[2]
CELL = "shufflenet_v2_x0_5-pn-0.9"
CLASSES = ("keeper", "referee")


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory,
    initialised_store: Path,
    cell_writer: Callable[[Path], Callable[..., None]],
) -> Path:
    """A project whose one cell is the champion."""
    root = tmp_path_factory.mktemp("registered")
    shutil.copy(initialised_store, root / "mlflow.db")
    cell_writer(root)(CELL)
    torch.manual_seed(0)
    model = ACoL("shufflenet_v2_x0_5", "pn-0.9", len(CLASSES), output_stride=16)
    card = ModelCard("shufflenet_v2_x0_5", "pn-0.9", 16, CLASSES, Preprocessing(64, 72), "float32")
    save_model(root / "models" / CELL / "best.pt", card, model.state_dict())
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        (root / "report").mkdir()
        (root / "report" / "runs.json").write_text(json.dumps(track([CELL], root, "acol")))
        (root / "report" / "best.json").write_text(json.dumps({"cell": CELL}))
        assert gate(root, load_params(ROOT / "params.yaml")).champion == 1
    mlflow.set_tracking_uri(None)
    return root
