"""What the tests of faults share: stages without the seconds of their imports, and what MLflow must show."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

CHECKOUT = Path(__file__).parents[2]

# Runs a piece of code in a fork for each folder, all at once; answers with (exit status, seconds) of each.
SERVER = """
import json, os, signal, sys, time, traceback
import mlflow.pyfunc, pathlib, pipeline.live, pipeline.params, pipeline.track, pipeline.tracking.packaged_model
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    started, ended, number = {}, {}, 0
    for folder, environment, output in order["places"]:
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(output, os.O_WRONLY), 1)
            os.dup2(1, 2)
            os.chdir(folder)
            os.environ.update(environment)
            status = 0
            try:
                exec(order["code"])
            except SystemExit as stop:
                status = stop.code or 0
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        started[child] = time.monotonic()
    while len(ended) < len(started):
        child, status = os.wait()
        ended[child] = os.waitstatus_to_exitcode(status), time.monotonic() - started[child]
    print(json.dumps([ended[child] for child in started]), flush=True)
"""

LIVE = """
sys.argv = ["live", "--", sys.executable, "training.py"]
pipeline.live.main()
"""
# The library's source and an example are 40 more files of the same kind.
TRACK = """
import warnings
warnings.filterwarnings("ignore", message=".*input example was not provided")
whole = mlflow.pyfunc.save_model
mlflow.pyfunc.save_model = lambda **options: whole(**{**options, "code_paths": None, "input_example": None})
pipeline.track.main()
"""
# A training of three epochs that says what `write_cell` writes.
TRAINING = """
import json, os, time
def tell(**event):
    with open(os.environ["ACOL_EVENTS"], "a") as file:
        file.write(json.dumps(event) + "\\n")
cell = os.environ["CELL"]
summary = json.load(open(f"models/{cell}/summary.json"))
tell(event="start", cell=cell, key=summary["key"], parameters=summary["parameters"])
for n in (1, 2, 3):
    tell(event="epoch", epoch=n, metrics={"lr": 0.1 / n, "train_loss": 2.0 / n, "val_loss": 3.0 / n})
time.sleep(float(os.environ.get("SECONDS", "2")))
"""
Trained = Callable[[str, Sequence[str]], Path]


@dataclass(frozen=True)
class Done:
    """How a process ended (-number for a signal), how long it took, and what it said."""

    status: int
    seconds: float
    said: str


class Processes:
    """Runs code in processes that have MLflow and the stages loaded already."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._server = subprocess.Popen(
            [*command, sys.executable, "-c", SERVER],
            cwd=CHECKOUT,
            env={key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))}
            | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT), "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer(120) == "ready\n"

    def run(
        self, code: str, folders: Sequence[Path], environments: Sequence[Mapping[str, str]] | None = None
    ) -> list[Done]:
        """Run the code in all the folders at once, each at most for a minute, with more environment variables."""
        with tempfile.TemporaryDirectory() as temporary:
            outputs = [Path(temporary, str(number)) for number in range(len(folders))]
            for output in outputs:
                output.touch()
            places = zip(map(str, folders), environments or [{}] * len(folders), map(str, outputs), strict=True)
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps({"code": code, "places": list(places)}) + "\n")
            self._server.stdin.flush()
            ends = json.loads(self._answer(90))
            return [Done(*end, output.read_text()) for end, output in zip(ends, outputs, strict=True)]

    def live(self, folders: Sequence[Path], environments: Sequence[Mapping[str, str]]) -> list[Done]:
        """Run `pipeline.live` around a training of the cell CELL in all the folders at once."""
        return self.run(LIVE, folders, environments)

    def track(self, folders: Sequence[Path], environments: Sequence[Mapping[str, str]] | None = None) -> list[Done]:
        """Run `pipeline.track` in all the folders at once."""
        return self.run(TRACK, folders, environments)

    def live_and_track(self, folders: Sequence[Path], environments: Sequence[Mapping[str, str]]) -> list[Done]:
        """Run both, one after the other, in all the folders at once."""
        live = "".join(f"    {line}\n" for line in LIVE.splitlines())
        return self.run(f"if os.fork() == 0:\n{live}assert os.wait()[1] == 0\n{TRACK}", folders, environments)

    def close(self) -> None:
        self._server.communicate()

    def _answer(self, seconds: float) -> str:
        assert self._server.stdout is not None
        assert select.select([self._server.stdout], [], [], seconds)[0], "no answer"
        return self._server.stdout.readline()


