"""The runs of this project's cells and of their comparison in the MLflow store, and the tags that distinguish them."""

import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import psutil

from pipeline.tracking.store import Store, failures

CHECKPOINT = "artifacts/best.pt"  # where MLflow keeps it among a model's files
# Tags of a cell's run:
CELL_TAG = "cell"  # the cell's name
REPRO_TAG = "repro"  # when `track` logged it; all runs of one `dvc repro` have the same time
KEY_TAG = "acol.key"  # the training's key; a live run has it from the start
OUTPUT_TAG = "acol.output"  # on a run of `acol train`: the folder of its files
PROCESS_TAG = "acol.process"  # on a live run: "host:pid" of the process that logs it
FINGERPRINT_TAG = "acol.fingerprint"  # of the files that `track` logs into the run; set before the first file
COMPLETE_TAG = "acol.complete"  # set last, when `track` has logged everything
MODEL_TAG = "acol.model"  # digest of the packaged model
# Tag of the one run `comparison`: the fingerprint of its report, set last.
COMPARISON_TAG = "acol.comparison"


def commit_of(root: Path) -> str | None:
    """Return the git commit that is checked out in a project; None outside of git."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return git.stdout.strip() if git.returncode == 0 else None


def environment_tags(root: Path, source: str) -> dict[str, str]:
    """Return the tags that say which code logs a run, and on which platform. `source` is the name of the module."""
    tags = {
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "python": platform.python_version(),
        "torch": version("torch"),
        "platform": platform.platform(),
    }
    return tags | ({"mlflow.source.git.commit": commit} if (commit := commit_of(root)) else {})


@dataclass(frozen=True)
class KnownRun:
    """What the store says about one run. `artifacts` are the places of its files and of its model's checkpoint."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED
    deleted: bool  # softly: `restore_run` brings it back
    tags: Mapping[str, str]
    artifacts: frozenset[str] = frozenset()

    @property
    def has_files(self) -> bool:
        """Whether its files may exist: False if a place on this machine is gone. A server is not asked."""
        places = (unquote(uri.removeprefix("file://")) if "://" in uri else uri for uri in self.artifacts)
        return all(os.path.exists(place) for place in places if place.startswith("/"))

    @property
    def cell(self) -> str | None:
        """The name of the run's cell; None if it is not a run of a cell."""
        return self.tags.get(CELL_TAG)

    @property
    def is_logged_here(self) -> bool:
        """Whether a process on this machine is logging a training into the run now."""
        host, _, process = self.tags.get(PROCESS_TAG, "").rpartition(":")
        here = self.status == "RUNNING" and host == socket.gethostname() and process.isdecimal()
        return here and psutil.pid_exists(int(process))


def known_runs(store: Store) -> list[KnownRun]:
    """Return the project's runs in the experiment of the store that was opened last, also the softly deleted ones.

    The latest run comes first. Raises `StoreError`.
    """
    import mlflow
    from mlflow.entities import ViewType

    experiments = [store.experiment_id]
    with failures(store.uri):
        # A model's files lie in a folder of their own, beside those of its run.
        places: dict[str, set[str]] = {}
        for model in mlflow.search_logged_models(experiments, output_format="list"):
            places.setdefault(model.source_run_id, set()).add(f"{model.artifact_location}/{CHECKPOINT}")
        runs = [
            KnownRun(
                run.info.run_id,
                run.info.status,
                run.info.lifecycle_stage == "deleted",
                run.data.tags,
                frozenset({run.info.artifact_uri, *places.get(run.info.run_id, ())}),
            )
            for run in mlflow.search_runs(experiments, run_view_type=ViewType.ALL, output_format="list")
        ]
    # An experiment may hold runs that this project did not make; they stay as they are.
    return [run for run in runs if {CELL_TAG, COMPARISON_TAG} & run.tags.keys()]
