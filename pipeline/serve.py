"""serve: answers HTTP requests with a model.

    python -m pipeline.serve [--model models:/acol@champion] [--host 127.0.0.1] [--port 8000]

    POST /predict   an image file's bytes, or a form with it (curl -F file=@photo.jpg) -> label, probabilities, box and
                    map as JSON; with ?map=false without the map, with ?map=raw its numbers; with ?format=coco, yolo,
                    voc or csv the box as such a file, with ?format=mask the region as PNG
    GET  /health    which model answers, and its classes
    GET  /metrics   how many images of which class there were, for Prometheus; /v2 for the Open Inference Protocol
    GET  /docs      a description of the interface, with forms to try it; /openapi.json for programs

The network takes all images that wait at once, and meanwhile the next ones are decoded. Some may wait, and further
requests are refused with 503. After SIGTERM or SIGINT, requests that have begun are finished.
"""

import asyncio
import base64
import os
import re
import sys
from collections import Counter
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi_offline import FastAPIOffline
from PIL import Image
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from acol.data.images import FORMATS
from acol.errors import InputError, memory_exhausted
from acol.network.precision import choose_device
from acol.prediction.label_files import LabelSettings, PredictedImage, labels_of
from acol.prediction.predictor import BATCH, Prediction, Predictor, Prepared
from acol.prediction.uploads import read_bytes
from pipeline import cli
from pipeline.batches import Batches
from pipeline.counts import counted
from pipeline.monitoring import monitoring
from pipeline.tracking.registry import load_predictor, pinned

MAX_BODY = 10 * 2**20  # bytes
PLACES = 2 * BATCH  # images: those in the network, and as many that wait for it
HANDS = min(4, os.cpu_count() or 1)  # images that are decoded or answered at a time; each may have 50 million pixels
FORM_DATA = "multipart/form-data"
HOW = "send an image file with its Content-Type, image/*, or as a form: curl -F file=@photo.jpg .../predict"
CONNECTIONS = 64  # each may hold a body in memory
UPLOAD_SECONDS = 30.0  # from a request's head to the end of its body
DRAIN_SECONDS = 30  # for requests that have begun when the service is stopped


class Answer(BaseModel):
    """The model's prediction for an image."""

    label: str = Field(description="the likeliest class")
    probability: float = Field(description="its probability")
    probabilities: dict[str, float] = Field(description="the probability of each class")
    box: tuple[float, float, float, float] = Field(
        description="x0, y0, x1, y1 in pixels of the image turned upright, half-open"
    )
    threshold: float = Field(description="of the box, as a share of the map's maximum")
    map_name: str = Field(description="of the map: what it is made of, such as cam+0.5late")
    calibrated: bool = Field(description="whether validation images show that the probabilities are right")
    calibrated_on: int = Field(description="how many validation images there were")
    map: str | list[list[float]] | None = Field(
        description="base64 of a grayscale PNG, 0 to 255: the localization map at the image's size, "
        "its longest side at most 1024; with map=raw the rows of the network's own map, 0 to 1; null with map=false"
    )


class Health(BaseModel):
    """The model that answers."""

    model: str = Field(description="registered version, or checkpoint")
    classes: list[str]


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


Form = Literal["json", "coco", "yolo", "voc", "csv", "mask"]
Map = bool | Literal["raw"]
Name = Annotated[str, Query(max_length=255, description="the image's file name, in the formats that hold one")]
MEDIA = {"coco": "application/json", "yolo": "text/plain", "voc": "application/xml", "csv": "text/csv"}
OTHERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string"}} for kind in [*sorted(MEDIA.values())[1:], "image/png"]}}
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No body, or an incomplete one"},
    408: {"model": Refusal, "description": f"No whole body within {UPLOAD_SECONDS:.0f} seconds"},
    413: {"model": Refusal, "description": f"More than {MAX_BODY >> 20} MiB"},
    415: {"model": Refusal, "description": "A Content-Type other than image/* and multipart/form-data"},
    422: {"model": Refusal, "description": "Not a whole image, above 50 million pixels, or a wrong parameter"},
    503: {"model": Refusal, "description": "Too many requests are waiting, or too little memory; try again later"},
}
BINARY = {"type": "string", "format": "binary"}
BODY = {
    "requestBody": {
        "required": True,
        "description": f"An image file: {', '.join(FORMATS)}",
        "content": {
            "image/*": {"schema": BINARY},
            FORM_DATA: {"schema": {"type": "object", "required": ["file"], "properties": {"file": BINARY}}},
        },
    }
}


