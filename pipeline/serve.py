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
from functools import partial
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
from starlette.types import ASGIApp, Receive, Scope, Send

from acol.data.images import FORMATS
from acol.errors import InputError, memory_exhausted
from acol.network.precision import choose_device
from acol.prediction.label_files import LabelSettings, PredictedImage, label_text
from acol.prediction.predictor import BATCH, Prediction, Predictor
from acol.prediction.uploads import read_bytes
from pipeline import cli
from pipeline.batches import Batches
from pipeline.counts import count_predictions
from pipeline.monitoring import monitoring_router
from pipeline.tracking.registry import load_predictor, pin

MAX_BODY = 10 * 2**20  # bytes
MAX_IMAGES = 2 * BATCH  # those in the network, and as many that wait for it
THREADS = min(4, os.cpu_count() or 1)  # that decode images or encode maps; each image may have 50 million pixels
FORM_DATA = "multipart/form-data"
HOW_TO_SEND = "send an image file with its Content-Type, image/*, or as a form: curl -F file=@photo.jpg .../predict"
MAX_CONNECTIONS = 64  # each may hold a body in memory
UPLOAD_SECONDS = 30.0  # from a request's head to the end of its body
DRAIN_SECONDS = 30  # for requests that have begun when the service is stopped


class PredictionResponse(BaseModel):
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


ResponseFormat = Literal["json", "coco", "yolo", "voc", "csv", "mask"]
MapFormat = bool | Literal["raw"]
ImageName = Annotated[str, Query(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$", description="the image's file name")]
MEDIA_TYPES = {"yolo": "text/plain", "voc": "application/xml", "csv": "text/csv", "mask": "image/png"}  # others: JSON
OTHER_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}}
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No body, or an incomplete one"},
    408: {"model": Refusal, "description": f"No whole body within {UPLOAD_SECONDS:.0f} seconds"},
    413: {"model": Refusal, "description": f"More than {MAX_BODY >> 20} MiB"},
    415: {"model": Refusal, "description": "A Content-Type other than image/* and multipart/form-data"},
    422: {"model": Refusal, "description": "Not a whole image, above 50 million pixels, or a wrong parameter"},
    503: {"model": Refusal, "description": "Too many requests are waiting, or too little memory; try again later"},
}
FILE_SCHEMA = {"type": "string", "format": "binary"}
REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "description": f"An image file: {', '.join(FORMATS)}",
        "content": {
            "image/*": {"schema": FILE_SCHEMA},
            FORM_DATA: {"schema": {"type": "object", "required": ["file"], "properties": {"file": FILE_SCHEMA}}},
        },
    }
}


class HeadAsGet:
    """Has HEAD answered as GET, which FastAPI does not do; the server then sends no body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        head = {"method": "GET"} if scope.get("method") == "HEAD" else {}
        await self.app({**scope, **head}, receive, send)


def create_app(predictor: Predictor, model: str) -> FastAPI:
    """Return the application that serves `predictor`; `model` is its name for people."""
    app = FastAPIOffline(title="acol", description="What is in a photograph, and where.", redoc_url=None)
    app.add_middleware(HeadAsGet)
    counts: Counter[str] = Counter()
    app.include_router(monitoring_router(predictor, model, counts))
    in_work, network = asyncio.Semaphore(MAX_IMAGES), Batches(predictor.predict_batch, BATCH)
    in_thread = partial(to_thread.run_sync, limiter=CapacityLimiter(THREADS))

    @app.post(
        "/predict", response_model=PredictionResponse, responses=OTHER_RESPONSES | REFUSALS, openapi_extra=REQUEST_BODY
    )
    async def predict(
        request: Request, format: ResponseFormat = "json", name: ImageName = "image", map: MapFormat = True
    ) -> PredictionResponse | Response:
        content = await read_image_file(request)
        if in_work.locked():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "busy; try again", {"Retry-After": "1"})
        # The network has a thread of its own, so that meanwhile the others decode and encode.
        try:
            async with in_work:
                prepared = await in_thread(lambda: predictor.prepare(read_bytes(content, "body")))
                prediction = await asyncio.wrap_future(network.submit(prepared))
                response = await in_thread(lambda: make_response(predictor, prediction, format, name, map))
        except InputError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except Exception as error:
            if not (reason := memory_exhausted(error)):
                raise
            print(f"error: {reason}", file=sys.stderr)
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "too little memory", {"Retry-After": "30"}) from None
        counts.update(count_predictions([(prediction.label, prediction.probability, prediction.above_tau)]))
        return response

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


def make_response(
    predictor: Predictor, prediction: Prediction, file_format: ResponseFormat, name: str, map_format: MapFormat
) -> PredictionResponse | Response:
    """Return a prediction in the format that the request names; `name` is that of the image's file."""
    if file_format == "mask":
        return Response(prediction.region_png(), media_type=MEDIA_TYPES[file_format])
    if file_format != "json":
        row = PredictedImage.of(name, PurePosixPath(name).name, prediction)
        text = label_text(file_format, row, LabelSettings(predictor.card.classes, predictor.about))
        return Response(text, media_type=MEDIA_TYPES.get(file_format, "application/json"))
    return PredictionResponse(**predictor.record_of(prediction), map=encode_map(prediction, map_format))


def encode_map(prediction: Prediction, map_format: MapFormat) -> str | list[list[float]] | None:
    """Return a prediction's map as `PredictionResponse` describes it."""
    if map_format == "raw":
        return prediction.raw_map.astype(float).round(4).tolist()  # type: ignore[no-any-return]
    return base64.b64encode(prediction.map_png()).decode() if map_format else None


async def read_image_file(request: Request) -> bytes:
    """Return the image file of a request, never reading more than `MAX_BODY` bytes; raises `HTTPException`."""
    # What the head alone shows to be wrong is refused before the body is read.
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(("image/", FORM_DATA)):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HOW_TO_SEND)
    too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY} bytes; save it smaller")
    if int(request.headers.get("content-length", 0)) > MAX_BODY:  # the server refuses one that is no number
        raise too_large
    # A body may be longer than its head says, come too slowly, or break off.
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
    return bytes(content) if content_type.lower().startswith("image/") else file_in_form(bytes(content), content_type)


def file_in_form(form: bytes, content_type: str) -> bytes:
    """Return the first file in a form's body (RFC 7578); raises `HTTPException` without one.

    FastAPI would need python-multipart for this, which takes about 16 times as long, and takes the event loop's time.
    """
    boundary = re.search(r'boundary="?([^";,]+)', content_type, re.IGNORECASE)
    parts = form.split(b"--" + boundary[1].encode("latin-1"), 9)[1:] if boundary else []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head.lower():
            return content.removesuffix(b"\r\n")
    raise HTTPException(HTTPStatus.BAD_REQUEST, f"no file in the form; {HOW_TO_SEND}")


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
    model = pin(arguments.model, Path.cwd())
    predictor = load_predictor(model, Path.cwd(), str(device))
    # Predict once, so that a broken model fails here and the first request is not slow.
    make_response(predictor, predictor.predict([Image.new("RGB", (64, 64))])[0], "json", "image", map_format=True)
    print(f"{model}: http://{arguments.host}:{arguments.port}/docs", file=sys.stderr)
    uvicorn.run(
        create_app(predictor, model),
        host=arguments.host,
        port=arguments.port,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
