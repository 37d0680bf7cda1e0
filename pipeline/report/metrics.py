"""The one table of all metrics: name, meaning and format of each.

Some keys are not in the table: the loss of one classifier, a score at another threshold. `about` makes their entry from
the entry of the key that they extend.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # every command loads this table, so it must not load these at once
    import numpy as np
    import pandas as pd

    from acol.metrics.scored import Score


@dataclass(frozen=True)
class Metric:
    """One metric.

    `key` is the name in files, and `meaning` a sentence without its full stop. `better` says whether a higher or a
    lower value is better; None means neither. If `percent`, it is a fraction in files and shown as percent. Others are
    shown as they are, with `digits`. `score` computes the metric from images.csv and the IoU curves of maps.npz. Only
    metrics with a `score` can be compared and judged by the gate. The gate also demands that the cell is above the
    baselines in the metrics `beats`; if that is empty, in the metric itself.
    """

    key: str
    title: str
    meaning: str
    better: Literal["higher", "lower"] | None = "higher"
    percent: bool = True
    digits: int = 3
    score: "Callable[[pd.DataFrame, np.ndarray | None], Score | None] | None" = None
    beats: tuple[str, ...] = ()

    def text(self, value: float) -> str:
        """Return a value for a table: percent with one decimal and without the sign, other numbers with `digits`."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.{self.digits}f}"

    def with_unit(self, value: float) -> str:
        """Return a value for a sentence."""
        return f"{self.text(value)} %" if self.percent else self.text(value)

    def rank(self, value: float) -> float:
        """Return a number that is greater for a better value."""
        return -value if self.better == "lower" else value


def _accuracy(images: "pd.DataFrame", curves: "np.ndarray | None") -> "Score":
    from acol.metrics.scored import MeanScore

    return MeanScore(images["correct"].to_numpy() == 1)


def _top1_loc(images: "pd.DataFrame", curves: "np.ndarray | None") -> "Score | None":
    from acol.metrics.scored import MeanScore
    from acol.setting_types import RIGHT_IOU

    boxed = images[images["iou"].notna()]
    return None if boxed.empty else MeanScore(((boxed["correct"] == 1) & (boxed["iou"] >= RIGHT_IOU)).to_numpy())


def _max_box_acc_v2(images: "pd.DataFrame", curves: "np.ndarray | None") -> "Score | None":
    from acol.metrics.scored import MaxScore

    return None if curves is None else MaxScore(curves[images["iou"].notna().to_numpy()])


