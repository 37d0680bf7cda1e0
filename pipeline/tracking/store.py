"""Where MLflow's store is and how it is opened: made once, quiet, and following the project when its folder moves."""

import logging
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock

from acol.errors import InputError
from pipeline.tracking import view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

CELL_TAG = "cell"  # on each run of a cell: its name
KEY_TAG = "acol.key"  # on each run of a cell: names the training; its live run has it from the start
PROCESS_TAG = "acol.process"  # on a live run: "host:pid" of the process that logs it
COMPLETE_TAG = "acol.complete"  # set last, after all that `track` logs into a run
REPRO_TAG = "acol.repro"  # on each parent run that `track` makes, and on no other
PARENT_TAG = "mlflow.parentRunId"
ROOT_TAG = "acol.root"  # on each experiment: the folder that its stored artifact locations point into
EXPERIMENTS_FOLDER = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and `--queue` put their copies of the project
PARAM_LENGTH = 6000  # MLflow's limits
BATCH_PARAMS, BATCH_METRICS = 100, 1000

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # one for each small file
    # MLflow's own 120 s and 7 retries let a hanging server hold a stage for a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
# Each of these columns may hold an absolute path (MLflow 3.17 stores relative locations as absolute ones).
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class StoreError(RuntimeError):
    """MLflow did not take what it was given: the message is one line that names the store and the reason."""


@dataclass(frozen=True)
class Store:
    """An opened MLflow store and the experiment of this project in it."""

    uri: str
    client: "MlflowClient"
    experiment_id: str


def project_root(root: Path) -> Path:
    """Return the folder of the main project: `root`, unless that is DVC's temporary copy for an experiment."""
    root = root.resolve()
    for end in range(1, len(root.parts) - len(EXPERIMENTS_FOLDER)):
        if root.parts[end : end + len(EXPERIMENTS_FOLDER)] == EXPERIMENTS_FOLDER:
            return Path(*root.parts[:end])
    return root


def experiment_name(root: Path, name: str) -> str:
    """Return the MLflow experiment's name: `name`, and in DVC's temporary copy for an experiment also that one's.

    So the cells of a queued experiment stand beside the workspace's instead of replacing them.
    """
    if project_root(root) == root.resolve():
        return name
    return f"{name}/{os.environ.get('DVC_EXP_NAME') or root.resolve().name}"


