"""`dvc repro` started twice at once, and stopped or killed in the middle of a training."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.tracking.runs import known_runs
from pipeline.tracking.store import open_store
from tests.conftest import wait_for

CELL = "lite0-p"
STOPS = {
    "Ctrl-C": lambda dvc: os.killpg(dvc.pid, signal.SIGINT),
    "SIGTERM to DVC alone": lambda dvc: dvc.send_signal(signal.SIGTERM),
    "SIGKILL to DVC alone": lambda dvc: dvc.send_signal(signal.SIGKILL),
}


@pytest.fixture(autouse=True)
def store_of_the_project(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def project(make_tiny_project, initialised_store):
    """A project of one cell, in which nothing has been done yet; its epochs are long enough to stop each of them."""
    made = make_tiny_project(
        {("grid", "heads"): ["p"], ("train", "epochs"): 4 * len(STOPS), ("train", "batch_size"): 2}
    )
    shutil.copy(initialised_store, made.root / "mlflow.db")
    yield made
    for process in at_work(made):
        process.kill()


def untrain(project, cache):
    """Bring the project back to where its cell had yet to be trained and MLflow yet to be told."""
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())
    trained = lock["stages"].pop(f"train@{CELL}")["outs"][0]["md5"]
    (project.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    for run in (cache / "runs").glob("*/*/*"):
        if trained in run.read_text():
            shutil.rmtree(run.parent)  # DVC takes an empty folder for a broken one
    for name in (f"models/{CELL}", "mlartifacts"):
        shutil.rmtree(project.root / name)
    for path in (project.root / "timing" / f"{CELL}.csv", *project.root.glob("mlflow.db*")):
        path.unlink()


def files(project):
    """The hashes of all that the stages left; of times, which the report's tables and page show, no two are alike."""
    stages = yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]
    return {
        out["path"]: out["md5"]
        for stage, entry in stages.items()
        for out in entry.get("outs", [])
        if stage != "track" and not out["path"].startswith(("timing/", "report/index", "report/table"))
    }


def start(project, *command):
    """Start a command of DVC, `dvc repro` if no other, as a terminal does: in a process group of its own."""
    return subprocess.Popen(
        ["dvc", *(command or ["repro"])],
        cwd=project.root,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def at_work(project):
    """All processes that work in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return found


def training_after_an_epoch(dvc, project):
    """Wait until the training has told its first epoch; return its process, suspended."""
    trainings = []

    def begun():
        trainings[:] = [process for process in at_work(project) if is_training(process)]
        return trainings or dvc.poll() is not None

    wait_for(begun, 300)
    said = []
    for line in dvc.stdout:
        said.append(line)
        if line.startswith(f"{CELL} epoch"):
            trainings[0].suspend()
            return trainings[0]
    pytest.fail("".join(said))


def is_training(process):
    try:
        return process.cmdline()[1:3] == ["-m", "pipeline.train"]
    except psutil.Error:
        return False


def is_told(process):
    """Whether a signal waits for a suspended process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("ShdPnd:")[2].split()[0], 16) != 0


def statuses(project):
    return [run.status for run in known_runs(open_store(project.root, "acol"))]


def newest_state(project):
    return max((path.stat().st_mtime for path in project.root.glob(".acol/runs/*/[0-9]*.state")), default=0)


def test_however_it_is_stopped_the_same_command_goes_on(project):
    for number, (name, stop) in enumerate(STOPS.items(), 1):
        dvc = start(project)
        training = training_after_an_epoch(dvc, project)
        wait_for(lambda: "RUNNING" in statuses(project), 120)
        before = newest_state(project)
        stop(dvc)
        wait_for(lambda process=training: is_told(process), 60, name)
        training.resume()
        wait_for(lambda before=before: newest_state(project) > before, 10, name)
        wait_for(lambda: not at_work(project), 60, name)
        assert dvc.wait() != 0, name
        assert statuses(project) == ["KILLED"] * number, name
    done = project.run("dvc", "repro")
    assert f"{CELL}: going on after epoch" in done.stderr
    assert [run[1:] for run in project.runs()] == [[CELL, "FINISHED"]]


def test_an_interrupted_experiment_is_taken_back(project):
    project.repro()
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Done")
    before = files(project)
    dvc = start(project, "exp", "run", "-S", "train.lr=0.0005")
    training = training_after_an_epoch(dvc, project)
    STOPS["Ctrl-C"](dvc)
    training.resume()
    assert dvc.wait() != 0
    wait_for(lambda: not at_work(project), 60)
    assert "params.yaml" in project.run("git", "status", "--short").stdout
    assert not (project.root / "models" / CELL / "best.pt").exists()
    project.run("git", "restore", "params.yaml", "dvc.lock")
    project.run("dvc", "checkout", "--force")
    assert project.would_run() == ["track"]
    assert files(project) == before
    assert (project.root / "models" / CELL / "best.pt").exists()


def test_of_two_at_once_one_trains_to_the_same_files_and_the_other_may_be_refused(project, shared_cache):
    project.repro()
    wanted = files(project)
    untrain(project, shared_cache)
    both = [start(project), start(project)]
    ends = [(dvc.communicate()[0], dvc.returncode) for dvc in both]
    assert any(status == 0 for _, status in ends), ends
    for said, status in ends:
        assert status == 0 or "is busy, it is being blocked by" in said or "Unable to acquire lock" in said
    assert project.repro() == ["track"]
    assert files(project) == wanted
    assert [run[1:] for run in project.runs()] == [[CELL, "FINISHED"]]
