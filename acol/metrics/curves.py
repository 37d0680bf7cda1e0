"""The IoU of a map's boxes with the true ones at each threshold, exactly as in the published WSOL protocol.

The protocol is in Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1,
and in its extension (arXiv 2007.04178).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array, check_range
from acol.metrics.boxes import checked_boxes, half_open_iou, protocol_iou
from acol.setting_types import RIGHT_IOU

HALF_OPEN = np.array([0, 0, 1, 1])  # added to the outermost pixels of a region, gives its half-open box
Contours = Literal["all", "largest"]
T = TypeVar("T")


def taus_of(thresholds: int = 1000) -> Array:
    """Return the protocol's thresholds in [0, 1): those of numpy.arange(0, 1, 1 / thresholds).

    `thresholds` is their number, at least 1 (default: 1000). For a few numbers (49, 98, 103, ...) rounding adds one
    more.

    Raises `InputError` if `thresholds` is no whole number of at least 1.

    >>> taus_of(4)
    array([0.  , 0.25, 0.5 , 0.75])
    """
    if isinstance(thresholds, bool) or not isinstance(thresholds, int | np.integer) or thresholds < 1:
        raise InputError(f"thresholds: {thresholds!r} is not a whole number above 0; use e.g. 1000")
    return np.arange(0, 1, 1 / thresholds)


def iou_at(curves: Array, tau: float) -> Array:
    """Return the IoU of each image (N,) at the threshold of its curve that is nearest to `tau`.

    Args:
        curves: (N, T), of `box_iou_curves`.
        tau: in [0, 1).

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
    """Return the tau at which most images reach an IoU of `iou`.

    Args:
        curves: (N, T), of `box_iou_curves`: of validation images for a fair choice, of test images for an upper bound.
        iou: in (0, 1], from which a box counts as right (default: 0.5).
        near: of equally good taus, the one nearest to `near` is returned (default: 0, so the first). With few images
            there are many of them, and the first is often far too low.

    Returns a tau of `taus_of`; None for None or no images.

    >>> choose_tau(np.array([[0.2, 0.6], [0.6, 0.7]]))
    0.5
    >>> choose_tau(np.array([[0.5, 0.6, 0.7, 0.1]]), near=0.4)
    0.5
    """
    if curves is None or len(curves) == 0:
        return None
    count = curves.shape[1]
    taus, right = taus_of(count)[:count], (curves >= iou).sum(axis=0)
    best = taus[right == right.max()]
    return float(best[np.abs(best - near).argmin()])


def levels_of(score_map: Array, name: str = "score_map") -> Array:
    """Return a map (H, W) in [0, 1] as uint8: 255 x value in the map's float type, truncated, as the protocol does it.

    Raises `InputError` for values that are not finite or not in [0, 1]; its message calls the map `name`.
    """
    if not np.issubdtype(score_map.dtype, np.floating):
        score_map = score_map.astype(np.float64)
    check_range(score_map, name)
    return np.asarray((score_map * score_map.dtype.type(255)).astype(np.uint8))