@pytest.fixture
def trained(project: Path, write_cell: Callable[..., None]) -> Trained:
    """A function that makes a project of a name, which is its experiment's, too, and of trained cells."""

    def make(name: str, heads: Sequence[str]) -> Path:
        for head in heads:
            write_cell(f"lite0-{head}")
        made = shutil.copytree(project, project.with_name(name))
        (made / "training.py").write_text(TRAINING)
        content = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        content["grid"]["heads"] = list(heads)
        content["tracking"]["experiment"] = name
        (made / "params.yaml").write_text(yaml.safe_dump(content))
        return made

    return make


class Expected:
    """Holds an MLflow store against the files that `write_cell` writes."""

    @staticmethod
    def shown(database: Path, artifacts: Path, experiment: str) -> list[dict[str, Any]]:
        """Return the runs that stand in an experiment, by their names; `artifacts` keeps those of all."""
        client = MlflowClient(f"sqlite:///{database}")
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return []
        runs = []
        for run in client.search_runs([found.experiment_id], order_by=["attributes.run_name"]):
            models = [client.get_logged_model(model.model_id) for model in run.outputs.model_outputs]
            ids = [run.info.run_id, *(f"models/{model.model_id}" for model in models)]
            folders = [folder for name in ids for folder in artifacts.glob(f"*/{name}/artifacts")]
            runs.append(
                {
                    "name": run.info.run_name,
                    "status": run.info.status,
                    "params": run.data.params,
                    "history": {
                        name: sorted(
                            (point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)
                        )
                        for name in run.data.metrics
                    },
                    "models": [str(model.status) for model in models],
                    "files": {
                        path.relative_to(folder).as_posix().partition("+")[0]  # names of images go on with the time
                        for folder in folders
                        for path in folder.rglob("*")
                        if path.is_file() and path.stat().st_size
                    },
                }
            )
        return runs

    @staticmethod
    def wanted(cell: str, size: int = 2) -> dict[str, Any]:
        """Return the one run of a cell whose checkpoint has so many bytes."""
        backbone, letters, *deltas = cell.split("-")
        history = {
            "lr": [(n, 0.1 / n) for n in (1, 2, 3)],
            "train_loss": [(n, 2.0 / n) for n in (1, 2, 3)],
            "val_loss": [(n, 3.0 / n) for n in (1, 2, 3)],
            "seconds": [(n, 1.5) for n in (1, 2, 3)],
            "train_images_per_s": [(n, 100.0 + n) for n in (1, 2, 3)],
        }
        headline = {
            "best_epoch": 3.0,
            "epochs_run": 3.0,
            "best_val_accuracy": 0.5,
            "best_val_loss": 1.0,
            "accuracy_top1": 0.75,
            "max_box_acc_v2": 1.0,
            "train_seconds": 4.5,
            "size_mb": size / 1e6,
        }
        return {
            "name": cell,
            "status": "FINISHED",
            "params": {
                "backbone": backbone,
                "head": "-".join([letters, *deltas]),
                "recipe": "-".join([letters, *deltas]),
                "letters": letters,
                "deltas": ",".join(deltas),
                "seed": "7",
                "train.lr": "0.01",
                "data.annotations": "None",
                "pretrained.mean": "0.5,0.4,0.3",
                "pretrained": "package",
                "pretrained.licence": "Apache-2.0",
                "tau": "0.4",
                "scales": "[1.0]",
                "map": "cam",
                "calibration/temperature": "1.0",
                "calibration/most": "1.0",
                "calibration/images": "0",
                "calibration/calibrated": "False",
            }
            | {f"delta_{number}": delta for number, delta in enumerate(deltas, 1)},
            "history": history | {name: [(0, value)] for name, value in headline.items()},
            "models": ["READY"],
            "files": {
                "panels/sample-01.png",
                "panels/curves.png",
                "results/metrics.json",
                "results/details.json",
                "results/images.csv",
                "results/maps.npz",
                "training/summary.json",
                "training/history.csv",
                f"training/{cell}.csv",
                "environment/params.yaml",
                "MLmodel",
                "packaged_model.py",
                "requirements.txt",
                "conda.yaml",
                "python_env.yaml",
                "artifacts/best.pt",
                "images/test photograph 1",
            },
        }


@pytest.fixture(scope="session")
def expected() -> Expected:
    """Holds an MLflow store against the files that `write_cell` writes."""
    return Expected()


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Runs code in processes that have MLflow and the stages loaded already."""
    started = Processes()
    assert started.ready
    yield started
    started.close()
