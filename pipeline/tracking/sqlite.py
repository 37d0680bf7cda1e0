"""The SQLite store: made once, atomically, and corrected when the project's folder has moved."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from pipeline.tracking.quiet import quiet
from pipeline.tracking.tags import ROOT_TAG

# Each of these columns may hold an absolute path (MLflow 3.17 stores relative locations as absolute ones).
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def prepare(database: Path) -> None:
    """Make the store if there is none, and correct the paths in it if its folder has moved; one process at a time."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=180):
        if not database.exists() or database.stat().st_size == 0:
            create(database)
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            if _tables(connection) >= {"experiments", "experiment_tags"}:
                _relocate(connection, database.parent)


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


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _relocate(connection: sqlite3.Connection, folder: Path) -> None:
    new = str(folder)
    tags = connection.execute("SELECT DISTINCT value FROM experiment_tags WHERE key = ?", (ROOT_TAG,))
    moved = [old for (old,) in tags if old != new]
    if not moved:
        return
    tables = _tables(connection)
    columns = [(table, column) for table, column in _LOCATIONS if table in tables]
    with connection:
        for old in moved:
            for table, column in columns:
                for before, after in ((old, new), (f"file://{quote(old)}", f"file://{quote(new)}")):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                    )
        connection.execute("UPDATE experiment_tags SET value = ? WHERE key = ?", (new, ROOT_TAG))
