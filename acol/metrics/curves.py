"""How well a map's boxes match the true ones at each threshold, exactly as in the published WSOL protocol.

Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1, and its extension
(arXiv 2007.04178).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array
from acol.metrics.boxes import checked, half_open_iou, protocol_iou
from acol.metrics.contours import largest_contour, levels_of
from acol.metrics.thresholds import taus_of

HALF_OPEN = np.array([0, 0, 1, 1])  # makes a box of its outermost pixels half-open
Contours = Literal["all", "largest"]


@dataclass(frozen=True)
class BoxCurves:
    """IoUs with the true boxes at each tau, each (N, T) float64.

    `every`: the best of all contours; `largest`: the largest contour's; both by the protocol. `region`: the largest
    contour's too, but for half-open boxes without rounding, as users get them.
    """

    every: Array
    largest: Array
    region: Array


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
    maps, truths, taus = _maps(score_maps, gt_boxes), checked(gt_boxes), taus_of(thresholds)
    curves = np.empty((len(maps), len(taus)))

    def one(n: int) -> None:
        swept = _Swept.of(maps[n], truths[n], taus, f"score_maps[{n}]")
        curves[n] = swept.every() if contours == "all" else swept.largest(truths[n])

    _for_each(one, len(maps), threads)
    return curves


def box_curves(score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike], half_open: Sequence[ArrayLike]) -> BoxCurves:
    """Return all three curves of each map, at the 1000 thresholds of `taus_of`, by one sweep over its pixels.

    Arguments and errors are those of `box_iou_curves`; `half_open` are the same true boxes, N arrays (M, 4), half-open
    in the map's pixels and not rounded.
    """
    maps, truths, taus = _maps(score_maps, gt_boxes), checked(gt_boxes), taus_of()
    found = BoxCurves(*(np.empty((len(maps), len(taus))) for _ in range(3)))

    def one(n: int) -> None:
        swept = _Swept.of(maps[n], truths[n], taus, f"score_maps[{n}]")
        found.every[n] = swept.every()
        found.largest[n], found.region[n] = swept.largest(truths[n]), swept.region(as_array(half_open[n]))

    _for_each(one, len(maps))
    return found


def check_contours(contours: str) -> None:
    """Raise `InputError` for an unknown kind of contours."""
    if contours not in ("all", "largest"):
        raise InputError(f"contours: {contours!r} is unknown; choose 'all' or 'largest'")


def _maps(score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike]) -> Array:
    maps = as_array(score_maps)
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise InputError(f"score_maps: have shape {maps.shape}; give (images, height, width)")
    if len(gt_boxes) != len(maps):
        raise InputError(f"gt_boxes: {len(gt_boxes)} images' boxes for {len(maps)} maps; give one array per map")
    return maps


def _for_each(work: Callable[[int], None], count: int, threads: int | None = None) -> None:
    """Call `work` for 0 to count - 1 in several threads; the compiled sweep releases the GIL."""
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, min(threads, count))
    if threads == 1:
        for n in range(count):
            work(n)
        return
    with ThreadPoolExecutor(threads) as pool:  # its threads end here, so that a later fork is safe
        list(pool.map(work, range(count)))


@dataclass(frozen=True)
class _Swept:
    """The result of one map's sweep, by level: `best` (256,) and the largest contour's half-open `boxes` (256, 4).

    `steps` (T,) is the level of each tau. In a map of zeros nothing is above any level: there the protocol's box is the
    pixel at the origin, and the user's box is the whole map.
    """

    levels: Array
    steps: Array
    best: Array
    boxes: Array
    sure: Array

    @classmethod
    def of(cls, score_map: Array, truth: Array, taus: Array, name: str) -> "_Swept":
        from acol.metrics.components import sweep  # imports numba, which takes seconds

        levels = levels_of(score_map, name)
        best, boxes, sure = sweep(levels, truth)
        swept = cls(levels, (taus * levels.max()).astype(np.int64), best, boxes + HALF_OPEN, sure)
        if levels.max() == 0:
            best[:] = protocol_iou(np.zeros(4, np.int64), truth).max()
        return swept

    def every(self) -> Array:
        """Return the best IoU of every contour at each tau."""
        curve: Array = self.best[self.steps]
        return curve

    def largest(self, truth: Array) -> Array:
        """Return the largest contour's IoU at each tau, by the protocol: a box's end is held within the map."""
        if self.levels.max() == 0:
            return self.every()
        self._decide()
        height, width = self.levels.shape
        boxes = np.minimum(self.boxes, (width, height, width - 1, height - 1))
        curve: Array = protocol_iou(boxes[:, None], truth).max(axis=1)[self.steps]
        return curve

    def region(self, truth: Array) -> Array:
        """Return the largest contour's IoU at each tau for half-open boxes; `truth` (M, 4) is half-open too."""
        self._decide()
        height, width = self.levels.shape
        boxes = self.boxes if self.levels.max() else np.tile((0, 0, width, height), (len(self.boxes), 1))
        curve: Array = half_open_iou(boxes[:, None].astype(float), truth).max(axis=1)[self.steps]
        return curve

    def _decide(self) -> None:
        """Let OpenCV find the largest contour at the levels where the sweep could not."""
        for t in np.unique(self.steps[~self.sure[self.steps]]):
            self.boxes[t], self.sure[t] = largest_contour(self.levels, int(t)), True
