"""The runs that the store holds of this project's cells and of their comparison."""

import os
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.tracking.locations import database_of, experiment_name, store_uri
from pipeline.tracking.store import Store, failures
from pipeline.tracking.tags import CELL_TAG, COMPARISON_TAG, OLD_PARENT_TAG, PROCESS_TAG


@dataclass(frozen=True)
class KnownRun:
    """What the store knows of one run."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED
    deleted: bool  # softly: `restore_run` brings it back
    tags: Mapping[str, str]
    artifacts: str = ""  # where its files are, as MLflow has it

    @property
    def has_files(self) -> bool:
        """Whether its files may be there: False if a folder of this machine is gone. Nobody asks a server for them."""
        place = self.artifacts.removeprefix("file://")
        return not place.startswith("/") or os.path.isdir(place)

    @property
    def cell(self) -> str | None:
        """The cell of this run; None if it is not a run of a cell."""
        return self.tags.get(CELL_TAG)

    @property
    def is_ours(self) -> bool:
        """Whether the project made it; an experiment may hold other runs, which are not changed."""
        return any(tag in self.tags for tag in (CELL_TAG, COMPARISON_TAG, OLD_PARENT_TAG))

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

    found: list[KnownRun] = []
    token = None
    with failures(store.uri):
        while True:
            page = store.client.search_runs(
                [store.experiment_id], run_view_type=ViewType.ALL, max_results=1000, page_token=token
            )
            for run in page:
                deleted = run.info.lifecycle_stage == "deleted"
                found.append(KnownRun(run.info.run_id, run.info.status, deleted, run.data.tags, run.info.artifact_uri))
            token = page.token
            if not token:
                return [run for run in found if run.is_ours]


def known_runs_on_disk(root: Path, experiment: str) -> list[KnownRun] | None:
    """Return the same as `known_runs`, read from the project's SQLite file. Importing MLflow would take seconds.

    None if that is impossible: another kind of store, a new one, or tables of another MLflow version.
    """
    database = database_of(store_uri(root))
    if database is None or not database.exists():
        return None
    query = """
        SELECT runs.run_uuid, runs.status, runs.lifecycle_stage, runs.artifact_uri, tags.key, tags.value
        FROM runs JOIN experiments USING (experiment_id) JOIN tags ON tags.run_uuid = runs.run_uuid
        WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active'
        ORDER BY runs.start_time DESC, runs.run_uuid
    """
    found: dict[str, KnownRun] = {}
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            rows = connection.execute(query, (experiment_name(root, experiment),)).fetchall()
    except sqlite3.Error:
        return None
    for run_id, status, stage, artifacts, key, value in rows:
        run = found.setdefault(run_id, KnownRun(run_id, status, stage == "deleted", {}, artifacts or ""))
        found[run_id] = replace(run, tags={**run.tags, key: value})
    return [run for run in found.values() if run.is_ours]
