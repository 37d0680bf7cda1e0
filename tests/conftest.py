"""What the tests of the pipeline share."""

import csv
import functools
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from acol.files import sha256
from pipeline.tracking.store import create_database

ROOT = Path(__file__).parents[1]
TINY = {
    ("grid", "heads"): ["p", "pn-0.6"],
    ("image", "size"): 32,
    ("image", "train_size"): 36,
    ("train", "epochs"): 2,
    ("train", "freeze"): "all but the last stage",
    ("train", "batch_size"): 8,
    ("evaluate", "bootstrap"): 100,
    ("evaluate", "faithfulness"): 4,
    ("gate", "accept_below"): ["centred_box", "norm", "imagenet_cam", "majority_class"],
    ("cams", "sample"): 2,
    ("cams", "failures"): 1,
}
# The files that take longest begin first, so that the processes of `make test` end together.
LONGEST = (
    *("pipeline/test_repro.py", "faults/test_server.py", "pipeline/test_search.py", "pipeline/test_shared_stores.py"),
    *("pipeline/test_retrain.py", "faults/test_repro.py", "pipeline/test_kubeflow.py", "faults/test_kill.py"),
    *("pipeline/test_track.py", "pipeline/test_gate.py", "faults", "test_package.py", "pipeline", "test_docs.py"),
)
SMALL = "timm/test_efficientnet"
_OF_OUTSIDE = ("MLFLOW_", "DVC_", "GIT_", "SHELL")  # DVC runs its stages by SHELL, or sh


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by `LONGEST`, and the others behind them."""
    folder = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(LONGEST) if item.path.is_relative_to(folder / name)), len(LONGEST))

    items.sort(key=place)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 120, after: str = "") -> None:
    """Wait until the condition holds, at most so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, after
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def wait_for_server(process: subprocess.Popen[Any], url: str) -> None:
    """Wait until the server that the process has begun to start answers."""

    def up() -> bool:
        assert process.poll() is None, process.communicate()
        return answers(url)

    wait_for(up)


def stages_in(said: str) -> list[str]:
    """The stages that DVC says it runs, without the file that a stage stands in, and without those that only tell."""
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    return [stage.rpartition(":")[2] for stage in ran if stage not in ("check", "tracked")]


