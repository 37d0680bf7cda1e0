"""The project's MLflow store: finds, makes and opens it, and says in one line what fails."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from acol.errors import InputError, MachineError
from pipeline.tracking import view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric

PARENT_TAG = "mlflow.parentRunId"
ROOT_TAG = "acol.root"  # on each experiment: the folder in which the store says that its files are
# Tables and columns that may hold an absolute path: MLflow 3.17 stores relative locations as absolute ones.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # it prints a traceback of an error that it also raises
    "urllib3.connectionpool": logging.ERROR,  # it prints a line for each retry
}
_SQLITE = "sqlite:///"
_QUEUED = "/.dvc/tmp/exps/"  # holds the temporary copies of the project for `dvc exp run --temp` and `--queue`
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # one for each small file
    # With MLflow's own 120 s and 7 retries, a hanging server would stop a stage for a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
# MLflow's limits: characters of a param, and params and metrics in one call.
_PARAM_LENGTH, _PARAMS, _METRICS = 6000, 100, 1000


class StoreError(MachineError):
    """MLflow failed. The message is one line that names the store and the reason."""


@dataclass(frozen=True)
class Store:
    """An opened MLflow store and the experiment of this project in it."""

    uri: str
    client: "MlflowClient"
    experiment_id: str


# --- where it is -------------------------------------------------------------------------------------------------


def project_root(root: Path) -> Path:
    """Return the folder of the main project: `root`, unless that is DVC's temporary copy for an experiment."""
    return Path(str(root.resolve()).partition(_QUEUED)[0] or "/")


def experiment_name(root: Path, name: str) -> str:
    """Return the MLflow experiment's name: `name`, and in DVC's temporary copy also the name of DVC's experiment.

    So the cells of a queued experiment do not replace those of the workspace.
    """
    if project_root(root) == root.resolve():
        return name
    return f"{name}/{os.environ.get('DVC_EXP_NAME') or root.resolve().name}"


def store_uri(root: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, by default that of a SQLite file. Relative SQLite paths start at the main project.

    Raises `InputError` for a SQLite path that MLflow would read differently.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if uri.startswith(_SQLITE):
        path, *query = uri.removeprefix(_SQLITE).split("?", 1)
        file = (project_root(root) / path).resolve()
        if re.search("[?]|%[0-9A-Fa-f]{2}", str(file)):
            raise InputError(f"{file}: MLflow cannot use a database whose path has ? or %XX; rename the folder")
        if path == ":memory:" or file.is_dir():
            raise InputError(f"MLFLOW_TRACKING_URI {uri}: no file; name one, such as {_SQLITE}mlflow.db")
        uri = "?".join([f"{_SQLITE}{file}", *query])
    return uri


def database_of(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for any other store."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def store_lock(root: Path) -> FileLock:
    """Return this machine's lock for changing the project's runs and registered models."""
    return FileLock(project_root(root) / "mlflow.db.track.lock")


# --- its failures ------------------------------------------------------------------------------------------------


def without_password(uri: str) -> str:
    """Return a store's address without the password that may be in it, for messages."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", uri)


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turn the errors of MLflow, its database and the network into a `StoreError` of one line."""
    try:
        yield
    except Exception as error:
        of_mlflow = type(error).__module__.partition(".")[0] in {"mlflow", "sqlalchemy"}
        # The errors of requests are OSErrors. A missing driver is an ImportError, and a setting of MLflow's in the
        # environment that it cannot read is a ValueError.
        known = isinstance(error, sqlite3.Error | OSError | ImportError) or " for MLFLOW_" in str(error)
        if not of_mlflow and not known:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ImportError):
            reason += "; install the database's driver, or name one that is installed, as in postgresql+psycopg2://"
        if password := urlsplit(uri).password:
            reason = reason.replace(password, "***").replace(unquote(password), "***")
        address = without_password(uri)
        if registry := os.environ.get("MLFLOW_REGISTRY_URI"):
            address += f" (MLFLOW_REGISTRY_URI {without_password(registry)})"
        if "out-of-date database schema" in reason:  # MLflow's words for the tables of an older version
            copy = f"cp {database_of(uri)} {database_of(uri)}.before" if database_of(uri) else "back up the database"
            outdated = f"MLflow at {address}: made by an older MLflow"
            raise StoreError(f"{outdated}; {copy}, then mlflow db upgrade {address}") from error
        raise StoreError(f"MLflow at {address} cannot be reached: {reason[:300]}") from error


# --- opened ------------------------------------------------------------------------------------------------------


def open_store(root: Path, experiment: str) -> Store:
    """Open the store of the project in `root` and the named experiment, and make what is missing.

    Many processes may call this at once, also for a new store. The paths in a SQLite store are corrected if its folder
    has moved. Raises `StoreError`.
    """
    uri = store_uri(root)
    with failures(uri):
        client = _client(uri)
        return Store(uri, client, _experiment_id(client, experiment_name(root, experiment), database_of(uri)))


def open_existing(root: Path) -> "MlflowClient":
    """Open the store of the project in `root` as `open_store` does, but do not make one.

    Raises `InputError` if there is no store, and `StoreError` if it cannot be opened.
    """
    uri = store_uri(root)
    database = database_of(uri)
    if database is not None and not database.is_file():
        raise InputError(f"{database}: no such file; run `dvc repro` first, or set MLFLOW_TRACKING_URI to a store")
    with failures(uri):
        return _client(uri)


def _client(uri: str) -> "MlflowClient":
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if (database := database_of(uri)) is not None:
        prepare_database(database)
    import mlflow

    silence_mlflow()
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def _experiment_id(client: "MlflowClient", name: str, database: Path | None) -> str:
    tags = {view.TAG: view.tag()} | ({} if database is None else {ROOT_TAG: str(database.parent)})
    experiment = client.get_experiment_by_name(name) or _create_experiment(client, name, database, tags)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for tag, value in tags.items():
        if experiment.tags.get(tag) != value:
            client.set_experiment_tag(experiment.experiment_id, tag, value)
    return str(experiment.experiment_id)


def _create_experiment(
    client: "MlflowClient", name: str, database: Path | None, tags: Mapping[str, str]
) -> "Experiment":
    from mlflow.exceptions import MlflowException

    # A server knows where its artifacts belong. For a SQLite store MLflow would take the working directory of the
    # process that makes it.
    folder = None if database is None else str(database.parent / "mlartifacts" / re.sub(r"[^\w.-]", "_", name))
    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=folder, tags=tags))
    except MlflowException:
        # Another process may have made it first.
        if (experiment := client.get_experiment_by_name(name)) is None:
            raise
        return experiment