def service(predictor: Predictor, model: str) -> FastAPI:
    """Return the application that answers with `predictor`, which it calls `model`."""
    app = FastAPIOffline(title="acol", description="What is in a photograph, and where.", redoc_url=None)
    counts: Counter[str] = Counter()
    app.include_router(monitoring(predictor, model, counts))
    places, hands, network = asyncio.Semaphore(PLACES), CapacityLimiter(HANDS), Batches(predictor.run, BATCH)

    @app.post("/predict", response_model=Answer, responses=OTHERS | REFUSALS, openapi_extra=BODY)
    async def predict(
        request: Request, format: Form = "json", name: Name = "image", map: Map = True
    ) -> Answer | Response:
        content = await body(request)
        if places.locked():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "busy; try again", {"Retry-After": "1"})
        try:
            async with places:
                ready = await to_thread.run_sync(decoded, predictor, content, limiter=hands)
                found = await asyncio.wrap_future(network.submit(ready))
                answered = await to_thread.run_sync(answer, predictor, found, format, name, map, limiter=hands)
        except InputError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except Exception as error:
            if not (reason := memory_exhausted(error)):
                raise
            print(f"error: {reason}", file=sys.stderr)
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "too little memory", {"Retry-After": "30"}) from None
        counts.update(counted([(found.label, found.probability, found.above_tau)]))
        return answered

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own answer repeats what was sent.
        faults = [f"{fault['loc'][1]}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"detail": "; ".join(faults)}, HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    @app.get("/health")
    async def health() -> Health:
        return Health(model=model, classes=list(predictor.card.classes))

    return app


def decoded(predictor: Predictor, content: bytes) -> Prepared:
    """Return an image file's bytes as the network takes them; raises `InputError` if they are not an image."""
    return predictor.prepare(read_bytes(content, "body"))


def answer(
    predictor: Predictor, found: Prediction, form: Form = "json", name: str = "image", with_map: Map = True
) -> Answer | Response:
    """Answer with a prediction."""
    if form == "mask":
        return Response(found.region_png(), media_type="image/png")
    if form != "json":
        row = PredictedImage.of(name, PurePosixPath(name).name, found)
        return Response(
            labels_of(form, row, LabelSettings(predictor.card.classes, predictor.about)), media_type=MEDIA[form]
        )
    return Answer(
        label=found.label,
        probability=found.probability,
        probabilities=found.probabilities,
        box=found.box,
        threshold=predictor.tau,
        map_name=predictor.map_name,
        calibrated=predictor.calibration.calibrated,
        calibrated_on=predictor.calibration.images,
        map=map_of(found, with_map),
    )


def map_of(found: Prediction, wanted: Map) -> str | list[list[float]] | None:
    """Return the map in the form that is wanted, as `Answer` says it."""
    if wanted == "raw":
        return found.raw_map.astype(float).round(4).tolist()  # type: ignore[no-any-return]
    return base64.b64encode(found.map_png()).decode() if wanted else None


async def body(request: Request) -> bytes:
    """Return the image file of a request, never reading more than `MAX_BODY` bytes; raises `HTTPException`."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith(("image/", FORM_DATA)):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HOW)
    too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY} bytes; save it smaller")
    if int(request.headers.get("content-length", 0)) > MAX_BODY:  # the server refuses one that is no number
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BODY:
                    raise too_large
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time; send it again") from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body is incomplete; send it again") from None
    if not content:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "no body; send an image file")
    return bytes(content) if kind.lower().startswith("image/") else file_of(bytes(content), kind)


def file_of(form: bytes, kind: str) -> bytes:
    """Return the first file in a form's body (RFC 7578) of Content-Type `kind`; raises `HTTPException` without one."""
    boundary = re.search(r'boundary="?([^";,]+)', kind, re.IGNORECASE)
    parts = form.split(b"--" + boundary[1].encode("latin-1"), 9)[1:] if boundary else []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head.lower():
            return content.removesuffix(b"\r\n")
    raise HTTPException(HTTPStatus.BAD_REQUEST, f"no file in the form; {HOW}")


def warm(predictor: Predictor) -> None:
    """Predict once, so that a broken model fails here and the first request is not slow."""
    answer(predictor, predictor.predict([Image.new("RGB", (64, 64))])[0])


@cli.main
def main() -> None:
    """Serve until told to stop."""
    parser = cli.parser("pipeline.serve", "Serve a model over HTTP.")
    parser.add_argument(
        "--model", default="models:/acol@champion", help="registered model or checkpoint (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    cli.check_address(arguments.host, arguments.port)
    device = choose_device(cli.device_name())  # of the params.yaml in this folder, if there is one
    model = pinned(arguments.model, Path.cwd())
    predictor = load_predictor(model, Path.cwd(), str(device))
    warm(predictor)
    print(f"{model}: http://{arguments.host}:{arguments.port}/docs", file=sys.stderr)
    uvicorn.run(
        service(predictor, model),
        host=arguments.host,
        port=arguments.port,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
