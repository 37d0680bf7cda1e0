"""live: runs a training, and shows its curve in MLflow meanwhile. Faults of MLflow do not disturb the training.

    python -m pipeline.live -- python -m pipeline.train BACKBONE HEAD

The training appends a line of JSON for each event to the file that the environment variable `ACOL_EVENTS` names:

    {"event": "start", "cell": "resnet18-p", "key": "5f3a...", "parameters": {"train.lr": 0.01}}
    {"event": "epoch", "epoch": 1, "metrics": {"train_loss": 1.2}}

A thread of this process reads that file and logs to MLflow. So a server that is unreachable, hangs or dies does not
slow the training. `track` completes the run from the files later. The exit status is the training's, or 128 + the
signal that ended it. SIGTERM and SIGINT are passed on to the training, and the run is marked as killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ruamel.yaml import YAML

from pipeline.processes import die_with, die_with_dvc
from pipeline.tracking.runs import CELL_TAG, KEY_TAG, PROCESS_TAG, environment_tags
from pipeline.tracking.store import (
    StoreError,
    failures,
    log_in_batches,
    open_store,
    parent_tag,
    store_uri,
    without_password,
)

POLL = 0.2  # seconds between two readings of the events
RETRY = 15.0  # seconds after which a store that failed is tried again
SAMPLED = 5  # seconds between two measurements of the machine
PATIENCE = 8.0  # seconds for which a finished training waits for MLflow
PASSED_ON = (signal.SIGTERM, signal.SIGINT)


class LiveRun(threading.Thread):
    """Shows one training in MLflow from its events. Errors of MLflow stay in this thread."""

    def __init__(self, events: Path, root: Path, experiment: Callable[[], str], parent: str | None) -> None:
        super().__init__(daemon=True)
        self.begun = False  # whether a run may exist
        self.warned = False
        self._file = events.open("rb")  # opened now: its folder is removed after the training
        self._root, self._experiment, self._parent = root, experiment, parent
        self._run_id: str | None = None
        self._logged: set[int] = set()  # epochs
        self._status = ""
        self._ended = threading.Event()

    def end(self, status: str) -> None:
        """Tell the thread that the training is over: the run gets the status FINISHED, FAILED or KILLED."""
        self._status = status
        self._ended.set()

    def warn(self, reason: str) -> None:
        """Tell the user that the curve is not live, but only once."""
        if not self.warned:
            self.warned = True
            print(f"warning: {reason}; training goes on, and `track` completes the run later", file=sys.stderr)

    def run(self) -> None:
        """Log the events until the training is over and MLflow has all of them, or an error ends the logging."""
        ended = False
        with self._file:
            while True:
                try:
                    with failures(store_uri(self._root)):
                        self._log()
                    return
                except StoreError as error:
                    self.warn(str(error))
                    if ended:
                        return
                except Exception as error:
                    self.warn(f"no live curve: {type(error).__name__}: {error}")
                    return
                ended = self._ended.wait(RETRY)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield all events, from the first one on, until the training is over."""
        self._file.seek(0)
        rest, ended = b"", False  # `rest` is the beginning of a line whose end has not been written yet
        while not ended:
            ended = self._ended.is_set()  # before the reading, so that all events before the end are read
            *lines, rest = (rest + self._file.read()).split(b"\n")
            yield from map(json.loads, lines)
            self._ended.wait(POLL)

    def _log(self) -> None:
        """Log all events into one run. After an error the next call logs what is missing into the same run."""
        events = self._events()
        start = next((event for event in events if event["event"] == "start"), None)
        if start is None:
            return
        store = open_store(self._root, self._experiment())
        client = store.client
        from mlflow.entities import Metric
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.begun = True
        if self._run_id is None:
            tags = environment_tags(self._root, "pipeline.train") | parent_tag(store, self._parent)
            tags |= {CELL_TAG: start["cell"], KEY_TAG: start["key"]}
            tags[PROCESS_TAG] = f"{socket.gethostname()}:{os.getpid()}"
            self._run_id = client.create_run(store.experiment_id, None, tags, start["cell"]).info.run_id
        log_in_batches(client, self._run_id, start["parameters"])
        # The monitor logs how busy the processors and the memory are.
        monitor = SystemMetricsMonitor(self._run_id, SAMPLED, tracking_uri=store.uri)
        monitor.start()
        try:
            for event in events:
                epoch = event.get("epoch")
                if epoch is not None and epoch not in self._logged:  # a resumed training sends its epochs again
                    now = int(time.time() * 1000)
                    points = [Metric(name, value, now, epoch) for name, value in event["metrics"].items()]
                    log_in_batches(client, self._run_id, metrics=points)
                    self._logged.add(epoch)
        finally:
            monitor.finish()
        client.set_terminated(self._run_id, self._status)


