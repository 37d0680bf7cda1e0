"""How well a map's boxes match the true ones at each threshold, exactly as in the published WSOL protocol.

Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1, and its extension
(arXiv 2007.04178).
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from acol.bounds import RIGHT_IOU
from acol.errors import InputError
from acol.metrics.arrays import Array, as_array, check_range
from acol.metrics.boxes import checked, half_open_iou, protocol_iou

HALF_OPEN = np.array([0, 0, 1, 1])  # makes a box of its outermost pixels half-open
Contours = Literal["all", "largest"]


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


def choose_tau(curves: Array | None, iou: float = RIGHT_IOU, near: float = 0) -> float | None:
    """Return the tau with the most images at an IoU of at least `iou`; None if no image has boxes.

    `curves` (N, T) are those of the validation split for a fair choice, or of the test split for an upper bound.
    `iou` in (0, 1] is what counts as right. Of equally good ones it is the tau nearest to `near`: the first, if that
    is 0. Few images leave many equal ones, and the first of these is often far too low.

    >>> choose_tau(np.array([[0.2, 0.6], [0.6, 0.7]]))
    0.5
    >>> choose_tau(np.array([[0.5, 0.6, 0.7, 0.1]]), near=0.4)
    0.5
    """
    if curves is None or len(curves) == 0:
        return None
    taus, right = taus_of(curves.shape[1]), (curves >= iou).sum(axis=0)
    best = taus[right == right.max()]
    return float(best[np.abs(best - near).argmin()])


def levels_of(score_map: Array, name: str = "score_map") -> Array:
    """Return a map (H, W) in [0, 1] as uint8: 255 x value in its own float type, truncated, as the protocol does.

    Raises `InputError`, with `name` for the map, for values that are not finite or not in [0, 1].
    """
    if not np.issubdtype(score_map.dtype, np.floating):
        score_map = score_map.astype(np.float64)
    check_range(score_map, name)
    return np.asarray((score_map * score_map.dtype.type(255)).astype(np.uint8))


def largest_contour(levels: Array, t: int) -> tuple[int, int, int, int] | None:
    """Return the box of the contour of largest area where `levels` (H, W) uint8 exceed `t`; None if none do.

    Half-open xyxy pixels. The area is that within the contour, holes included; of equal areas the first in OpenCV's
    order counts.
    """
    _, binary = cv2.threshold(levels, t, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return x, y, x + w, y + h


def box_iou_curve(
    score_map: ArrayLike, gt_boxes: ArrayLike, thresholds: int = 1000, contours: Contours = "all"
) -> Array:
    """Return, for each threshold tau, the best IoU of the map's boxes with the true ones, as float64 (T,).

    `score_map` (H, W) in [0, 1]; `gt_boxes` (M, 4) in the map's pixels, by the protocol's convention, truncated to
    integers. The map becomes uint8 (255 x value in its own float type, truncated); foreground is above
    int(tau x maximum). `contours`: "all" takes the boxes of every contour (MaxBoxAccV2), "largest" that of the contour
    of largest area (MaxBoxAcc). The taus are those of `taus_of`.

    Raises `InputError` for a map that is not (H, W), not finite or not in [0, 1]; for no box, or a box that is negative
    or ends before it starts; for an unknown `contours`.

    >>> score_map = np.pad(np.ones((4, 4)), 2)
    >>> box_iou_curve(score_map, [[2, 2, 6, 10]], thresholds=2)
    array([0.55555556, 0.55555556])
    """
    score_map = as_array(score_map)
    if score_map.ndim != 2:
        raise InputError(f"score_map: has shape {score_map.shape}; give one map (height, width)")
    curve: Array = box_iou_curves(score_map[None], [gt_boxes], thresholds, contours, threads=1)[0]
    return curve


def box_iou_curves(
    score_maps: ArrayLike,
    gt_boxes: Sequence[ArrayLike],
    thresholds: int = 1000,
    contours: Contours = "all",
    threads: int | None = None,
) -> Array:
    """Return `box_iou_curve` of each map, (N, T) float64, several maps at a time.

    `score_maps` (N, H, W); `gt_boxes` N arrays (M, 4). `threads`: default, as many as this process has cores.

    Raises `InputError` as `box_iou_curve` does, with the number of the map at fault, and for unequal counts.

    >>> score_maps = np.pad(np.ones((4, 4)), 2)[None]
    >>> box_iou_curves(score_maps, [[[2, 2, 6, 10]]], thresholds=2)
    array([[0.55555556, 0.55555556]])
    """
    check_contours(contours)
    swept = _swept(score_maps, gt_boxes, taus := taus_of(thresholds), threads)
    curves = [each.every() if contours == "all" else each.largest() for each in swept]
    return np.array(curves).reshape(-1, len(taus))


def box_curves(
    score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike], half_open: Sequence[ArrayLike]
) -> tuple[Array, Array, Array]:
    """Return three curves (N, T) of the maps, at the 1000 thresholds of `taus_of`, by one sweep over their pixels.

    The best IoU of all contours; the largest contour's, both by the protocol; and the largest contour's for half-open
    boxes without rounding, as users get them. Arguments and errors are those of `box_iou_curves`; `half_open` are the
    same true boxes, N arrays (M, 4), half-open in the map's pixels and not rounded.
    """
    swept = _swept(score_maps, gt_boxes, taus_of())
    region = [each.region(as_array(truth)) for each, truth in zip(swept, half_open, strict=True)]
    return np.array([each.every() for each in swept]), np.array([each.largest() for each in swept]), np.array(region)


def check_contours(contours: str) -> None:
    """Raise `InputError` for an unknown kind of contours."""
    if contours not in ("all", "largest"):
        raise InputError(f"contours: {contours!r} is unknown; choose 'all' or 'largest'")


def _swept(
    score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike], taus: Array, threads: int | None = None
) -> list["_Swept"]:
    """Sweep over N maps, in several threads: the compiled sweep releases the GIL."""
    maps = as_array(score_maps)
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise InputError(f"score_maps: have shape {maps.shape}; give (images, height, width)")
    if len(gt_boxes) != len(maps):
        raise InputError(f"gt_boxes: {len(gt_boxes)} images' boxes for {len(maps)} maps; give one array per map")
    truths = checked(gt_boxes)
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(max(1, min(threads, len(maps)))) as pool:  # they end here, so that a later fork is safe
        return list(pool.map(lambda n: _Swept(maps[n], truths[n], taus, f"score_maps[{n}]"), range(len(maps))))


class _Swept:
    """The contours of one map at each of its levels, and what they give at each tau.

    In a map of zeros nothing is above any level: there the protocol's box is the pixel at the origin, and the user's
    box is the whole map.
    """

    def __init__(self, score_map: Array, truth: Array, taus: Array, name: str) -> None:
        from acol.metrics.components import sweep  # imports numba, which takes seconds

        self.truth, self.levels = truth, levels_of(score_map, name)
        self.best, largest, self.sure = sweep(self.levels, truth)
        self.boxes = largest + HALF_OPEN
        self.empty = self.levels.max() == 0
        self.steps = (taus * self.levels.max()).astype(np.int64)  # the level of each tau
        if self.empty:
            self.best[:] = protocol_iou(np.zeros(4, np.int64), truth).max()

    def every(self) -> Array:
        """Return the best IoU of every contour at each tau."""
        curve: Array = self.best[self.steps]
        return curve

    def largest(self) -> Array:
        """Return the largest contour's IoU at each tau, by the protocol: a box's end is held within the map."""
        if self.empty:
            return self.every()
        height, width = self.levels.shape
        boxes = np.minimum(self._decided(), (width, height, width - 1, height - 1))
        curve: Array = protocol_iou(boxes[:, None], self.truth).max(axis=1)[self.steps]
        return curve

    def region(self, truth: Array) -> Array:
        """Return the largest contour's IoU at each tau for half-open boxes; `truth` (M, 4) is half-open too."""
        height, width = self.levels.shape
        boxes = np.tile((0, 0, width, height), (len(self.boxes), 1)) if self.empty else self._decided()
        curve: Array = half_open_iou(boxes[:, None].astype(float), truth).max(axis=1)[self.steps]
        return curve

    def _decided(self) -> Array:
        """Let OpenCV find the largest contour at the levels where the sweep could not."""
        for t in np.unique(self.steps[~self.sure[self.steps]]):
            self.boxes[t], self.sure[t] = largest_contour(self.levels, int(t)), True
        return self.boxes
