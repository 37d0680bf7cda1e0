import http.server
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import pytest
from mlflow.environment_variables import MLFLOW_SQLALCHEMYSTORE_POOL_SIZE

from acol.errors import InputError
from pipeline.tracking import store as tracking
from pipeline.tracking.runs import known_runs
from pipeline.tracking.store import StoreError, experiment_name, open_store, store_uri
from tests.conftest import free_port

CHECKOUT = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("mlflow_environment")


@contextmanager
def server(behaviour: str) -> Iterator[str]:
    """A tracking server that refuses connections, answers 500, or never answers."""
    if behaviour == "refuses":
        yield f"http://127.0.0.1:{free_port()}"
        return
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if behaviour == "hangs":
                release.wait(60)
            self.send_response(500)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as away:
        threading.Thread(target=away.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{away.server_address[1]}"
        release.set()
        away.shutdown()


def test_the_store_is_a_file_in_the_main_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1234"
    assert store_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_uri(queued) == f"sqlite:///{tmp_path}/mlflow.db"  # dvc exp run --temp deletes its own folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mine.db")
    assert store_uri(queued) == f"sqlite:///{tmp_path}/runs/mine.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    assert store_uri(queued) == "http://tracking.example"


def test_a_queued_experiment_has_its_own_mlflow_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1234"
    monkeypatch.setenv("DVC_EXP_NAME", "wavy-loss")
    assert experiment_name(tmp_path, "acol") == "acol"
    assert experiment_name(queued, "acol") == "acol/wavy-loss"


def test_a_moved_folder_keeps_its_artifacts_and_writes_to_the_new_place(
    tmp_path: Path, initialised_store: Path
) -> None:
    before = tmp_path / "été 1"
    before.mkdir()
    shutil.copy(initialised_store, before / "mlflow.db")
    store = open_store(before, "acol")
    run_id = store.client.create_run(store.experiment_id, run_name="a-p").info.run_id
    store.client.log_text(run_id, "seen", "note.txt")
    mlflow.set_tracking_uri(None)

    after = tmp_path / "elsewhere" / "b"
    after.parent.mkdir()
    before.rename(after)
    moved = open_store(after, "acol")
    assert mlflow.artifacts.load_text(f"{moved.client.get_run(run_id).info.artifact_uri}/note.txt") == "seen"
    fresh = moved.client.create_run(moved.experiment_id).info
    moved.client.log_text(fresh.run_id, "new", "note.txt")
    assert not before.exists()
    with closing(sqlite3.connect(after / "mlflow.db")) as connection:
        assert str(before) not in "\n".join(connection.iterdump())


RACE = """
import os, sys
from pathlib import Path
import mlflow
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from pipeline.tracking.store import open_store
children = []
for number in range(4):
    children.append(os.fork())
    if children[-1] == 0:
        store = open_store(Path(sys.argv[1]), "acol")
        run = store.client.create_run(store.experiment_id, tags={"cell": str(number)})
        store.client.log_metric(run.info.run_id, "loss", 1.0)
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_four_processes_open_one_fresh_store_at_once(tmp_path: Path, initialised_store: Path) -> None:
    (tmp_path / "mlflow.db.new").write_bytes(initialised_store.read_bytes()[:8192])  # its maker was killed
    race = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert race.returncode == 0, race.stderr
    assert race.stderr == ""  # MLflow's migrations are not told line by line
    assert len(known_runs(open_store(tmp_path, "acol"))) == 4
    assert not (CHECKOUT / "mlruns").exists()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_runs_of_cells_are_known_the_latest_first_and_deleted_ones_too(
    tmp_path: Path, initialised_store: Path
) -> None:
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    store = open_store(tmp_path, "acol")
    client = store.client
    for cell, status in (("a", "FINISHED"), ("b", "KILLED"), ("c", "FAILED")):
        run = client.create_run(store.experiment_id, tags={"cell": cell, "x": "1"}, run_name=cell)
        client.set_terminated(run.info.run_id, status)
    client.delete_run(run.info.run_id)
    client.create_run(store.experiment_id, run_name="not a cell")
    runs = known_runs(store)
    assert [(run.tags["cell"], run.status, run.deleted) for run in runs] == [
        ("c", "FAILED", True),
        ("b", "KILLED", False),
        ("a", "FINISHED", False),
    ]


@pytest.mark.parametrize("behaviour", ["refuses", "answers 500", "hangs"])
def test_a_server_that_is_away_is_told_in_one_line(
    behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with server(behaviour) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(StoreError, match=f"^MLflow at {uri} cannot be reached: [^\n]+$"):
            open_store(tmp_path, "acol")


@pytest.mark.parametrize(
    "uri", ["postgresql+nosuchdriver://u:sEc%40ReT@127.0.0.1:9/d", "http://u:sEc%40ReT@127.0.0.1:9"]
)
def test_a_password_is_in_no_message(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(
        StoreError, match=r"^MLflow at \S+//u:\*\*\*@127.0.0.1:9\S* cannot be reached: [^\n]+$"
    ) as error:
        open_store(tmp_path, "acol")
    assert "sEc" not in str(error.value)


def test_a_database_whose_driver_is_missing_is_told_in_one_line() -> None:
    with (
        pytest.raises(StoreError, match="No module named 'psycopg'; install the database's driver, or name"),
        tracking.failures("postgresql://db/d"),
    ):
        raise ModuleNotFoundError("No module named 'psycopg'")


def test_a_store_of_an_older_mlflow_is_told_with_the_command_that_upgrades_it(
    tmp_path: Path, initialised_store: Path
) -> None:
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(StoreError) as error:
        open_store(tmp_path, "acol")
    copied = f"cp {tmp_path}/mlflow.db {tmp_path}/mlflow.db.before"
    assert str(error.value) == f"MLflow at {uri}: made by an older MLflow; {copied}, then mlflow db upgrade {uri}"


@pytest.mark.parametrize("name", ["is it this?", "50%20 off"])
def test_a_folder_that_mlflow_would_not_find_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="rename the folder"):
        open_store(tmp_path / name, "acol")
    assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize("uri", ["sqlite:///:memory:", "sqlite:///", "sqlite:////tmp"])
def test_an_address_that_names_no_file_is_refused(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match=r"^MLFLOW_TRACKING_URI sqlite:///\S*: no file; name one"):
        open_store(tmp_path, "acol")
    assert not list(tmp_path.iterdir())


def test_settings_of_mlflow_that_are_left_over_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://u:sEcReT@old:5000")
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "many")
    said = r"\(MLFLOW_REGISTRY_URI http://u:\*\*\*@old:5000\) .*'many' for MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"
    with pytest.raises(StoreError, match=said), tracking.failures("sqlite:///x"):
        MLFLOW_SQLALCHEMYSTORE_POOL_SIZE.get()


def test_other_errors_are_not_taken_for_the_stores() -> None:
    with pytest.raises(ZeroDivisionError), tracking.failures("sqlite:///x"):
        raise ZeroDivisionError
