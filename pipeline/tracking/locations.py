"""Where the project's MLflow store is: by default a SQLite file in the project's folder."""

import os
import re
from pathlib import Path

from filelock import FileLock

from acol.errors import InputError

# Where `dvc exp run --temp` and `--queue` put their copies of the project.
_EXPERIMENTS_FOLDER = (".dvc", "tmp", "exps")
_SQLITE = "sqlite:///"


def project_root(root: Path) -> Path:
    """Return the folder of the main project: `root`, unless that is DVC's temporary copy for an experiment."""
    root = root.resolve()
    depth = len(_EXPERIMENTS_FOLDER)
    for end in range(1, len(root.parts) - depth):
        if root.parts[end : end + depth] == _EXPERIMENTS_FOLDER:
            return Path(*root.parts[:end])
    return root


def experiment_name(root: Path, name: str) -> str:
    """Return the MLflow experiment's name: `name`, followed by DVC's experiment if `root` is its temporary copy.

    So the cells of a queued experiment do not replace those of the workspace.
    """
    if project_root(root) == root.resolve():
        return name
    return f"{name}/{os.environ.get('DVC_EXP_NAME') or root.resolve().name}"


def store_uri(root: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, by default a SQLite file; a relative SQLite path is one in the main project.

    Raises `InputError` for a SQLite file that MLflow would look for elsewhere.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if uri.startswith(_SQLITE):
        path, *query = uri.removeprefix(_SQLITE).split("?", 1)
        file = (project_root(root) / path).resolve()
        if re.search("[?]|%[0-9A-Fa-f]{2}", str(file)):
            raise InputError(f"{file}: MLflow cannot use a database whose path has ? or %XX; rename the folder")
        uri = "?".join([f"{_SQLITE}{file}", *query])
    return uri


def database_of(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).split("?", 1)[0])


def store_lock(root: Path) -> FileLock:
    """Return this machine's lock for changing the project's runs and registered models."""
    return FileLock(project_root(root) / "mlflow.db.track.lock")
