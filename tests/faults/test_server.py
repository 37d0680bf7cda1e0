"""A tracking server that fails at any one of the calls that a training and `track` make."""

import http.client
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port, wait_for_server

CELL = "lite0-pn-0.9"
Trained = Callable[[str, Sequence[str]], Path]
ROUNDS = 3  # of each fault, spread evenly over all the calls, at other ones than the other faults'
FAULTS = {  # and how often MLflow tries again
    "answers 500": 0,
    "answers another page": 0,
    "hangs": 0,
    "is gone": 0,
    "once answers 500": 0,
    "once drops the call": 1,
    "once drops the answer": 1,
}
WARNING = r"warning: [^\n]+; training goes on, and `track` completes the run later\n"
ERROR = r"error: [^\n]+; the files are complete: run `dvc repro` again to log them\n"


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before a server, and from call number `at` on (or there alone) does something else than to forward it."""

    daemon_threads = True

    def __init__(self, upstream: int, fault: str = "", at: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.fault, self.at = upstream, fault, at
        self.calls: list[str] = []
        self.over = threading.Event()
        self.counting = threading.Lock()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        with self.server.counting:
            number = len(self.server.calls)
            self.server.calls.append(f"{self.command} {self.path.partition('?')[0]}")
        fault = self.server.fault
        if (fault.startswith("once") and number != self.server.at) or number < self.server.at:
            fault = ""
        if fault == "hangs":
            self.server.over.wait(60)
        elif fault in {"answers 500", "once answers 500"}:
            self.answer(500, "text/html", b"<h1>Internal Server Error</h1>")
        elif fault == "answers another page":
            self.answer(200, "text/html", b"<h1>Please log in</h1>")
        elif fault == "is gone":
            self.server.shutdown()  # first, lest its loop spin on a closed socket
            self.server.socket.close()
        elif fault != "once drops the call":
            answer = self.forward(body)
            if fault != "once drops the answer":
                self.answer(*answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def forward(self, body: bytes) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.getheader("Content-Type") or "", content

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def proxy(upstream: int, fault: str = "", at: int = 0) -> Iterator[Proxy]:
    with Proxy(upstream, fault, at) as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield started
        started.over.set()
        started.shutdown()


@dataclass
class Server:
    """A real `mlflow server`."""

    folder: Path
    port: int
    calls: list[str] = field(default_factory=list)  # of a training and `track` where all goes well


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, initialised_store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(initialised_store, folder / "mlflow.db")
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")),
        ],
        cwd=folder,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_server(process, f"http://127.0.0.1:{port}/health")
        yield Server(folder, port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def healthy(server: Server, processes: Any, trained: Trained) -> Server:
    """The server, which knows the calls that a training and `track` make where all goes well."""
    if not server.calls:
        project = trained("healthy", ["pn-0.9"])
        with proxy(server.port) as watched:
            environment = {"MLFLOW_TRACKING_URI": watched.uri, "CELL": CELL}
            for stage in (processes.live, processes.track):
                (done,) = stage([project], [environment])
                assert (done.status, done.said) == (0, "")
        server.calls = watched.calls
    return server


@pytest.mark.parametrize("fault", FAULTS)
def test_whichever_call_fails_nothing_is_lost(
    fault: str, healthy: Server, processes: Any, expected: Any, trained: Trained
) -> None:
    fated = range(list(FAULTS).index(fault), len(healthy.calls), -(-len(healthy.calls) // ROUNDS))
    projects = [trained(f"{fault.replace(' ', '-')}-{at}", ["pn-0.9"]) for at in fated]
    names = [f"{fault} at {at}, {healthy.calls[at]}" for at in fated]

    def is_restored(project: Path) -> bool:
        shown = expected.shown(healthy.folder / "mlflow.db", healthy.folder / "kept", project.name)
        return shown == [expected.wanted(CELL)]

    with ExitStack() as stack:
        servers = [stack.enter_context(proxy(healthy.port, fault, at)) for at in fated]
        patience = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1" if fault == "hangs" else "20",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(FAULTS[fault]),
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        }
        environments = [patience | {"MLFLOW_TRACKING_URI": away.uri, "CELL": CELL} for away in servers]
        for name, done in zip(names, processes.live(projects, environments), strict=True):
            assert done.status == 0, (name, done)
            assert done.said == "" or re.fullmatch(WARNING, done.said), (name, done)
            assert done.seconds < 2 + 8 + 5, (name, done)  # the training's, `live`'s patience, and a slow machine's
        for name, project, done in zip(names, projects, processes.track(projects, environments), strict=True):
            assert done.seconds < 25, (name, done)
            if done.status == 0:
                assert done.said == "", (name, done)
                assert is_restored(project), name
            else:
                assert done.status == 1, (name, done)
                assert re.fullmatch(ERROR, done.said), (name, done)
    known = []
    for some in (projects, projects[:1]):  # the second time there is nothing to do
        back = [{"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{healthy.port}"}] * len(some)
        for name, done in zip(names, processes.track(some, back), strict=False):
            assert (done.status, done.said) == (0, ""), name
        known.append((projects[0] / "report" / "runs.json").read_text())
    assert known[0] == known[1]
    for name, project in zip(names, projects, strict=True):
        assert is_restored(project), name
