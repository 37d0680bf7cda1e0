"""Open the project's MLflow store, make it if it is missing, and report its failures in one line."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from acol.errors import InputError, MachineError
from pipeline.tracking import view
from pipeline.tracking.locations import database_of, experiment_name, store_uri
from pipeline.tracking.quiet import quiet
from pipeline.tracking.sqlite import prepare
from pipeline.tracking.tags import PARENT_TAG, ROOT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # one for each small file
    # MLflow's own 120 s and 7 retries let a hanging server hold a stage for a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


class StoreError(MachineError):
    """MLflow failed. The message is one line that names the store and the reason."""


@dataclass(frozen=True)
class Store:
    """An opened MLflow store and the experiment of this project in it."""

    uri: str
    client: "MlflowClient"
    experiment_id: str


def without_password(uri: str) -> str:
    """Return a store's address without the password that may be in it, for messages."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", uri)


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turn the errors of MLflow, its database and the network into a `StoreError` of one line."""
    try:
        yield
    except Exception as error:
        theirs = type(error).__module__.partition(".")[0] in {"mlflow", "sqlalchemy"}
        # requests' errors are OSErrors; a database's driver that is not installed is an ImportError.
        if not theirs and not isinstance(error, sqlite3.Error | OSError | ImportError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ImportError):
            reason += "; install the database's driver, or name one that is installed, as in postgresql+psycopg2://"
        if password := urlsplit(uri).password:
            reason = reason.replace(password, "***").replace(unquote(password), "***")
        raise StoreError(f"MLflow at {without_password(uri)} cannot be reached: {reason[:300]}") from error


def open_store(root: Path, experiment: str) -> Store:
    """Open the store of the project in `root` and the named experiment in it, and make what is missing.

    Safe to call from many processes at once, on a new store too. A SQLite store whose folder moved is corrected first.
    Raises `StoreError`.
    """
    uri = store_uri(root)
    with failures(uri):
        client = _client(uri)
        return Store(uri, client, _experiment_id(client, experiment_name(root, experiment), database_of(uri)))


def open_existing(root: Path) -> "MlflowClient":
    """Open the store of the project in `root` as `open_store` does, but do not make one.

    Raises `InputError` if there is none, and `StoreError`.
    """
    uri = store_uri(root)
    database = database_of(uri)
    if database is not None and not database.is_file():
        raise InputError(f"{database}: no such file; run `dvc repro` first, or set MLFLOW_TRACKING_URI to a store")
    with failures(uri):
        return _client(uri)


def parent_tag(store: Store, run_id: str | None) -> dict[str, str]:
    """Return the tag that shows a run under the run `run_id`; none if that is not one of the store's experiment.

    An MLFLOW_RUN_ID may be left over from something else. MLflow shows runs only under those of their experiment.
    """
    from mlflow.exceptions import MlflowException

    try:
        info = store.client.get_run(run_id).info if run_id else None
    except MlflowException:  # no such run
        return {}
    shown = info is not None and info.experiment_id == store.experiment_id and info.lifecycle_stage == "active"
    return {PARENT_TAG: str(run_id)} if shown else {}


def _client(uri: str) -> "MlflowClient":
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    database = database_of(uri)
    if database is not None:
        prepare(database)
    import mlflow

    quiet()
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


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

    # A server knows where its artifacts go. A SQLite store would put them into the working directory of the first
    # process.
    folder = None if database is None else str(database.parent / "mlartifacts" / re.sub(r"[^\w.-]", "_", name))
    try:
        made = client.create_experiment(name, artifact_location=folder, tags={view.TAG: view.tag()})
        return client.get_experiment(made)
    except MlflowException:
        experiment = client.get_experiment_by_name(name)  # another process was first
        if experiment is None:
            raise
        return experiment
