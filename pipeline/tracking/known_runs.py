"""The runs that the store holds of this project's cells and of their comparison."""

import functools
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.tracking.locations import database_of, experiment_name, store_uri
from pipeline.tracking.store import Store, failures
from pipeline.tracking.tags import CELL_TAG, COMPARISON_TAG, PROCESS_TAG, ROOT_TAG


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
        return any(tag in self.tags for tag in (CELL_TAG, COMPARISON_TAG))

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


def known_runs_on_disk(root: Path, experiment: str) -> list[KnownRun] | None:
    """Return the same as `known_runs`, read from the project's SQLite file. Importing MLflow would take seconds.

    None if that is impossible: another kind of store, one that is new, moved or without runs, or tables of another
    MLflow version.
    """
    database = database_of(store_uri(root))
    if database is None or not database.exists():
        return None
    query = """
        SELECT runs.run_uuid, runs.status, runs.lifecycle_stage, runs.artifact_uri, models.artifact_location,
            tags.key, tags.value
        FROM runs JOIN experiments USING (experiment_id) JOIN tags ON tags.run_uuid = runs.run_uuid
        LEFT JOIN logged_models models ON models.source_run_id = runs.run_uuid AND models.lifecycle_stage = 'active'
        WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active' AND EXISTS (
            SELECT 1 FROM experiment_tags here
            WHERE here.experiment_id = experiments.experiment_id AND here.key = ? AND here.value = ?
        )
        ORDER BY runs.start_time DESC, runs.run_uuid
    """
    found: dict[str, KnownRun] = {}
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            asked = (experiment_name(root, experiment), ROOT_TAG, str(database.parent))
            rows = connection.execute(query, asked).fetchall()
    except sqlite3.Error:
        return None
    if not rows:
        return None
    for run_id, status, stage, own, model, key, value in rows:
        run = found.setdefault(run_id, KnownRun(run_id, status, stage == "deleted", {}))
        places = run.artifacts | {place for place in (own, model) if place}
        found[run_id] = replace(run, tags={**run.tags, key: value}, artifacts=places)
    return [run for run in found.values() if run.is_ours]
