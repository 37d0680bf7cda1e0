"""The thresholds tau of a box or region: which there are, and how one is chosen."""

import numpy as np

from acol.errors import InputError
from acol.metrics.arrays import Array
from acol.metrics.boxes import RIGHT


def taus_of(thresholds: int = 1000) -> Array:
    """Return the protocol's thresholds, as numpy.arange(0, 1, 1 / thresholds) gives them.

    They are `thresholds` values, except for a few counts (49, 98, 103, ...) where rounding adds one.

    Raises `InputError` unless `thresholds` is a whole number of at least 1.

    >>> taus_of(4)
    array([0.  , 0.25, 0.5 , 0.75])
    """
    if isinstance(thresholds, bool) or not isinstance(thresholds, int | np.integer) or thresholds < 1:
        raise InputError(f"thresholds: {thresholds!r} is not a whole number above 0; use e.g. 1000")
    return np.arange(0, 1, 1 / thresholds)


def iou_at(curves: Array, tau: float) -> Array:
    """Return each image's best IoU (N,) at `tau`, read from `curves` (N, T) at the nearest of its thresholds.

    Raises `InputError` for a tau outside [0, 1).

    >>> iou_at(np.array([[0.2, 0.6], [0.6, 0.7]]), tau=0.5)
    array([0.6, 0.7])
    """
    if not 0 <= tau < 1:
        raise InputError(f"tau: {tau} is outside [0, 1); choose e.g. 0.2")
    count = curves.shape[1]
    iou: Array = curves[:, min(round(tau * count), count - 1)]
    return iou


def choose_tau(curves: Array | None, iou: float = RIGHT) -> float | None:
    """Return the first tau with the most images at an IoU of at least `iou`; None if no image has boxes.

    `curves` (N, T) are those of the validation split for a fair choice, or of the test split for an upper bound.
    `iou` in (0, 1] is what counts as right.

    >>> choose_tau(np.array([[0.2, 0.6], [0.6, 0.7]]))
    0.5
    """
    if curves is None or len(curves) == 0:
        return None
    return float(taus_of(curves.shape[1])[(curves >= iou).sum(axis=0).argmax()])
