import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run

from pipeline.live import LiveRun, run_status
from pipeline.track import track
from pipeline.tracking import packaged_model
from pipeline.tracking.runs import known_runs
from pipeline.tracking.store import open_store
from tests.conftest import wait_for

CHECKOUT = Path(__file__).parents[2]
CELL = "tiny-pn-0.9"
Start = Callable[..., subprocess.Popen[str]]

# A training: tells two epochs, the first one twice as after a resume, then waits for a word and does as it says.
TRAINING = f"""
import json, os, signal, sys, time
def tell(**event):
    if os.environ.get("SILENT"):
        return
    with open(os.environ["ACOL_EVENTS"], "a") as file:
        file.write(json.dumps(event) + "\\n")
def stop(number, frame):
    open("stopped", "w").write(str(number))
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)
assert "MLFLOW_RUN_ID" not in os.environ
tell(event="start", cell={CELL!r}, key="k1", parameters={{"train.lr": 0.01, "mean": [0.5, 0.4]}})
for epoch in (1, 1, 2):
    tell(event="epoch", epoch=epoch, metrics={{"train_loss": 2.0 / epoch}})
open("told", "w").close()
while not os.path.exists("word"):
    time.sleep(0.05)
word = open("word").read()
if word == "die":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(word))
"""


@pytest.fixture
def training(project: Path) -> Iterator[Start]:
    """A function that starts `pipeline.live` around the training in `project`."""
    (project / "training.py").write_text(TRAINING)
    (project / "params.yaml").write_text("tracking: {experiment: acol}\n")
    started: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.live", "--", sys.executable, "training.py"],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def say(project: Path, word: str) -> None:
    (project / "said").write_text(word)
    (project / "said").rename(project / "word")


def the_run(project: Path) -> Run:
    store = open_store(project, "acol")
    (run,) = store.client.search_runs([store.experiment_id], "tags.cell LIKE '%'")
    return run


def wait_for_the_curve(project: Path) -> None:
    wait_for(lambda: known_runs(open_store(project, "acol")))
    wait_for(lambda: epochs(project) == [(1, 2.0), (2, 1.0)])


def epochs(project: Path) -> list[tuple[int, float]]:
    store = open_store(project, "acol")
    runs = store.client.search_runs([store.experiment_id])
    return [
        (point.step, point.value)
        for run in runs
        for point in store.client.get_metric_history(run.info.run_id, "train_loss")
    ]


def test_the_curve_is_live_and_the_run_ends_with_the_training(project: Path, training: Start) -> None:
    store = open_store(project, "acol")
    parent = store.client.create_run(store.experiment_id, run_name="mlflow run").info.run_id
    process = training(MLFLOW_RUN_ID=parent)
    wait_for_the_curve(project)
    assert the_run(project).info.status == "RUNNING"
    say(project, "0")
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    run = the_run(project)
    assert (run.info.run_name, run.info.status) == (CELL, "FINISHED")
    assert run.data.params == {"train.lr": "0.01", "mean": "0.5,0.4"}
    tags = run.data.tags
    assert (tags["cell"], tags["acol.key"], tags["mlflow.parentRunId"]) == (CELL, "k1", parent)


def test_a_killed_training_is_a_killed_run(project: Path, training: Start) -> None:
    process = training()
    wait_for_the_curve(project)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert the_run(project).info.status == "KILLED"


@pytest.mark.parametrize(("end", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), ("die", 137), ("3", 3)])
def test_signals_and_failures_go_through(
    end: signal.Signals | str, status: int, project: Path, training: Start
) -> None:
    process = training(SILENT="1")
    wait_for((project / "told").exists)
    if isinstance(end, signal.Signals):
        process.send_signal(end)
    else:
        say(project, end)
    assert process.wait(60) == status
    assert (project / "stopped").exists() == isinstance(end, signal.Signals)


def test_no_thread_of_mlflows_can_take_a_signal_from_the_one_that_passes_it_on(project: Path, training: Start) -> None:
    process = training()
    wait_for_the_curve(project)
    blocked = {}
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        mask = int((thread / "status").read_text().partition("SigBlk:")[2].split()[0], 16)
        blocked[int(thread.name)] = {number for number in (signal.SIGTERM, signal.SIGINT) if mask >> (number - 1) & 1}
    assert blocked.pop(process.pid) == set()
    assert blocked
    assert all(numbers == {signal.SIGTERM, signal.SIGINT} for numbers in blocked.values())


def test_how_a_training_ended_is_its_runs_status() -> None:
    assert run_status(0, interrupted=True) == "FINISHED"  # it was over before the signal
    assert run_status(143, interrupted=True) == "KILLED"
    assert run_status(137, interrupted=False) == "KILLED"  # SIGKILL, such as from a kernel out of memory
    assert run_status(1, interrupted=False) == "FAILED"


def test_a_training_does_not_outlive_its_killed_wrapper(project: Path, training: Start) -> None:
    process = training()
    wait_for((project / "told").exists)
    process.kill()
    stopped = project / "stopped"
    wait_for(lambda: stopped.exists() and stopped.read_text() == str(int(signal.SIGTERM)))


def test_a_training_over_before_mlflow_is_loaded_does_not_wait_for_it(project: Path, training: Start) -> None:
    say(project, "0")
    assert training().wait(60) == 0
    assert known_runs(open_store(project, "acol")) == []


def test_a_server_that_is_away_costs_one_line(project: Path, training: Start) -> None:
    process = training(MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert process.stderr is not None
    error = process.stderr.readline()
    assert error.startswith("warning: MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert error.endswith("; training goes on, and `track` completes the run later\n")
    say(project, "0")
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_a_hanging_server_does_not_hold_the_end(project: Path, training: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # lets connect, and never answers
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        process = training(MLFLOW_TRACKING_URI=uri)
        say(project, "3")
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert error == (
        f"warning: MLflow at {uri} cannot be reached: no answer; training goes on, "
        "and `track` completes the run later\n"
    )


def test_the_wrapper_needs_a_command() -> None:
    process = subprocess.run([sys.executable, "-m", "pipeline.live"], cwd=CHECKOUT, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr == "usage: python -m pipeline.live -- COMMAND ARGUMENTS...\n"


def test_a_command_that_is_not_there_is_told_in_one_line() -> None:
    command = [sys.executable, "-m", "pipeline.live", "--", "no-such-command"]
    process = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == "error: [Errno 2] No such file or directory: 'no-such-command'\n"


def test_track_takes_the_live_run_over(
    project: Path, write_cell: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged_model, "log_model", lambda *_, **__: None)
    write_cell(CELL)
    events = project / "events.jsonl"
    parameters = json.loads((project / "models" / CELL / "summary.json").read_text())["parameters"]
    start = {"event": "start", "cell": CELL, "key": "k1", "parameters": parameters}
    epoch = {"event": "epoch", "epoch": 1, "metrics": {"train_loss": 2.0, "lr": 0.1, "seconds": 1.5}}
    events.write_text(f"{json.dumps(start)}\n{json.dumps(epoch)}\n" + '{"event": "epo')  # cut by a kill
    live = LiveRun(events, project, lambda: "acol", None)
    live.end("FINISHED")
    live.run()
    run_id = the_run(project).info.run_id
    assert track([CELL], project, "acol") == {CELL: run_id}
    assert sorted(epochs(project)) == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
