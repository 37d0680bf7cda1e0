"""The SQLite store: made once, atomically, and corrected when the project's folder has moved."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

ROOT_TAG = "acol.root"  # on each experiment: the folder that its stored artifact locations point into
# Each of these columns may hold an absolute path (MLflow 3.17 stores relative locations as absolute ones).
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
    "mlflow.store.db.utils": logging.CRITICAL,  # prints a traceback of an error that it also raises
    "urllib3.connectionpool": logging.ERROR,  # a line for each retry
}


def quiet() -> None:
    """Silence MLflow's messages that help no user; call this after its import, which sets its own levels."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # `track` has logged these itself, so it does not matter if `log_model` could not.
    logging.getLogger("mlflow.models.model").addFilter(_is_not_of_params)


def _is_not_of_params(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to log model config as params")


def prepare(database: Path) -> None:
    """Make the store if there is none, and correct the paths in it if its folder has moved; one process at a time."""
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that make one store at once would break it: MLflow's migrations take no lock.
    with FileLock(f"{database}.lock", timeout=180):
        if not database.exists() or database.stat().st_size == 0:
            create(database)
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables >= {"experiments", "experiment_tags"}:
                columns = [(table, column) for table, column in _LOCATIONS if table in tables]
                _relocate(connection, columns, str(database.parent))


def create(database: Path) -> None:
    """Make a new store with MLflow's tables in it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    quiet()
    # A killed MLflow leaves a broken file. So it works on another file, which is renamed at the end.
    fresh = database.with_name(f"{database.name}.new")
    for leftover in database.parent.glob(f"{fresh.name}*"):
        leftover.unlink()
    store = SqlAlchemyStore(f"sqlite:///{fresh}", str(database.parent / "mlartifacts"))
    store.engine.dispose()
    with closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # saved in the file: readers no longer wait for writers
    fresh.replace(database)


def _relocate(connection: sqlite3.Connection, columns: list[tuple[str, str]], new: str) -> None:
    tags = connection.execute(
        "SELECT DISTINCT value FROM experiment_tags WHERE key = ? AND value != ?", (ROOT_TAG, new)
    )
    with connection:
        for (old,) in tags.fetchall():
            for table, column in columns:
                for before, after in ((old, new), (f"file://{quote(old)}", f"file://{quote(new)}")):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                    )
            connection.execute("UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?", (new, ROOT_TAG, old))
