"""Metrics: classification, localization by boxes and masks, label-free map quality, and intervals of scores.

Each name is loaded at its first use, so that code which needs only numpy does not load torch or numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acol.metrics.accuracy import Classification, classification, top_k_correct
    from acol.metrics.boxes import gt_boxes_for_map
    from acol.metrics.calibration import Calibration, calibration_error, fit_calibration
    from acol.metrics.centred import centred_box, centred_box_curves
    from acol.metrics.comparison import Difference, compare, holm, over_seeds
    from acol.metrics.curves import box_iou_curve, box_iou_curves
    from acol.metrics.intervals import Interval, max_interval, mean_interval
    from acol.metrics.masks import MaskResult, PxAP, pixel_counts, pixel_intervals
    from acol.metrics.max_box_acc import MaxBoxAccV2, MaxBoxAccV2Result
    from acol.metrics.perturbation import average_drop, deletion, insertion
    from acol.metrics.power import smallest_difference, times_needed
    from acol.metrics.quality import (
        box_mask,
        complementarity,
        coverage,
        entropy,
        mass_inside,
        object_share,
        overlap,
        pointing,
    )
    from acol.metrics.scored import MaxScore, MeanScore
    from acol.metrics.thresholds import choose_tau, iou_at, taus_of

__all__ = [
    "Calibration",
    "Classification",
    "Difference",
    "Interval",
    "MaskResult",
    "MaxBoxAccV2",
    "MaxBoxAccV2Result",
    "MaxScore",
    "MeanScore",
    "PxAP",
    "average_drop",
    "box_iou_curve",
    "box_iou_curves",
    "box_mask",
    "calibration_error",
    "centred_box",
    "centred_box_curves",
    "choose_tau",
    "classification",
    "compare",
    "complementarity",
    "coverage",
    "deletion",
    "entropy",
    "fit_calibration",
    "gt_boxes_for_map",
    "holm",
    "insertion",
    "iou_at",
    "mass_inside",
    "max_interval",
    "mean_interval",
    "object_share",
    "over_seeds",
    "overlap",
    "pixel_counts",
    "pixel_intervals",
    "pointing",
    "smallest_difference",
    "taus_of",
    "times_needed",
    "top_k_correct",
]

_HOMES = {
    "accuracy": ("Classification", "classification", "top_k_correct"),
    "boxes": ("gt_boxes_for_map",),
    "calibration": ("Calibration", "calibration_error", "fit_calibration"),
    "centred": ("centred_box", "centred_box_curves"),
    "comparison": ("Difference", "compare", "holm", "over_seeds"),
    "curves": ("box_iou_curve", "box_iou_curves"),
    "intervals": ("Interval", "max_interval", "mean_interval"),
    "masks": ("MaskResult", "PxAP", "pixel_counts", "pixel_intervals"),
    "max_box_acc": ("MaxBoxAccV2", "MaxBoxAccV2Result"),
    "perturbation": ("average_drop", "deletion", "insertion"),
    "power": ("smallest_difference", "times_needed"),
    "quality": (
        "box_mask",
        "complementarity",
        "coverage",
        "entropy",
        "mass_inside",
        "object_share",
        "overlap",
        "pointing",
    ),
    "scored": ("MaxScore", "MeanScore"),
    "thresholds": ("choose_tau", "iou_at", "taus_of"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
