"""What 1.0 wrote is read later: a checkpoint and a finished project, kept as they were, with what they must give."""

import json
import lzma
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy import create_engine

from acol.data.manifest import read_manifest
from acol.prediction.predictor import Predictor
from pipeline import compare, places
from pipeline.outcome import class_lines
from pipeline.params import load_params
from pipeline.tracking.store import StoreError, open_store

KEPT = Path(__file__).parent / "kept"


def test_a_checkpoint_of_1_0_predicts_as_it_did(tmp_path):
    # Timm's test_resnet with pn-0.9, whose weights are a short row of numbers again and again: they compress well.
    (tmp_path / "model.pt").write_bytes(lzma.decompress((KEPT / "model-1.0.pt.xz").read_bytes()))
    y, x = np.mgrid[:48, :64]
    image = np.stack([x * 4, y * 5, (x + y) * 2], -1).astype(np.uint8)
    (found,) = Predictor.load(tmp_path / "model.pt", tau=0.4).predict([image])
    assert found.label == "cat"
    assert found.probabilities == pytest.approx({"cat": 0.976471, "dog": 0.014075, "fox": 0.009454}, abs=1e-4)
    assert found.box == pytest.approx((0, 0, 54.2857, 41.3571), abs=1e-3)
    assert found.map.shape == (48, 64)
    wanted = [[0.98595, 0.96585], [0.99820, 0.91963]]
    np.testing.assert_allclose(found.map[:36:24, ::32], wanted, atol=1e-3)


@pytest.fixture
def project(tmp_path, monkeypatch):
    with tarfile.open(KEPT / "project-1.0.tar.xz") as kept:
        kept.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_of_1_0_is_compared_as_it_was(project, tmp_path):
    params = load_params()
    grid = compare.compare_grid(params, read_manifest(places.MANIFEST, params.data.root))
    assert not grid.missing
    compare.write_tables(project / "again", grid)
    for name in ("summary.json", "best.json"):
        before, now = (json.loads((project / folder / name).read_text()) for folder in ("report", "again"))
        assert now | before == now, name  # what a later version adds is no fault
    best = json.loads((project / "report" / "best.json").read_text())["cell"]
    assert class_lines(project, best)[0].split() == ["class", "images", "named", "right", "box", "right"]


def test_a_store_of_the_mlflow_before_opens_with_its_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    engine = create_engine(store)
    InitialBase.metadata.create_all(engine)
    config = _get_alembic_config(store)
    head = ScriptDirectory.from_config(config).get_current_head()
    command.upgrade(config, f"{head}-1")  # the tables as they were one change ago
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as older, older:
        older.execute("INSERT INTO experiments (name, lifecycle_stage) VALUES ('kept', 'active')")
    try:  # MLflow adds what is missing itself where that is a table, and else asks for a command
        opened = open_store(tmp_path, "acol")
    except StoreError as refused:
        copy, _, upgrade = str(refused).partition("older MLflow; ")[2].partition(", then ")
        subprocess.run(f"{copy} && {sys.executable} -m {upgrade}", shell=True, check=True, capture_output=True)
        assert (tmp_path / "mlflow.db.before").is_file()
        opened = open_store(tmp_path, "acol")
    assert opened.client.get_experiment_by_name("kept")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as now:
        assert now.execute("SELECT version_num FROM alembic_version").fetchall() == [(head,)]
