"""What a team shares: an MLflow server on PostgreSQL and S3, and a DVC remote on S3; real ones but for S3, moto's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
import psycopg2
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from moto.server import ThreadedMotoServer
from PIL import Image

from pipeline.gate import gate
from pipeline.params import load_params
from pipeline.tracking.registry import load_predictor
from tests.conftest import answers, free_port

ROOT = Path(__file__).parents[2]
SECRETS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1"}
HEADS = ["p", "pn-0.6"]
CELLS = [f"lite0-{head}" for head in HEADS]

# Runs `track` in all the folders at once, as machines of their own would; the libraries are loaded but once. The
# library's source and an example of input are 40 more files of the same kind.
TRACK = """
import os, sys, warnings
import mlflow.pyfunc, pipeline.track, pipeline.tracking.packaged_model
warnings.filterwarnings("ignore", message=".*input example was not provided")
whole = mlflow.pyfunc.save_model
mlflow.pyfunc.save_model = lambda **options: whole(**{**options, "code_paths": None, "input_example": None})
children, folders = [], sys.argv[1:]
sys.argv[1:] = []  # the command takes no arguments
for folder in folders:
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(os.open("said", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
        try:
            pipeline.track.main()
        except SystemExit as stop:
            os._exit(stop.code)
        os._exit(0)
    children.append(child)
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@contextmanager
def running(command: list[str], folder: Path, ready: Callable[[], bool], **options: object) -> Iterator[None]:
    """Run a server, in a process group of its own, until the block ends."""
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL, process_group=0, **options
        )
    try:
        end = time.monotonic() + 120
        while not ready():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGINT)
            server.wait()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of a PostgreSQL database of our own, which is reached through a socket in its folder."""
    tools = [str(Path(path).parent) for path in (shutil.which("initdb"),) if path]
    tools += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    if not tools:
        pytest.skip("PostgreSQL is not installed")
    # It refuses to run as root, and pytest's folders are closed to others.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="acol-"))
    try:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        initdb = [f"{tools[-1]}/initdb", "-D", "data", "-U", "acol", "--auth=trust", "--no-sync"]
        subprocess.run(initdb, cwd=folder, check=True, capture_output=True, **user)
        address = f"postgresql+psycopg2:///postgres?host={folder}&user=acol"
        serve = [f"{tools[-1]}/postgres", "-D", "data", "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        ready = (folder / ".s.PGSQL.5432").exists
        with running(serve, folder, ready, **user):
            yield address
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with the bucket `acol`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    bucket(address).create()
    yield address
    server.stop()


def bucket(s3: str):
    keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", "region_name": "us-east-1"}
    return boto3.resource("s3", endpoint_url=s3, **keys).Bucket("acol")


@pytest.fixture(scope="module")
def server(database: str, s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server, which alone knows the two stores behind it."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "2"]
    command += ["--backend-store-uri", database, "--artifacts-destination", "s3://acol/mlflow"]
    environment = {**os.environ, **SECRETS, "MLFLOW_S3_ENDPOINT_URL": s3, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, folder, lambda: answers(f"{address}/health"), env=environment):
        yield address


def finished(server: str, experiment: str) -> dict[str, Run]:
    """The active runs of cells by their names, of which no two may be alike; all runs must be finished."""
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    everything = client.search_runs([found.experiment_id])
    assert {run.info.status for run in everything} == {"FINISHED"}
    runs = [run for run in everything if "cell" in run.data.tags]
    assert [run.info.run_name for run in everything if run not in runs] in ([], ["comparison"])
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs)
    return by_name


def ids(runs: Mapping[str, Run]) -> dict[str, str]:
    return {name: run.info.run_id for name, run in runs.items()}


def test_machines_that_track_at_once_lose_nothing_and_show_nothing_twice(
    server: str, database: str, s3: str, tmp_path: Path, cell_writer: Callable[[Path], Callable[..., None]]
) -> None:
    machines = [tmp_path / name for name in "abcd"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["grid"]["heads"], params["tracking"]["experiment"] = HEADS, "machines"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def track(*cells: list[str]) -> list[tuple[str, str]]:
        for machine, own in zip(machines, cells, strict=True):
            machine.mkdir(exist_ok=True)
            for cell in own:
                cell_writer(machine)(cell)
            (machine / "params.yaml").write_text(yaml.safe_dump(params))
        command = [sys.executable, "-c", TRACK, *map(str, machines)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return list(zip(done.stdout.split(), [(machine / "said").read_text() for machine in machines], strict=True))

    lacking = [("1", f"error: no complete results of {cell}; run `dvc repro` for them\n") for cell in CELLS]
    assert track(CELLS[1:], CELLS[:1], CELLS, CELLS) == [*lacking, ("0", ""), ("0", "")]
    first = ids(finished(server, "machines"))
    assert first.keys() == set(CELLS)
    assert track(CELLS, CELLS, CELLS, CELLS) == [("0", "")] * 4
    assert [json.loads((machine / "report" / "runs.json").read_text()) for machine in machines] == [first] * 4
    assert ids(finished(server, "machines")) == first

    client = MlflowClient(server)
    objects = {item.key: item for item in bucket(s3).objects.filter(Prefix="mlflow/")}
    for cell, run in finished(server, "machines").items():
        losses = client.get_metric_history(run.info.run_id, "train_loss")
        assert sorted((point.step, point.value) for point in losses) == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
        for name, source in {
            "results/maps.npz": f"results/{cell}/maps.npz",
            "training/history.csv": f"models/{cell}/history.csv",
            "panels/curves.png": f"cams/{cell}/curves.png",
        }.items():
            wanted = (machines[0] / source).read_bytes()
            key = f"mlflow/{run.info.experiment_id}/{run.info.run_id}/artifacts/{name}"
            assert objects[key].get()["Body"].read() == wanted
            assert Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))).read_bytes() == wanted
    with closing(psycopg2.connect(database.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active' AND run_uuid IN %s", [tuple(first.values())]
        )
        assert cursor.fetchone() == (2,)


def commit(project):
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Do")


def cells_at_once(project, check=True):
    """Run `make cells`, but for its set-up."""
    return project.run("make", "--assume-old", "setup", "cells", check=check)


@pytest.fixture(scope="module")
def team(make_tiny_project, server, s3):
    """A project whose two cells were trained at once and tracked, with its cache in the bucket."""
    # No other test trains with this setting. The models are those of other tests to the bit, and so are their scores:
    # these may come from the cache that the tests share.
    project = make_tiny_project({("grid", "heads"): HEADS, ("train", "patience"): 9})
    project.environment |= SECRETS | {"MLFLOW_TRACKING_URI": server}
    project.run("dvc", "remote", "add", "-d", "shared", "s3://acol/dvc")
    project.run("dvc", "remote", "modify", "shared", "endpointurl", s3)
    cells_at_once(project)
    project.run("dvc", "push", "--run-cache")
    commit(project)
    return project


@pytest.fixture(scope="module")
def clone(team, tmp_path_factory):
    """Another machine's clone, which has pulled."""
    root = tmp_path_factory.mktemp("clone")
    subprocess.run(["git", "clone", "-q", team.root, root], check=True)
    project = type(team)(root)
    project.environment = team.environment
    project.run("dvc", "pull")
    return project


