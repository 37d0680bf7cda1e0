"""The runs that the store holds of this project's cells and of their comparison, and the tags that tell them apart."""

import functools
import os
import platform
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.tracking.store import Store, failures

# On each run of a cell:
CELL_TAG = "cell"  # its name
REPRO_TAG = "repro"  # when `track` logged it: the runs of one `dvc repro` have the same
KEY_TAG = "acol.key"  # names the training; its live run has it from the start
OUTPUT_TAG = "acol.output"  # on a run of `acol train`: the folder of its files
PROCESS_TAG = "acol.process"  # on a live run: "host:pid" of the process that logs it
FINGERPRINT_TAG = "acol.fingerprint"  # of the files that `track` logs into this run; set before the first of them
COMPLETE_TAG = "acol.complete"  # set last, after all that `track` logs into a run
MODEL_TAG = "acol.model"  # digest of the packaged model
# On the one run `comparison`: fingerprint of the report in it, set last.
COMPARISON_TAG = "acol.comparison"


def commit_of(root: Path) -> str | None:
    """Return the commit of git that a project is at; None outside of git."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return git.stdout.strip() if git.returncode == 0 else None


def surroundings(root: Path, source: str) -> dict[str, str]:
    """Return the tags that say which code logs a run, and on which platform."""
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
    """What the store knows of one run."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED
    deleted: bool  # softly: `restore_run` brings it back
    tags: Mapping[str, str]
    artifacts: frozenset[str] = frozenset()  # where its files and its model's are, as MLflow has it

    @property
    def has_files(self) -> bool:
        """Whether its files may be there: False if a folder of this machine is gone. Nobody asks a server for them."""
        places = (place.removeprefix("file://") for place in self.artifacts)
        return all(os.path.isdir(place) for place in places if place.startswith("/"))

    @property
    def cell(self) -> str | None:
        """The cell of this run; None if it is not a run of a cell."""
        return self.tags.get(CELL_TAG)

    @property
    def is_ours(self) -> bool:
        """Whether the project made it; an experiment may hold other runs, which are not changed."""
        return CELL_TAG in self.tags or COMPARISON_TAG in self.tags

    @property
    def is_logged_here(self) -> bool:
        """Whether a process of this machine is logging a training into it now."""
        host, _, process = self.tags.get(PROCESS_TAG, "").rpartition(":")
        if self.status != "RUNNING" or host != socket.gethostname():
            return False
        try:
            os.kill(int(process), 0)
        except (ValueError, ProcessLookupError):
            return False
        except PermissionError:  # another user's: it lives
            pass
        return True


def known_runs(store: Store) -> list[KnownRun]:
    """Return the project's runs in its experiment, the latest first, softly deleted ones included.

    Raises `StoreError`.
    """
    from mlflow.entities import ViewType

    client, experiments = store.client, [store.experiment_id]
    with failures(store.uri):
        places: dict[str, set[str]] = {}
        for model in _pages(functools.partial(client.search_logged_models, experiments)):
            places.setdefault(model.source_run_id, set()).add(model.artifact_location)
        runs = functools.partial(client.search_runs, experiments, run_view_type=ViewType.ALL, max_results=1000)
        found = [
            KnownRun(
                run.info.run_id,
                run.info.status,
                run.info.lifecycle_stage == "deleted",
                run.data.tags,
                frozenset({run.info.artifact_uri, *places.get(run.info.run_id, ())}),
            )
            for run in _pages(runs)
        ]
    return [run for run in found if run.is_ours]


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield what a search of MLflow finds, page by page."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        if not (token := page.token):
            return
