"""live: runs a training, and shows its curve in MLflow meanwhile. Faults of MLflow do not disturb the training.

    python -m pipeline.live -- python -m pipeline.train BACKBONE HEAD

The training appends a line of JSON for each event to the file that the environment variable `ACOL_EVENTS` names:

    {"event": "start", "cell": "resnet18-p", "key": "5f3a...", "parameters": {"train.lr": 0.01}, "tags": {}}
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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from pipeline.processes import die_with, die_with_dvc
from pipeline.tracking.runs import CELL_TAG, KEY_TAG, PROCESS_TAG, surroundings
from pipeline.tracking.store import (
    Store,
    StoreError,
    failures,
    log_in_batches,
    open_store,
    parent_tag,
    store_uri,
    without_password,
)

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

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
        self._events = events.open("rb")  # opened now: its folder is removed after the training
        self._root, self._experiment, self._parent = root, experiment, parent
        self._rest = b""  # the beginning of a line whose end has not been written yet
        self._start: dict[str, Any] = {}
        self._epochs: dict[int, dict[str, float]] = {}
        self._logged: set[int] = set()
        self._store: Store | None = None
        self._run_id: str | None = None
        self._monitor: SystemMetricsMonitor | None = None
        self._status: str | None = None
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
        ended, wait = False, 0.0
        with self._events:
            while not ended:
                ended = self._ended.wait(wait)
                wait = POLL
                try:
                    self._read()
                    if self._start:
                        with failures(store_uri(self._root)):
                            self._log()
                except StoreError as error:
                    self.warn(str(error))
                    wait = RETRY
                except Exception as error:
                    self.warn(f"no live curve: {type(error).__name__}: {error}")
                    return

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._events.read()).split(b"\n")
        for event in map(json.loads, lines):
            if event["event"] == "start":
                self._start = event
            elif event["event"] == "epoch":
                self._epochs.setdefault(event["epoch"], event["metrics"])  # a resumed training sends them again

    def _log(self) -> None:
        """Log what MLflow does not have yet. After an error the next call goes on where this one failed."""
        status = self._status  # read first, so that all events before the end are logged
        if self._store is None:
            self._store = open_store(self._root, self._experiment())
        store, client = self._store, self._store.client
        from mlflow.entities import Metric
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.begun = True
        if self._run_id is None:
            run = client.create_run(store.experiment_id, tags=self._tags(store), run_name=self._start["cell"])
            self._run_id = run.info.run_id
        if self._monitor is None:
            log_in_batches(client, self._run_id, self._start["parameters"])
            # The monitor logs how busy the processors and the memory are.
            self._monitor = SystemMetricsMonitor(self._run_id, SAMPLED, tracking_uri=store.uri)
            self._monitor.start()
        for epoch in sorted(self._epochs.keys() - self._logged):
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, epoch) for name, value in self._epochs[epoch].items()]
            log_in_batches(client, self._run_id, metrics=metrics)
            self._logged.add(epoch)
        if status is not None:
            self._monitor.finish()
            client.set_terminated(self._run_id, status)

    def _tags(self, store: Store) -> dict[str, str]:
        own = {
            CELL_TAG: self._start["cell"],
            KEY_TAG: self._start["key"],
            PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}",
        }
        parent = parent_tag(store, self._parent)
        return {**self._start.get("tags", {}), **surroundings(self._root, "pipeline.train"), **own, **parent}


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
        print("usage: python -m pipeline.live -- COMMAND ARGUMENTS...", file=sys.stderr)
        sys.exit(2)
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