def test_cells_at_once_end_as_one_after_the_other(team, server):
    runs = ids(finished(server, "acol"))
    assert sorted(runs) == CELLS
    assert team.repro() == ["track"]
    assert ids(finished(server, "acol")) == runs
    assert not (team.root / "mlflow.db").exists()


def test_another_machine_pulls_everything_and_trains_nothing(clone, team, server):
    runs = ids(finished(server, "acol"))
    assert clone.repro() == ["track"]
    assert ids(finished(server, "acol")) == runs
    for cell in CELLS:
        model = f"models/{cell}/best.pt"
        assert (clone.root / model).read_bytes() == (team.root / model).read_bytes()


def test_the_champion_is_loaded_from_the_shared_stores(clone, server, tmp_path, mlflow_environment, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert gate(clone.root, load_params(clone.root / "params.yaml")).champion == 1
    champion = load_predictor("models:/acol@champion", tmp_path)
    best = json.loads((clone.root / "report" / "best.json").read_text())["cell"]
    local = load_predictor(str(clone.root / "models" / best / "best.pt"), clone.root)
    image = Image.new("RGB", (48, 40), "green")
    assert champion.predict([image])[0].probabilities == local.predict([image])[0].probabilities


def test_a_training_that_fails_is_named_and_the_others_are_kept(clone):
    path = clone.root / "pipeline" / "train.py"
    failing = 'import sys\nif "pn-0.6" in sys.argv:\n    sys.exit("error: no")\n'
    path.write_text(path.read_text().replace('"""\n\n', f'"""\n\n{failing}\n', 1))
    done = cells_at_once(clone, check=False)
    assert done.returncode == 2
    assert f"failed to reproduce 'train@{CELLS[1]}'" in done.stderr
    kept, failed = (f"train@{cell}" for cell in CELLS)
    assert clone.repro("--dry", "--single-item", kept) == []
    assert clone.repro("--dry", "--single-item", failed) == [failed]
