"""The HTTP service: a real process on a real champion, and the application alone where a slow model is needed."""

import asyncio
import base64
import io
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from acol.localization.fusion import upsample
from acol.metrics.calibration import Calibration
from acol.prediction.predictor import Prediction, Predictor
from pipeline import serve
from pipeline.tracking.registry import load_predictor
from tests.conftest import free_port, wait_for_server

PNG = {"Content-Type": "image/png"}


def start(project: Path, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipeline.serve", *map(str, arguments)]
    environment = {"PYTHONPATH": str(Path(serve.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def running(registered: Path, mlflow_environment: None) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    """The service's process, and a client of it."""
    port = free_port()
    process = start(registered, "--port", port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_for_server(process, f"{client.base_url}/health")
            yield process, client
    finally:
        process.kill()
        process.wait()


def png(size: tuple[int, int] = (80, 60)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 60 million pixels."""
    header = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b""))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def test_a_running_service(running: tuple["subprocess.Popen[str]", httpx.Client], registered: Path) -> None:
    process, client = running
    assert client.get("/health").json() == {"model": "models:/acol/1", "classes": ["keeper", "referee"]}
    asked = client.head("/health")  # as load balancers do
    assert (asked.status_code, asked.content) == (200, b"")

    content = png()
    answer = client.post("/predict", content=content, headers=PNG).raise_for_status().json()
    expected = load_predictor("models:/acol@champion", registered).predict([Image.open(io.BytesIO(content))])[0]
    assert answer == {
        "label": expected.label,
        "probability": expected.probability,
        "probabilities": expected.probabilities,
        "box": list(expected.box),
        "threshold": pytest.approx(load_predictor("models:/acol@champion", registered).tau),
        "map_name": "cam",
        "calibrated": False,
        "calibrated_on": 0,
        "map": base64.b64encode(expected.map_png()).decode(),
    }

    spared = client.post("/predict?map=false", content=content, headers=PNG).raise_for_status().json()
    assert spared == answer | {"map": None}
    raw = client.post("/predict?map=raw", content=content, headers=PNG).raise_for_status().json()
    own = upsample(torch.tensor(raw["map"])[None], expected.map.shape)[0].numpy()
    np.testing.assert_allclose(own, expected.map, atol=1e-4)
    assert raw == answer | {"map": raw["map"]}

    files = {
        form: client.post("/predict", params={"format": form, "name": "a/b.png"}, content=content, headers=PNG)
        for form in ("coco", "yolo", "voc", "csv", "mask")
    }
    assert {response.status_code for response in files.values()} == {200}
    (entry,) = files["coco"].json()["annotations"]
    x, y, width, height = entry["bbox"]
    assert (x, y, x + width, y + height) == pytest.approx(expected.box)
    assert "<filename>b.png</filename>" in files["voc"].text
    assert files["csv"].text.splitlines()[1].startswith(f"a/b.png,{expected.label},")
    assert len(files["yolo"].text.split()) == 5
    assert np.asarray(Image.open(io.BytesIO(files["mask"].content))).shape == expected.map.shape
    wrong = client.post("/predict?format=secret", content=content, headers=PNG)
    assert (wrong.status_code, "secret" in wrong.text) == (422, False)
    assert wrong.json()["detail"].startswith("format: Input should be 'json'")
    wrong = client.post("/predict?map=secret", content=content, headers=PNG)
    assert (wrong.status_code, "secret" in wrong.text) == (422, False)
    assert wrong.json()["detail"].startswith("map: Input should be")
    wrong = client.post("/predict?format=voc&name=secret%01", content=content, headers=PNG)  # no XML can hold it
    assert (wrong.status_code, "secret" in wrong.text) == (422, False)
    form = {"data": {"before": "x"}, "files": {"file": ("a.png", content)}}
    assert client.post("/predict", **form).raise_for_status().json() == answer
    assert client.get("/").headers["Location"] == "docs"

    page = client.get("/docs").text
    linked = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert linked
    assert {client.get(path).status_code for path in linked if not path.startswith("data:")} == {200}
    described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert {*described["responses"]} == {"200", "400", "408", "413", "415", "422", "503"}

    def chunks() -> Iterator[bytes]:
        yield from [bytes(2**20)] * 11

    marked = b"<script>secret</script>"
    for body, headers, status, problem in [
        (b"", PNG, 400, "no body"),
        (content, {"Content-Type": "text/html; <script>secret"}, 415, "Content-Type, image/*"),
        (content, {}, 415, "curl -F file=@"),
        (marked, {"Content-Type": "multipart/form-data; boundary=x"}, 400, "no file in the form"),
        (bytes(serve.MAX_BODY + 1), PNG, 413, f"more than {serve.MAX_BODY} bytes"),
        (chunks(), PNG, 413, f"more than {serve.MAX_BODY} bytes"),
        (marked, PNG, 422, "body: not an image"),
        (content[:-100], PNG, 422, "body: truncated or damaged;"),  # without what Pillow quotes
        (bomb(), PNG, 422, "more than 50000000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nsecret", PNG, 422, "body: not an image"),
    ]:
        refused = client.post("/predict", content=body, headers=headers)
        assert refused.status_code == status
        assert problem in refused.json()["detail"]
        assert "secret" not in refused.text
        assert "Traceback" not in refused.text
    assert client.get("/predict").status_code == 405
    assert client.get("/nothing").status_code == 404

    half = HTTPConnection("127.0.0.1", client.base_url.port or 0)
    half.putrequest("POST", "/predict")
    half.putheader("Content-Type", "image/png")
    half.putheader("Content-Length", str(len(content)))
    half.endheaders(content[:100])
    half.close()  # breaks off: nobody is there to be answered
    assert client.get("/health").status_code == 200

    begun = HTTPConnection("127.0.0.1", client.base_url.port or 0)
    begun.putrequest("POST", "/predict")
    begun.putheader("Content-Type", "image/png")
    begun.putheader("Content-Length", str(len(content)))
    begun.putheader("Expect", "100-continue")
    begun.endheaders()
    assert begun.sock.recv(1000).startswith(b"HTTP/1.1 100 ")  # the service has seen the head
    begun.send(content[:100])
    process.send_signal(signal.SIGTERM)
    until = time.monotonic() + 20
    with pytest.raises(httpx.ConnectError):
        while time.monotonic() < until:
            httpx.get(f"{client.base_url}/health")
            time.sleep(0.1)
    begun.send(content[100:])
    assert begun.getresponse().status == 200
    assert process.wait(20) == 143
    assert "Traceback" not in process.communicate()[1]


class Slow:
    """A model that answers when it is told to."""

    card = SimpleNamespace(classes=("keeper",))
    tau, calibration, map_name = 0.5, Calibration(), "cam"
    record_of = Predictor.record_of

    def __init__(self) -> None:
        self.go = threading.Event()
        self.prepared: list[Image.Image] = []
        self.batches: list[int] = []

    def prepare(self, image: Image.Image) -> Image.Image:
        self.prepared.append(image)
        return image

    def predict_batch(self, batch: list[Image.Image]) -> list[Prediction]:
        assert self.go.wait(60)
        self.batches.append(len(batch))
        return [Prediction("keeper", 1.0, {"keeper": 1.0}, np.zeros((2, 2)), image.size) for image in batch]


def test_what_waits_is_answered_at_once_and_what_finds_no_place_is_refused() -> None:
    slow = Slow()

    async def crowd() -> tuple[list[httpx.Response], str]:
        transport = httpx.ASGITransport(serve.create_app(slow, "slow"))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            served = [
                asyncio.create_task(client.post("/predict", content=png((9, side)), headers=PNG))
                for side in range(1, serve.MAX_IMAGES + 1)
            ]
            while len(slow.prepared) < len(served):
                await asyncio.sleep(0.01)
            refused = [await client.post("/predict", content=png(), headers=PNG) for _ in range(3)]
            slow.go.set()
            answers = [*refused, *await asyncio.gather(*served)]
            return answers, (await client.get("/metrics")).text

    answers, metrics = asyncio.run(crowd())
    assert [answer.status_code for answer in answers] == [503] * 3 + [200] * serve.MAX_IMAGES
    assert answers[0].headers["Retry-After"] == "1"
    assert answers[0].json() == {"detail": "busy; try again"}
    # Each gets its own, and the network was asked as seldom as may be: at first for what had come by then.
    assert [round(answer.json()["box"][3]) for answer in answers[3:]] == [*range(1, serve.MAX_IMAGES + 1)]
    assert len(slow.batches) <= 3
    assert f"acol_images_total {serve.MAX_IMAGES}\n" in metrics


def test_a_broken_image_leaves_the_others_of_its_time_alone() -> None:
    slow = Slow()
    slow.go.set()

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(serve.create_app(slow, "slow"))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            contents = [png(), png()[:-100], png()]
            return await asyncio.gather(*(client.post("/predict", content=each, headers=PNG) for each in contents))

    assert [answer.status_code for answer in asyncio.run(crowd())] == [200, 422, 200]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "UPLOAD_SECONDS", 0.2)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(60)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(serve.create_app(Slow(), "slow"))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post("/predict", content=stalled(), headers=PNG)

    assert asyncio.run(ask()).status_code == 408


@pytest.fixture
def refused(
    registered: Path,
    mlflow_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[object, str]]:
    """A function that tries to serve in vain: the exit status, and what it printed."""

    def serve_in_vain(*arguments: object) -> tuple[object, str]:
        monkeypatch.chdir(registered)
        monkeypatch.setattr(sys, "argv", ["serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            serve.main()
        return ended.value.code, capsys.readouterr().err

    return serve_in_vain


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--model", "models:/acol@nobody"], "error: models:/acol@nobody: no such model; correct the name"),
        (["--model", "best.pt"], "error: best.pt: no such file"),
        (["--port", "99999"], "error: --port 99999: not a port; choose one from 1 to 65535"),
    ],
)
def test_what_cannot_be_served_is_named(
    arguments: list[str], problem: str, refused: Callable[..., tuple[object, str]]
) -> None:
    status, complaint = refused(*arguments)
    assert status == 2
    assert complaint.startswith(problem)
    assert complaint.count("\n") == 1


def test_an_address_in_use_is_named(refused: Callable[..., tuple[object, str]]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, complaint = refused("--port", taken.getsockname()[1])
    assert status
    assert complaint.count("\n") == 1
    assert "Address already in use" in complaint


def test_a_full_memory_is_answered_as_busy(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(Slow):
        def predict_batch(self, batch: list[Image.Image]) -> list[Prediction]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 is full")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(serve.create_app(Full(), "full"))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post("/predict", content=png(), headers=PNG)

    assert asyncio.run(ask()).status_code == 503
    assert capsys.readouterr().err.startswith("error: CUDA out of memory. Tried to allocate 20.00 MiB")