def store_uri(root: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, by default a SQLite file; a relative SQLite path is one in the main project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        path, *query = uri.removeprefix("sqlite:///").split("?", 1)
        uri = "?".join([f"sqlite:///{(project_root(root) / path).resolve()}", *query])
    return uri


def store_lock(root: Path) -> FileLock:
    """Return the lock of this machine under which the project's runs and registered models are brought in line."""
    return FileLock(project_root(root) / "mlflow.db.track.lock")


@dataclass(frozen=True)
class KnownRun:
    """What the store knows of one run of a cell, or of one parent that `track` made."""

    run_id: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED
    deleted: bool  # softly: `restore_run` brings it back
    tags: Mapping[str, str]

    @property
    def cell(self) -> str | None:
        """The cell that it is a run of; None for a parent."""
        return self.tags.get(CELL_TAG)


def open_store(root: Path, experiment: str) -> Store:
    """Open the store of the project in `root` and the named experiment in it, making what is missing.

    Safe to call from many processes at once, on a fresh store too. A SQLite store whose folder moved is mended first.
    Raises `StoreError`.
    """
    uri = store_uri(root)
    with failures(uri):
        client = _client(uri)
        return Store(uri, client, _experiment_id(client, experiment_name(root, experiment), _database(uri)))


def open_existing(root: Path) -> "MlflowClient":
    """Open the store of the project in `root` as `open_store` does, but make none.

    Raises `InputError` where there is none, and `StoreError`.
    """
    uri = store_uri(root)
    database = _database(uri)
    if database is not None and not database.is_file():
        raise InputError(f"{database}: no such file; run `dvc repro` first, or name a store by MLFLOW_TRACKING_URI")
    with failures(uri):
        return _client(uri)


def known_runs(store: Store) -> list[KnownRun]:
    """Return all runs of cells and their parents that `track` made, the latest first, softly deleted ones included.

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
                found.append(KnownRun(run.info.run_id, run.info.status, deleted, run.data.tags))
            token = page.token
            if not token:
                return [run for run in found if _is_ours(run)]


def known_runs_on_disk(root: Path, experiment: str) -> list[KnownRun] | None:
    """Return what `known_runs` does, read from the project's SQLite file without MLflow, whose import takes seconds.

    None where that cannot be: another kind of store, a fresh one, or tables that MLflow has since changed.
    """
    database = _database(store_uri(root))
    if database is None or not database.exists():
        return None
    query = """
        SELECT runs.run_uuid, runs.status, runs.lifecycle_stage, tags.key, tags.value
        FROM runs JOIN experiments USING (experiment_id) JOIN tags ON tags.run_uuid = runs.run_uuid
        WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active' ORDER BY runs.start_time DESC
    """
    found: dict[str, KnownRun] = {}
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            rows = connection.execute(query, (experiment_name(root, experiment),)).fetchall()
    except sqlite3.Error:
        return None
    for run_id, status, stage, key, value in rows:
        run = found.setdefault(run_id, KnownRun(run_id, status, stage == "deleted", {}))
        found[run_id] = replace(run, tags={**run.tags, key: value})
    return [run for run in found.values() if _is_ours(run)]


def _is_ours(run: KnownRun) -> bool:
    return bool(run.cell or REPRO_TAG in run.tags)


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turn whatever MLflow, its database or the network raise into a `StoreError` of one line."""
    try:
        yield
    except Exception as error:
        theirs = type(error).__module__.partition(".")[0] in {"mlflow", "sqlalchemy"}
        if not theirs and not isinstance(error, sqlite3.Error | OSError):  # requests' errors are OSErrors
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise StoreError(f"MLflow at {uri} cannot be reached: {reason}") from error


def as_param(value: object) -> str:
    """Return a setting's text as MLflow keeps it: lists as "0.9,0.7", at most 6,000 characters."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text[:PARAM_LENGTH]


def surroundings(root: Path, source: str) -> dict[str, str]:
    """Return the tags that say which code logs a run, and on what."""
    tags = {
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "python": platform.python_version(),
        "torch": version("torch"),
        "platform": platform.platform(),
    }
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})


def _client(uri: str) -> "MlflowClient":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    database = _database(uri)
    if database is not None:
        _prepare(database)
    import mlflow

    _quiet()
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def _database(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").split("?", 1)[0])


def _prepare(database: Path) -> None:
    """Make the SQLite store if there is none, and let its locations follow the folder, under a lock for both."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=180):
        if not database.exists() or database.stat().st_size == 0:
            _create(database)
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            if _tables(connection) >= {"experiments", "experiment_tags"}:
                _relocate(connection, database.parent)


def _create(database: Path) -> None:
    # Two processes that initialise one file at once break it, and so does a kill half-way: hence lock and rename.
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _quiet()
    fresh = database.with_name(f"{database.name}.new")
    for leftover in database.parent.glob(f"{fresh.name}*"):
        leftover.unlink()
    store = SqlAlchemyStore(f"sqlite:///{fresh}", str(database.parent / "mlartifacts"))
    store.engine.dispose()
    with closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # stays with the file: readers no longer wait for writers
    fresh.replace(database)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _relocate(connection: sqlite3.Connection, folder: Path) -> None:
    new = str(folder)
    tags = connection.execute("SELECT DISTINCT value FROM experiment_tags WHERE key = ?", (ROOT_TAG,))
    moved = [old for (old,) in tags if old != new]
    if not moved:
        return
    tables = _tables(connection)
    with connection:
        for old in moved:
            for table, column in LOCATIONS:
                if table in tables:
                    for before, after in ((old, new), (f"file://{quote(old)}", f"file://{quote(new)}")):
                        connection.execute(
                            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                            (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                        )
        connection.execute("UPDATE experiment_tags SET value = ? WHERE key = ?", (new, ROOT_TAG))


def _experiment_id(client: "MlflowClient", name: str, database: Path | None) -> str:
    experiment = client.get_experiment_by_name(name) or _create_experiment(client, name, database)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    if database is not None and experiment.tags.get(ROOT_TAG) != str(database.parent):
        client.set_experiment_tag(experiment.experiment_id, ROOT_TAG, str(database.parent))
    if view.TAG not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, view.TAG, view.tag())
    return str(experiment.experiment_id)


def _create_experiment(client: "MlflowClient", name: str, database: Path | None) -> "Experiment":
    from mlflow.exceptions import MlflowException

    # A server knows where its artifacts go; a bare SQLite file would put them into the working directory of whoever
    # comes first.
    folder = None if database is None else str(database.parent / "mlartifacts" / re.sub(r"[^\w.-]", "_", name))
    try:
        made = client.create_experiment(name, artifact_location=folder, tags={view.TAG: view.tag()})
        return client.get_experiment(made)
    except MlflowException:
        experiment = client.get_experiment_by_name(name)  # another process was first
        if experiment is None:
            raise
        return experiment


def _quiet() -> None:
    for name, level in {
        "alembic": logging.WARNING,
        "mlflow": logging.WARNING,
        "mlflow.store.db.utils": logging.CRITICAL,  # prints a traceback of what it raises anyway
        "urllib3.connectionpool": logging.ERROR,  # a line for each retry
    }.items():
        logging.getLogger(name).setLevel(level)
    # `track` has logged these itself, so that it is nothing if `log_model` could not.
    logging.getLogger("mlflow.models.model").addFilter(_is_not_of_params)


def _is_not_of_params(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to log model config as params")