_TABLE = (  # key, title, meaning; better (higher), percent (True), digits (3)
    Metric(
        "accuracy_top1",
        "Accuracy",
        "the share of photographs whose class the model names correctly",
        score=_accuracy,
    ),
    Metric("gt_known_loc", "GT-known Loc", "the share of right boxes when the model is given the true class"),
    Metric(
        "top1_loc",
        "Top-1 Loc",
        "the share of photographs on which both the class and the box are right",
        score=_top1_loc,
        beats=("max_box_acc_v2", "accuracy_top1"),
    ),
    Metric(
        "max_box_acc_v2",
        "MaxBoxAccV2",
        "the share of photographs whose box is right, averaged over three levels of strictness (IoU 0.3, 0.5 and 0.7), "
        "each at its best threshold",
        score=_max_box_acc_v2,
    ),
    Metric("pxap", "PxAP", "the average precision with which the map's pixels find the object's, over all thresholds"),
    Metric("mean_pxap", "PxAP of an image", "the mean over the photographs of each one's own PxAP"),
    Metric("accuracy_top5", "Top-5 accuracy", "the share of photographs whose class is among the model's first five"),
    Metric("top5_loc", "Top-5 Loc", "the share with the class among the model's first five and a right box"),
    Metric(
        "balanced_accuracy", "Balanced accuracy", "the accuracy of each class, averaged: rare classes count as others"
    ),
    Metric("pointing_game", "Pointing game", "the share of photographs whose map has its maximum in the object"),
    Metric("mass_inside", "Mass inside", "the share of the map's sum that lies in the object"),
    Metric("calibration_error", "Calibration error (ECE)", "how far the network's own probabilities are off", "lower"),
    Metric("calibration_error_scaled", "ECE, scaled", "how far the probabilities that users get are off", "lower"),
    Metric("max_box_acc", "MaxBoxAcc", "the share of right boxes of the largest region, at the best threshold"),
    Metric("max_box_acc_v2_30", "V2 at IoU 0.3", "MaxBoxAccV2's share of right boxes where an IoU of 0.3 is enough"),
    Metric("max_box_acc_v2_50", "V2 at IoU 0.5", "MaxBoxAccV2's share of right boxes where an IoU of 0.5 is needed"),
    Metric("max_box_acc_v2_70", "V2 at IoU 0.7", "MaxBoxAccV2's share of right boxes where an IoU of 0.7 is needed"),
    Metric("piou", "Best pixel IoU", "the IoU of the map's region with the object's mask, at the best threshold"),
    Metric("coverage", "Coverage", "the share of the photograph that the map covers", None),
    Metric(
        "entropy", "Entropy", "how widely the map is spread, from a point (0) to the whole photograph (100 %)", None
    ),
    Metric("overlap", "Overlap", "how far the regions of a recipe's classifiers overlap (mean IoU)", None),
    Metric(
        "deletion", "Deletion", "the mean probability of the class while the map's hottest parts are removed", "lower"
    ),
    Metric("insertion", "Insertion", "the mean probability of the class while only the map's hottest parts are added"),
    Metric("average_drop", "Average drop", "how much probability the class loses outside of the map's parts", "lower"),
    Metric(
        "average_increase", "Average increase", "the share whose class becomes more probable in the map's parts alone"
    ),
    Metric(
        "loss", "Loss", "the training loss, summed over the classifiers; do not compare recipes by it", "lower", False
    ),
    Metric("train_seconds", "Training, s", "the seconds that its training took", "lower", False, 0),
    Metric("size_mb", "Size, MB", "the size of its model's file", "lower", False, 1),
    Metric(
        "ms_per_image", "ms an image", "the milliseconds that evaluation took for each photograph", "lower", False, 1
    ),
)
METRICS = {metric.key: metric for metric in _TABLE}
COMPARED = tuple(metric.key for metric in _TABLE if metric.score)  # metrics by which the gate may judge
HEADLINE = ("accuracy_top1", "gt_known_loc", "top1_loc", "max_box_acc_v2", "pxap")  # shown first
COSTS = ("train_seconds", "size_mb", "ms_per_image")  # shown with them
SUMMARY = ("accuracy_top1", "gt_known_loc", "max_box_acc_v2")  # in `dvc metrics show` and the line of `evaluate`

_THRESHOLD = {
    "fixed": ("fixed threshold", "at the threshold that params.yaml sets"),
    "validation": ("validation threshold", "at the threshold that is best on the validation photographs"),
    "oracle": ("oracle threshold", "at the threshold that is best on these same photographs, so it is an upper bound"),
}


def about(key: str) -> Metric:
    """Return the metric of a key. An unknown key becomes a percentage for which neither direction is better."""
    if key in METRICS:
        return METRICS[key]
    if match := re.fullmatch(r"loss_(\d+)", key):
        meaning = f"the loss of classifier {match[1]} on the test photographs"
        return replace(METRICS["loss"], key=key, title=f"Loss of classifier {match[1]}", meaning=meaning)
    base, _, threshold = key.rpartition("_")
    if base in METRICS and threshold in _THRESHOLD:
        title, where = _THRESHOLD[threshold]
        known = METRICS[base]
        return replace(known, key=key, title=f"{known.title}, {title}", meaning=f"{known.meaning}, {where}")
    return Metric(key, key.replace("_", " "), "", better=None)


def ordered(keys: set[str]) -> list[str]:
    """Return keys of metrics in the table's order, then the others by name."""
    known = [key for key in METRICS if key in keys]
    return known + sorted(keys - set(known))
