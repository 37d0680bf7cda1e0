"""Box localization: the published WSOL protocol to the bit, and the accuracies that follow from its curves.

The protocol is Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020): MaxBoxAcc in
section 4.1, MaxBoxAccV2 in its extension (arXiv 2007.04178). Its boxes are integers (x0, y0, x1, y1) in the map's
pixels and their sides count as x1 - x0 + 1; `gt_boxes_for_map` converts ours to them.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.components import Sweeper

Array = np.ndarray[Any, Any]
Contours = Literal["all", "largest"]
_thread = threading.local()  # holds the thread's last sweeper: making one costs half as much as using it


def as_array(values: Any) -> Array:
    """Return a numpy array of anything array-like, a torch tensor on any device included."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # unknown to numpy
            values = values.float()
    return np.asarray(values)


def taus_of(thresholds: int = 1000) -> Array:
    """Return the protocol's thresholds, as numpy.arange(0, 1, 1 / thresholds) gives them.

    Those are `thresholds` values, save for the few counts (49, 98, 103, ...) where rounding makes it one more.

    Raises `InputError` unless `thresholds` is a whole number of at least 1.
    """
    if isinstance(thresholds, bool) or not isinstance(thresholds, int | np.integer) or thresholds < 1:
        raise InputError(f"thresholds: {thresholds!r} is not a whole number above 0; use e.g. 1000")
    return np.arange(0, 1, 1 / thresholds)


