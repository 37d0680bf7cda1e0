"""Params and metrics in the form and the batches that MLflow accepts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

# MLflow's limits.
PARAM_LENGTH = 6000
_PARAMS, _METRICS = 100, 1000  # in one call


def as_param(value: object) -> str:
    """Return a setting's text as MLflow keeps it: lists as "0.9,0.7", at most 6,000 characters."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text[:PARAM_LENGTH]


def log_in_batches(
    client: "MlflowClient", run_id: str, params: Mapping[str, object] | None = None, metrics: Sequence["Metric"] = ()
) -> None:
    """Log any number of params and metrics into a run, by as few calls as MLflow's limits allow."""
    from mlflow.entities import Param

    texts = [Param(name, as_param(value)) for name, value in (params or {}).items()]
    for start in range(0, len(texts), _PARAMS):
        client.log_batch(run_id, params=texts[start : start + _PARAMS])
    for start in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS])