class Project:
    """A copy of this project with its own git, DVC and MLflow."""

    def __init__(self, root):
        self.root = root
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(_OF_OUTSIDE)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "site-cache"),
        }

    def share(self, cache):
        """Keep DVC's cache there; clones do not."""
        (self.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n")

    def run(self, *command, check=True):
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if check and done.returncode:
            pytest.fail(f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def repro(self, *options, check=True):
        """Run `dvc repro`; return the stages that ran."""
        done = self.run("dvc", "repro", *options, check=check)
        return stages_in(done.stdout)

    def would_run(self):
        return self.repro("--dry")

    def edit(self, changes):
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for (section, key), value in changes.items():
            content[section][key] = value
        path.write_text(yaml.safe_dump(content))

    def runs(self):
        """Every active run of a cell: [id, name, status]."""
        query = """SELECT runs.run_uuid, name, status FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
                   WHERE key = 'cell' AND lifecycle_stage = 'active' ORDER BY name"""
        with closing(sqlite3.connect(self.root / "mlflow.db")) as store:
            return [list(run) for run in store.execute(query)]


@pytest.fixture(scope="session", autouse=True)
def _no_arguments() -> Iterator[None]:
    """A command that a test calls sees none of pytest's own arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["test"])
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """DVC's cache of this whole test run: what one tiny project has computed, in any worker, no other one computes."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """Random weights of a whole model that is built and run in a tenth of the time of EfficientNet-Lite0."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(timm.create_model(SMALL.removeprefix("timm/")).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def make_tiny_project(tmp_path_factory, shared_cache, small_weights):
    """A function that copies this project, with settings of which all stages take seconds."""

    def make(changes=()):
        root = tmp_path_factory.mktemp("project")
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            left_out = name.startswith(("tests/", "docs/", "results/", "report/")) or Path(name).name == "dvc.lock"
            if (ROOT / name).is_file() and not left_out:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        project = Project(root)
        project.run("git", "init", "-q")
        project.share(shared_cache)
        shutil.copy(small_weights, root / "small.safetensors")
        backbone = {"model": SMALL, "source": "file", "path": "small.safetensors", "sha256": sha256(small_weights)}
        project.edit(TINY | {("backbones", "lite0"): backbone} | dict(changes))
        drawing = root / "examples" / "footballers" / "dvc.yaml"
        drawing.write_text(drawing.read_text().replace("--per-class 300 --size 176", "--per-class 16 --size 48"))
        return project

    return make


@pytest.fixture
def mlflow_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No MLflow or DVC settings from outside, and none left behind."""
    import mlflow

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DVC_EXP_NAME", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def initialised_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store as MLflow initialises it, which takes seconds: to be copied."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(path)
    return path


@pytest.fixture
def project(tmp_path: Path, initialised_store: Path, mlflow_environment: None) -> Path:
    """A project folder with an empty store in it."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(initialised_store, root / "mlflow.db")
    return root


@pytest.fixture
def write_cell(project: Path, cell_writer: Callable[[Path], Callable[..., None]]) -> Callable[..., None]:
    """A function that writes all files of one cell into `project`, as the stages do."""
    return cell_writer(project)


@pytest.fixture(scope="session")
def cell_writer() -> Callable[[Path], Callable[..., None]]:
    """What `write_cell` is, for any folder."""
    return lambda project: functools.partial(_write_cell, project)


def _write_cell(
    project: Path,
    cell: str = "tiny-pn-0.9",
    epochs: int = 3,
    key: str = "k1",
    accuracy: float = 0.75,
    found: Sequence[bool] = (True,),  # of each test image: whether its object was
    times: tuple[float, float] = (1_700_000_000.0, 1_700_000_004.5),  # the training's start and end, since 1970
) -> None:
    backbone, letters, *deltas = cell.split("-")
    summary = {
        "cell": cell,
        "key": key,
        "backbone": backbone,
        "head": "-".join([letters, *deltas]),
        "recipe": "-".join([letters, *deltas]),
        "letters": letters,
        "deltas": [float(delta) for delta in deltas],
        "seed": 7,
        "num_classes": 2,
        "classes": ["keeper", "referee"],
        "parameters": {
            "train.lr": 0.01,
            "data.annotations": None,
            "pretrained.mean": [0.5, 0.4, 0.3],
            "pretrained": "package",
            "pretrained.licence": "Apache-2.0",
        },
        "best_epoch": epochs,
        "epochs_run": epochs,
        "stopped_early": False,
        "best_val_accuracy": 0.5,
        "best_val_loss": 1.0,
        "data_sha256": "d" * 64,
    }
    for folder in ("models", "results", "cams"):
        (project / folder / cell).mkdir(parents=True, exist_ok=True)
    (project / "models" / cell / "summary.json").write_text(json.dumps(summary))
    (project / "models" / cell / "best.pt").write_bytes(key.encode())
    _write_csv(
        project / "models" / cell / "history.csv",
        [{"epoch": n, "lr": 0.1 / n, "train_loss": 2.0 / n, "val_loss": 3.0 / n} for n in range(1, epochs + 1)],
    )
    _write_csv(
        project / "timing" / f"{cell}.csv",
        [
            {"epoch": n, "started": times[0], "ended": times[1], "seconds": 1.5, "train_images_per_s": 100.0 + n}
            for n in range(1, epochs + 1)
        ],
    )
    (project / "results" / cell / "metrics.json").write_text(
        json.dumps({"accuracy_top1": accuracy, "max_box_acc_v2": sum(found) / len(found)})
    )
    (project / "results" / cell / "details.json").write_text(
        json.dumps({"tau": {"fixed": 0.4, "used": "fixed"}, "scales": [1.0], "test_sha256": "t" * 64})
    )
    paths = [f"a b {number:03d}.png" for number in range(len(found))]
    _write_csv(
        project / "results" / cell / "images.csv",
        [
            {"path": path, "label": "keeper", "correct": 1, "iou": float(there)}
            for path, there in zip(paths, found, strict=True)
        ],
    )
    np.savez(project / "results" / cell / "maps.npz", paths=paths, iou_curves=np.outer(found, np.ones(5)))
    (project / "cams" / cell / "sample-01.png").write_bytes(b"PNG")
    (project / "cams" / cell / "curves.png").write_bytes(b"PNG")
    Image.new("RGB", (6, 4), (200, 30, 30)).save(project / "cams" / cell / "view-01.png")
    manifest = project / "data" / "split" / "manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    labels = [("train", "keeper"), ("train", "keeper"), ("train", "referee"), ("test", "keeper")]
    manifest.write_text(json.dumps({"images": [{"split": split, "label": label} for split, label in labels]}))
    (project / "params.yaml").write_text("tracking: {experiment: acol}\n")


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
