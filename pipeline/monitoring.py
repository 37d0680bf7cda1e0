"""What other programs ask a service about itself: counts for Prometheus, and the Open Inference Protocol's questions.

GET /metrics; GET /v2, /v2/health/live, /v2/health/ready, /v2/models/acol and /v2/models/acol/ready. Prediction itself
is POST /predict, and not the protocol's way.
"""

from collections import Counter
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response

from acol.prediction.predictor import Predictor
from pipeline.counts import prometheus_text

MODEL_NAME = "acol"


def monitoring_router(predictor: Predictor, model: str, counts: Counter[str]) -> APIRouter:
    """Return these routes for a service of `predictor`, whose name is `model`, and that keeps `counts`."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:  # in the thread that counts
        return Response(prometheus_text(counts), media_type="text/plain; version=0.0.4")

    @router.get("/v2")
    def server() -> dict[str, Any]:
        return {"name": MODEL_NAME, "version": version("acol"), "extensions": []}

    @router.get("/v2/health/live")
    def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/v2/health/ready")
    @router.get(f"/v2/models/{MODEL_NAME}/ready")
    def ready() -> dict[str, bool]:  # the model is loaded, and has predicted, before the service listens
        return {"ready": True}

    @router.get(f"/v2/models/{MODEL_NAME}")
    def metadata() -> dict[str, Any]:
        outputs = [("label", "BYTES", 1), ("probabilities", "FP64", len(predictor.card.classes)), ("box", "FP64", 4)]
        return {
            "name": MODEL_NAME,
            "versions": [model],
            "platform": "pytorch",
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
            "outputs": [{"name": name, "datatype": datatype, "shape": [size]} for name, datatype, size in outputs],
        }

    return router
