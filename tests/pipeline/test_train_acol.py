"""The founding script's command line, run as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acol.drawing.footballers import draw_footballers
from pipeline.train_acol import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project's folder with a few drawn images in class folders."""
    folder = tmp_path_factory.mktemp("one-off")
    draw_footballers(folder / "drawn", per_class=8, size=48)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def train_acol(folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.train_acol", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )


def test_trains_scores_draws_and_tracks(folder):
    done = train_acol(
        folder, "--input-path", "drawn/images", "--batch-size", "4", "--epochs", "1", "--model", "resnet18",
        "--cls-recipe", "pnp", "--delta-list", "0.9,0.7", "--weights", "none", "--image-size", "64", "--lr", "0.01",
        "--weight-decay", "0.001", "--device", "cpu", "--output", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cell = "resnet18-pnp-0.9-0.7"
    summary = json.loads((folder / "out/models" / cell / "summary.json").read_text())
    assert summary["deltas"] == [0.9, 0.7]
    assert summary["parameters"]["train.weight_decay"] == 0.001
    assert (folder / "out/models" / cell / "best.pt").is_file()
    assert "accuracy_top1" in json.loads((folder / "out/results" / cell / "metrics.json").read_text())
    assert (folder / "out/cams" / cell / "overview.png").is_file()
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["train_acol"], output_format="list")
    assert (run.info.run_name, run.info.status) == (cell, "FINISHED")
    assert {"accuracy_top1", "train_loss", "val_accuracy"} <= run.data.metrics.keys()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cls-recipe", "pq", "--delta-list", "0.9"], "unknown letter 'q'"),
        (["--cls-recipe", "pp"], "0 deltas for 1 erasing steps"),
        (["--cls-recipe", "pp", "--delta-list", "1.5"], "delta 1.5 is outside (0, 1)"),
        (["--cls-recipe", "p", "--model", "resnet19"], "did you mean resnet18?"),
        (["--cls-recipe", "p", "--model", "resnet18", "--weights", "V7"], "resnet18 has IMAGENET1K_V1, DEFAULT"),
        (["--cls-recipe", "p", "--image-path", "nowhere"], "nowhere"),
        (["--cls-recipe", "p", "--epochs", "0"], "--epochs: 0: input should be greater than or equal to 1"),
        (
            ["--cls-recipe", "p", "--model", "resnet18", "--weights", "none", "--batch-size", "999"],
            "batch_size 999: larger than the training set",
        ),
        (["--cls-recipe", "p", "--model", "resnet18", "--weights", "none", "--device", "gpu"], "device 'gpu'"),
    ],
)
def test_refuses_bad_input_in_one_line(folder, arguments, line, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("ACOL_EVENTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["train_acol", "--image-path", "drawn/images", "--output", "bad", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert line in error
    assert not list((folder / "bad").glob("models/*"))