def gt_boxes_for_map(boxes: ArrayLike, image_size: tuple[int, int], map_size: tuple[int, int]) -> Array:
    """Convert true boxes to the protocol's: scaled from the image to the map, then truncated.

    `boxes` (M, 4) xyxy, half-open, in the image's pixels; sizes are (width, height). Returns (M, 4) int64. The numbers
    are used as they are, a half-open x1 as the protocol's x1, as wsolevaluation does with its own files.

    Raises `InputError` for boxes that are not (M, 4), or sizes that are not positive.
    """
    rows = _boxes(boxes, "boxes")
    if min(*image_size, *map_size) < 1:
        raise InputError(f"sizes: image {image_size} and map {map_size} must be positive (width, height)")
    scaled: Array = rows * np.tile(map_size, 2).astype(float) / np.tile(image_size, 2).astype(float)
    return scaled.astype(np.int64)


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
    """
    maps = as_array(score_maps)
    taus = taus_of(thresholds)
    if contours not in ("all", "largest"):
        raise InputError(f"contours: {contours!r} is unknown; choose 'all' or 'largest'")
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise InputError(f"score_maps: have shape {maps.shape}; give (images, height, width)")
    if len(gt_boxes) != len(maps):
        raise InputError(f"gt_boxes: {len(gt_boxes)} images' boxes for {len(maps)} maps; give one array a map")
    truths = [_true_boxes(boxes, f"gt_boxes[{n}]") for n, boxes in enumerate(gt_boxes)]
    curves = np.empty((len(maps), len(taus)))
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, min(threads, len(maps)))

    def work(first: int) -> None:
        sweeper = _sweeper(*maps.shape[1:])
        for n in range(first, len(maps), threads):
            curves[n] = _curve(sweeper, _levels(maps[n], n), truths[n], taus, contours)

    if threads == 1:
        work(0)
    else:  # the compiled parts let go of the interpreter; the threads end here, so that a later fork is safe
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    return curves


def _sweeper(height: int, width: int) -> Sweeper:
    sweeper = getattr(_thread, "sweeper", None)
    if not isinstance(sweeper, Sweeper) or sweeper.size != (height, width):
        sweeper = _thread.sweeper = Sweeper(height, width)
    return sweeper


def _curve(sweeper: Sweeper, levels: Array, boxes: Array, taus: Array, contours: Contours) -> Array:
    best, undecided, peak = sweeper.best_iou(levels, boxes, contours == "largest")
    steps = (taus * peak).astype(np.int64)
    for t in np.unique(steps[undecided[steps]]):
        best[t] = _largest_contour_iou(levels, int(t), boxes)
    curve: Array = best[steps]
    return curve


def _largest_contour_iou(levels: Array, t: int, boxes: Array) -> float:
    """Ask OpenCV which contour is the largest; of equal ones it is the first in OpenCV's order."""
    _, binary = cv2.threshold(levels, t, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
    box = np.array([x, y, min(x + w, levels.shape[1] - 1), min(y + h, levels.shape[0] - 1)])
    return float(protocol_iou(box, boxes).max())


def protocol_iou(a: Array, b: Array) -> Array:
    """Return the IoU of integer boxes (..., 4) of the protocol, whose sides count as x1 - x0 + 1."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    shared = np.maximum(sides, 0).prod(axis=-1)
    whole = [(box[..., 2:] - box[..., :2] + 1).prod(axis=-1) for box in (a, b)]
    iou: Array = shared / (whole[0] + whole[1] - shared)
    return iou


def _levels(score_map: Array, n: int) -> Array:
    if not np.issubdtype(score_map.dtype, np.floating):
        score_map = score_map.astype(np.float64)
    low, high = score_map.min(), score_map.max()
    if not (low >= 0 and high <= 1):  # not finite fails too
        raise InputError(f"score_maps[{n}]: values from {low:.4g} to {high:.4g}; min-max normalise maps to [0, 1]")
    return np.asarray((score_map * score_map.dtype.type(255)).astype(np.uint8))


def _boxes(boxes: ArrayLike, name: str) -> Array:
    rows = as_array(boxes).astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise InputError(f"{name}: have shape {rows.shape}; give (boxes, 4) as x0, y0, x1, y1")
    if not np.isfinite(rows).all():
        raise InputError(f"{name}: hold a value that is not finite; correct the box")
    return rows


def _true_boxes(boxes: ArrayLike, name: str) -> Array:
    rows = _boxes(boxes, name).astype(np.int64)
    if len(rows) == 0:
        raise InputError(f"{name}: holds no box; leave images without boxes out of localization")
    wrong = (rows < 0).any(axis=1) | (rows[:, 2:] < rows[:, :2]).any(axis=1)
    if wrong.any():
        raise InputError(f"{name}: box {rows[wrong][0].tolist()} is not 0 <= x0 <= x1, 0 <= y0 <= y1; correct it")
    return rows


class MaxBoxAccV2Result(float):
    """MaxBoxAccV2 in [0, 1], a float, and how it came about.

    `score`: the same number. `per_iou` (I,): the accuracy at each IoU threshold's own best tau; `best_tau` (I,): those
    taus, the first of equals. `curves` (I, T): accuracy by tau. `taus` (T,); `iou`: the IoU thresholds.
    """

    per_iou: Array
    best_tau: Array
    curves: Array
    taus: Array
    iou: tuple[float, ...]

    def __new__(cls, curves: Array, taus: Array, iou: tuple[float, ...]) -> "MaxBoxAccV2Result":
        """Take the maximum over tau for each IoU threshold, then their mean."""
        per_iou = curves.max(axis=1)
        self = super().__new__(cls, per_iou.mean())
        self.per_iou, self.best_tau = per_iou, taus[curves.argmax(axis=1)]
        self.curves, self.taus, self.iou = curves, taus, iou
        return self

    @property
    def score(self) -> float:
        """The mean over the IoU thresholds of the best accuracy over tau."""
        return float(self)


def _max_box_update(curves: Array, iou: Sequence[float]) -> Array:
    """Count the images (N, T) -> (I, T) whose best IoU reaches each IoU threshold at each tau."""
    return np.stack([(curves >= threshold).sum(axis=0) for threshold in iou])


def _max_box_compute(hits: Array, images: int, taus: Array, iou: tuple[float, ...]) -> MaxBoxAccV2Result:
    if images == 0:
        raise InputError("MaxBoxAccV2: no image yet; call update with maps and boxes first")
    return MaxBoxAccV2Result(hits / images, taus, iou)


class MaxBoxAccV2:
    """MaxBoxAccV2: accuracy at the best tau of the whole split, a separate one per IoU threshold, then their mean.

    With `iou=(0.5,)` and `contours="largest"` it is MaxBoxAcc. Memory does not grow with the number of images.
    Arguments and errors are those of `box_iou_curve`.
    """

    def __init__(
        self, thresholds: int = 1000, iou: Sequence[float] = (0.3, 0.5, 0.7), contours: Contours = "all"
    ) -> None:
        if not iou or not all(0 < threshold <= 1 for threshold in iou):
            raise InputError(f"iou: {tuple(iou)} must be thresholds in (0, 1]; use e.g. (0.3, 0.5, 0.7)")
        if contours not in ("all", "largest"):
            raise InputError(f"contours: {contours!r} is unknown; choose 'all' or 'largest'")
        self.thresholds, self.iou, self.contours = thresholds, tuple(iou), contours
        self.taus = taus_of(thresholds)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.images = 0
        self.hits = np.zeros((len(self.iou), len(self.taus)), np.int64)

    def update(self, score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike]) -> Array:
        """Add images: `score_maps` (N, H, W) in [0, 1], `gt_boxes` N arrays (M, 4); returns their curves (N, T)."""
        curves = box_iou_curves(score_maps, gt_boxes, self.thresholds, self.contours)
        self.update_curves(curves)
        return curves

    def update_curves(self, curves: Array) -> None:
        """Add images by their curves (N, T) of `box_iou_curves`."""
        self.hits += _max_box_update(curves, self.iou)
        self.images += len(curves)

    def compute(self) -> MaxBoxAccV2Result:
        """Return the score over all images so far. Raises `InputError` if there are none."""
        return _max_box_compute(self.hits, self.images, self.taus, self.iou)


def iou_at(curves: Array, tau: float) -> Array:
    """Return each image's best IoU (N,) at `tau`, read from `curves` (N, T) at the nearest of its thresholds.

    Raises `InputError` for a tau outside [0, 1).
    """
    if not 0 <= tau < 1:
        raise InputError(f"tau: {tau} is outside [0, 1); choose e.g. 0.2")
    count = curves.shape[1]
    iou: Array = curves[:, min(round(tau * count), count - 1)]
    return iou


def choose_tau(curves: Array | None, iou: float = 0.5) -> float | None:
    """Return the first tau with the most images at an IoU of at least `iou`; None without images that have boxes.

    `curves` (N, T) of the validation split for a fair choice, of the test split for the oracle's.
    """
    if curves is None or len(curves) == 0:
        return None
    return float(taus_of(curves.shape[1])[(curves >= iou).sum(axis=0).argmax()])


def centred_box_curves(gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], steps: int = 20) -> Array:
    """Return the best IoU of centred boxes with each image's true ones, (N, steps): box k spans (k + 1) / steps.

    `gt_boxes` N arrays (M, 4) by the protocol, in pixels of a map of `map_size` (width, height). A box spans the same
    share of the width and of the height, in whole pixels, truncated; a side of s pixels counts as s.

    Raises `InputError` as `box_iou_curve` does for its boxes.
    """
    size = np.array(map_size)
    sides = np.maximum(size * np.arange(1, steps + 1)[:, None] // steps, 1)
    low = (size - sides) // 2
    centred = np.concatenate([low, low + sides - 1], axis=1)
    truths = [_true_boxes(boxes, f"gt_boxes[{n}]") for n, boxes in enumerate(gt_boxes)]
    return np.array([protocol_iou(centred[:, None], boxes).max(axis=1) for boxes in truths]).reshape(-1, steps)


def centred_box(
    gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], iou: Sequence[float] = (0.3, 0.5, 0.7), steps: int = 20
) -> MaxBoxAccV2Result:
    """Return what a centred box scores, with the share of the image's sides in the place of tau.

    The best share is a separate one for each IoU threshold, as the best tau of a map is. A map that does not beat this
    has learnt nothing about where the object is. Arguments and errors are those of `centred_box_curves`.
    """
    curves = centred_box_curves(gt_boxes, map_size, steps)
    shares = np.arange(1, steps + 1) / steps
    return _max_box_compute(_max_box_update(curves, iou), len(curves), shares, tuple(iou))