# --- a SQLite file: made once, atomically, and corrected when the project's folder has moved -------------------------


def silence_mlflow() -> None:
    """Silence MLflow's messages that help no user; call this after its import, which sets its own levels."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # `track` logs these params itself, so it does not matter that `log_model` could not.
    logging.getLogger("mlflow.models.model").addFilter(_is_not_of_params)


def _is_not_of_params(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to log model config as params")


def prepare_database(database: Path) -> None:
    """Make the store if there is none, and correct the paths in it if its folder has moved; one process at a time."""
    database.parent.mkdir(parents=True, exist_ok=True)
    # MLflow's migrations take no lock, so two processes that make the store at once would break it.
    with FileLock(f"{database}.lock", timeout=180):
        if not database.exists() or database.stat().st_size == 0:
            create_database(database)
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables >= {"experiments", "experiment_tags"}:
                columns = [(table, column) for table, column in _LOCATIONS if table in tables]
                _relocate(connection, columns, str(database.parent))


def create_database(database: Path) -> None:
    """Make a new SQLite store with MLflow's tables."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    silence_mlflow()
    # A killed MLflow leaves a broken file. So the store is made under another name, and renamed at the end.
    fresh = database.with_name(f"{database.name}.new")
    for leftover in database.parent.glob(f"{fresh.name}*"):
        leftover.unlink()
    store = SqlAlchemyStore(f"sqlite:///{fresh}", str(database.parent / "mlartifacts"))
    store.engine.dispose()
    with closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # saved in the file: readers no longer wait for writers
    fresh.replace(database)


def _relocate(connection: sqlite3.Connection, columns: list[tuple[str, str]], new: str) -> None:
    """Replace the folder at the start of all paths, which the experiments' tag names, by the folder `new`."""
    tags = connection.execute(
        "SELECT DISTINCT value FROM experiment_tags WHERE key = ? AND value != ?", (ROOT_TAG, new)
    )
    with connection:
        for (old,) in tags.fetchall():
            # MLflow writes some of the paths as they are, and others as addresses.
            for table, column in columns:
                for before, after in ((old, new), (f"file://{quote(old)}", f"file://{quote(new)}")):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                    )
            connection.execute("UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?", (new, ROOT_TAG, old))


# --- what is logged ----------------------------------------------------------------------------------------------


def parent_tag(store: Store, run_id: str | None) -> dict[str, str]:
    """Return the tag that shows a run below the run `run_id`; empty if that run is not of the same experiment.

    MLFLOW_RUN_ID may be left over from something else, and MLflow shows a run only below one of its own experiment.
    """
    from mlflow.exceptions import MlflowException

    try:
        info = store.client.get_run(run_id).info if run_id else None
    except MlflowException:  # no such run
        return {}
    usable = info is not None and info.experiment_id == store.experiment_id and info.lifecycle_stage == "active"
    return {PARENT_TAG: str(run_id)} if usable else {}


def as_param(value: object) -> str:
    """Return a setting as text for MLflow: lists as "0.9,0.7", at most 6,000 characters."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text[:_PARAM_LENGTH]


def log_in_batches(
    client: "MlflowClient", run_id: str, params: Mapping[str, object] | None = None, metrics: Sequence["Metric"] = ()
) -> None:
    """Log any number of params and metrics into a run, in as few calls as MLflow's limits allow."""
    from mlflow.entities import Param

    texts = [Param(name, as_param(value)) for name, value in (params or {}).items()]
    for start in range(0, len(texts), _PARAMS):
        client.log_batch(run_id, params=texts[start : start + _PARAMS])
    for start in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS])