def largest_contour(levels: Array, t: int) -> tuple[int, int, int, int] | None:
    """Return the box of the largest contour where `levels` (H, W) uint8 are above `t`; None if they are nowhere.

    The box is half-open, xyxy in pixels. The largest contour is the one with the largest area inside, holes included;
    of equal areas it is the first in OpenCV's order.
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

    The map is first turned into uint8 (255 x value in its float type, truncated); the foreground is above
    int(tau x maximum). The taus are those of `taus_of`. The source is Choe et al. (CVPR 2020), section 4.1.

    Args:
        score_map: (H, W) in [0, 1].
        gt_boxes: (M, 4), the true boxes in the protocol's form (`gt_boxes_for_map`), in the map's pixels; they are
            truncated to integers.
        thresholds: the number of taus, at least 1 (default: 1000).
        contours: "all" (default) uses the box of every contour, as MaxBoxAccV2 does; "largest" only that of the contour
            of the largest area, as MaxBoxAcc does.

    Raises `InputError` for a map that is not (H, W), not finite or not in [0, 1]; for no box, or a box that is negative
    or ends before it starts; and for an unknown `contours`.

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
    """Return `box_iou_curve` of each map, (N, T) float64; several maps are computed at a time.

    Args:
        score_maps: (N, H, W) in [0, 1].
        gt_boxes: N arrays (M, 4), the true boxes of each map.
        thresholds, contours: as in `box_iou_curve`.
        threads: how many maps are computed at a time; None (default): as many as this process has cores.

    Raises `InputError` as `box_iou_curve` does, with the index of the map, and if there are not N arrays of boxes.

    >>> score_maps = np.pad(np.ones((4, 4)), 2)[None]
    >>> box_iou_curves(score_maps, [[[2, 2, 6, 10]]], thresholds=2)
    array([[0.55555556, 0.55555556]])
    """
    check_contours(contours)
    read = _MapContours.iou_of_all if contours == "all" else _MapContours.iou_of_largest
    taus = taus_of(thresholds)
    curves = _curves_of_maps(score_maps, gt_boxes, taus, lambda contours_of_map, n: read(contours_of_map), threads)
    return np.array(curves).reshape(-1, len(taus))


def box_curves(
    score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike], half_open: Sequence[ArrayLike]
) -> tuple[Array, Array, Array]:
    """Return three curves (N, T) of each map, at the 1000 thresholds of `taus_of`, from one sweep over its pixels.

    They are: by the protocol, the best IoU of all contours and the IoU of the largest contour; and the IoU of the
    largest contour with half-open boxes that are not rounded, as users get them. Arguments and errors are those of
    `box_iou_curves`; `half_open` are the same true boxes, N arrays (M, 4), half-open in the map's pixels, not rounded.
    """

    def read(contours: _MapContours, n: int) -> tuple[Array, Array, Array]:
        return contours.iou_of_all(), contours.iou_of_largest(), contours.iou_of_half_open(as_array(half_open[n]))

    curves = _curves_of_maps(score_maps, gt_boxes, taus := taus_of(), read)
    every, largest, region = (np.array([row[k] for row in curves]).reshape(-1, len(taus)) for k in range(3))
    return every, largest, region


def check_contours(contours: str) -> None:
    """Raise `InputError` for an unknown kind of contours."""
    if contours not in ("all", "largest"):
        raise InputError(f"contours: {contours!r} is unknown; choose 'all' or 'largest'")


def _curves_of_maps(
    score_maps: ArrayLike,
    gt_boxes: Sequence[ArrayLike],
    taus: Array,
    read: "Callable[[_MapContours, int], T]",
    threads: int | None = None,
) -> list[T]:
    """Return what `read` returns for the contours of each of N maps and the map's index.

    Several threads work at a time, since the compiled sweep releases the GIL. The contours of a map are kept only until
    they are read, so that memory does not grow with the maps.
    """
    maps = as_array(score_maps)
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise InputError(f"score_maps: have shape {maps.shape}; give (images, height, width)")
    if len(gt_boxes) != len(maps):
        raise InputError(f"gt_boxes: {len(gt_boxes)} images' boxes for {len(maps)} maps; give one array per map")
    truths = checked_boxes(gt_boxes)
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def curves_of(n: int) -> T:
        return read(_MapContours(maps[n], truths[n], taus, f"score_maps[{n}]"), n)

    with ThreadPoolExecutor(max(1, min(threads, len(maps)))) as pool:  # its threads end here, so a later fork is safe
        return list(pool.map(curves_of, range(len(maps))))


class _MapContours:
    """The contours of one map at each of its levels, and their IoU with the true boxes at each tau.

    In a map of zeros nothing is above any level: there the protocol's box is the pixel at the origin, and a user's box
    is the whole map.
    """

    def __init__(self, score_map: Array, truth: Array, taus: Array, name: str) -> None:
        from acol.metrics.components import sweep  # imports numba, which takes seconds to load

        self.truth, self.levels = truth, levels_of(score_map, name)
        self.best, largest, self.sure = sweep(self.levels, truth)
        self.boxes = largest + HALF_OPEN
        self.empty = self.levels.max() == 0
        self.levels_of_taus = (taus * self.levels.max()).astype(np.int64)
        if self.empty:
            self.best[:] = protocol_iou(np.zeros(4, np.int64), truth).max()

    def iou_of_all(self) -> Array:
        """Return the best IoU of all contours at each tau."""
        curve: Array = self.best[self.levels_of_taus]
        return curve

    def iou_of_largest(self) -> Array:
        """Return the IoU of the largest contour at each tau by the protocol, in which a box ends within the map."""
        if self.empty:
            return self.iou_of_all()
        height, width = self.levels.shape
        boxes = np.minimum(self._largest_boxes(), (width, height, width - 1, height - 1))
        curve: Array = protocol_iou(boxes[:, None], self.truth).max(axis=1)[self.levels_of_taus]
        return curve

    def iou_of_half_open(self, truth: Array) -> Array:
        """Return the IoU of the largest contour's half-open box with half-open true boxes (M, 4) at each tau."""
        height, width = self.levels.shape
        boxes = np.tile((0, 0, width, height), (len(self.boxes), 1)) if self.empty else self._largest_boxes()
        curve: Array = half_open_iou(boxes[:, None].astype(float), truth).max(axis=1)[self.levels_of_taus]
        return curve

    def _largest_boxes(self) -> Array:
        """Return the box of the largest contour at each level; OpenCV finds those of which the sweep is not sure."""
        for t in np.unique(self.levels_of_taus[~self.sure[self.levels_of_taus]]):
            self.boxes[t], self.sure[t] = largest_contour(self.levels, int(t)), True
        return self.boxes