def run_training(command: Sequence[str], experiment: Callable[[], str], root: Path) -> int:
    """Run a training command to its end, and return its exit status.

    `experiment` returns the name of the MLflow experiment; it is called when the training has started.
    """
    parent = os.environ.pop("MLFLOW_RUN_ID", None)  # else the training would log into the run of `mlflow run`
    # The training writes its events to a file. It does not use MLflow, so no server can slow it.
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        events = Path(folder) / "events.jsonl"
        events.touch()
        child: subprocess.Popen[bytes] | None = None
        received: list[int] = []

        # Pass signals on to the training, also those that arrive before it has started.
        def forward(number: int, _frame: FrameType | None) -> None:
            received.append(number)
            if child is not None:
                child.send_signal(number)

        for stop in PASSED_ON:
            signal.signal(stop, forward)
        own_pid = os.getpid()
        environment = os.environ | {"ACOL_EVENTS": str(events)}
        environment.pop("DVC_STAGE", None)  # the training dies with this process, and this one with DVC
        child = subprocess.Popen(
            command,
            env=environment,
            process_group=0,  # so that Ctrl-C in a terminal reaches the training only once, from here
            preexec_fn=lambda: die_with(own_pid),
        )
        for number in received:
            child.send_signal(number)
        # Log the curve in a thread of this process, which gives way to the training.
        os.nice(5)
        live = LiveRun(events, root, experiment, parent)
        # Only the main thread may receive signals: if another one did, the main thread would not wake to pass them on.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        live.start()
        die_with_dvc()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        # The training decides the exit status, whatever MLflow does.
        status = child.wait()
        status = 128 - status if status < 0 else status
        live.end(run_status(status, bool(received)))
        if status != 0 or live.begun:  # a training that ended before MLflow was loaded needs no live run
            live.join(PATIENCE)
            if live.is_alive():
                live.warn(f"MLflow at {without_password(store_uri(root))} cannot be reached: no answer")
        return status


def run_status(status: int, interrupted: bool) -> str:
    """Return the status of a run from the exit status of its training, and whether a signal was passed on to it."""
    if status == 0:
        return "FINISHED"
    return "KILLED" if interrupted or status > 128 else "FAILED"


def _experiment() -> str:
    # Read without the schema: the training has checked the file, and importing the schema takes time.
    settings = YAML(typ="safe", pure=True).load(Path("params.yaml"))
    return str(settings.get("tracking", {}).get("experiment", "acol"))


def main() -> None:
    """Run what follows `--` on the command line; exit with its status."""
    if sys.argv[1:2] != ["--"] or not sys.argv[2:]:
        asked = sys.argv[1:] in (["-h"], ["--help"])
        print("usage: python -m pipeline.live -- COMMAND ARGUMENTS...", file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    try:
        status = run_training(sys.argv[2:], _experiment, Path.cwd())
    except OSError as error:  # no such command, or no room for the events
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread may still wait for a server that hangs


if __name__ == "__main__":
    main()
