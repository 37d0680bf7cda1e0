"""The view of the runs that the MLflow UI offers as `Views > Cells`: columns and charts of what users compare.

It is a tag of the experiment, in the format in which the UI of MLflow 3.17 saves a view.
"""

import base64
import json
import zlib
from typing import Any

from pipeline.report.metrics import SUMMARY, about

KEY = "cells"  # the view's name in the page's address
TAG = f"mlflow.sharedViewState.{KEY}"
SECTION = "scores"
COLUMNS = (  # as many as a laptop's window shows
    *("metrics.`max_box_acc_v2`", "metrics.`accuracy_top1`"),
    *("params.`backbone`", "params.`letters`", "params.`delta_1`", "params.`delta_2`", "params.`seed`"),
)
AGAINST_DELTA = tuple(reversed(SUMMARY))  # the metric that decides comes first
CURVES = ("train_loss", "val_loss", "val_accuracy")


def tag() -> str:
    """Return the tag's value."""
    state = {
        "searchFilter": "",
        "orderByKey": "metrics.`max_box_acc_v2`",  # if sorted by time, runs would be hidden under their parents
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": COLUMNS,
        "runsHiddenMode": "SHOWALL",
        "hideEmptyCharts": True,
        "compareRunCharts": [
            *(_chart("SCATTER", metric, **_against_delta(metric)) for metric in AGAINST_DELTA),
            *(_chart("BAR", metric, metricKey=metric) for metric in AGAINST_DELTA),
            *(_chart("LINE", metric, **_curve(metric)) for metric in CURVES),
        ],
        "compareRunSections": [{"uuid": SECTION, "name": "Cells", "display": True, "isReordered": False}],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    return json.dumps({"name": "Cells", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"})


def _chart(kind: str, metric: str, **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"{kind}-{metric}",
        "type": kind,
        "displayName": about(metric).title,
        "runsCountToCompare": 100,
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _against_delta(metric: str) -> dict[str, Any]:
    return {"xaxis": {"key": "delta_1", "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}


def _curve(metric: str) -> dict[str, Any]:
    return {"metricKey": metric, "selectedMetricKeys": [metric], "xAxisKey": "step"}
