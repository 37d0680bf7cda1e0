"""MaxBoxAcc and MaxBoxAccV2 of a data set: the share of images whose box is right, at the best threshold.

The source is Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1, and
its extension (arXiv 2007.04178), which takes the mean over three IoU thresholds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array
from acol.metrics.boxes import IOU, checked_boxes, protocol_iou
from acol.metrics.curves import Contours, box_iou_curves, check_contours, taus_of


class MaxBoxAccV2Result(float):
    """MaxBoxAccV2 in [0, 1], a float with attributes; I is the number of IoU thresholds.

    Attributes:
        score: the same number.
        per_iou: (I,), the accuracy at the best tau of each IoU threshold.
        best_tau: (I,), these taus; of equally good ones the first.
        curves: (I, T), the accuracy at each tau.
        taus: (T,).
        iou: the IoU thresholds.
    """

    per_iou: Array
    best_tau: Array
    curves: Array
    taus: Array
    iou: tuple[float, ...]

    def __new__(cls, hits: Array, images: int, taus: Array, iou: tuple[float, ...]) -> "MaxBoxAccV2Result":
        """Take the maximum over tau of the hits (I, T) for each IoU threshold, then the mean of the maxima."""
        if images == 0:
            raise InputError("MaxBoxAccV2: no image; give at least one with its boxes")
        curves = hits / images
        per_iou = curves.max(axis=1)
        self = super().__new__(cls, per_iou.mean())
        self.per_iou, self.best_tau = per_iou, taus[curves.argmax(axis=1)]
        self.curves, self.taus, self.iou = curves, taus, iou
        return self

    @property
    def score(self) -> float:
        """The mean over the IoU thresholds of the accuracy at the best tau."""
        return float(self)


class MaxBoxAccV2:
    """MaxBoxAccV2 of a split: for each IoU threshold the accuracy at the best tau of all images, then their mean.

    With `iou=(0.5,)` and `contours="largest"` it is MaxBoxAcc. The memory that it needs does not grow with the number
    of images. The source is Choe et al. (CVPR 2020, arXiv 2001.07437), section 4.1, and arXiv 2007.04178 for the mean
    over three IoU thresholds.

    Args:
        thresholds: the number of taus, at least 1 (default: 1000).
        iou: IoU thresholds in (0, 1] (default: 0.3, 0.5, 0.7).
        contours: "all" (default) or "largest", as in `box_iou_curve`.

    Raises `InputError` for arguments outside of these, and `update` as `box_iou_curves`.

    >>> metric = MaxBoxAccV2()
    >>> curves = metric.update(np.eye(8)[None], [[[0, 0, 5, 5]]])
    >>> metric.compute().per_iou  # at an IoU of 0.3, 0.5 and 0.7
    array([1., 1., 0.])
    """

    def __init__(self, thresholds: int = 1000, iou: Sequence[float] = IOU, contours: Contours = "all") -> None:
        if not iou or not all(0 < threshold <= 1 for threshold in iou):
            raise InputError(f"iou: {tuple(iou)} must be thresholds in (0, 1]; use e.g. {IOU}")
        check_contours(contours)
        self.thresholds, self.iou, self.contours = thresholds, tuple(iou), contours
        self.taus = taus_of(thresholds)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.images = 0
        self.hits = np.zeros((len(self.iou), len(self.taus)), np.int64)

    def update(self, score_maps: ArrayLike, gt_boxes: Sequence[ArrayLike]) -> Array:
        """Add images by their maps (N, H, W) in [0, 1] and true boxes, N arrays (M, 4); return their curves (N, T)."""
        curves = box_iou_curves(score_maps, gt_boxes, self.thresholds, self.contours)
        self.update_curves(curves)
        return curves

    def update_curves(self, curves: Array) -> None:
        """Add images by their curves (N, T) of `box_iou_curves`."""
        self.hits += _hits(curves, self.iou)
        self.images += len(curves)

    def compute(self) -> MaxBoxAccV2Result:
        """Return the score over all images so far. Raises `InputError` if there are none."""
        return MaxBoxAccV2Result(self.hits, self.images, self.taus, self.iou)


def centred_box_curves(gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], steps: int = 20) -> Array:
    """Return the IoU of centred boxes of several sizes with the true boxes of each image, as float64 (N, steps).

    Box k takes the share (k + 1) / steps of the width and of the height, truncated to whole pixels, at least one.

    Args:
        gt_boxes: N arrays (M, 4) in the protocol's form, in pixels of the map.
        map_size: (width, height) of the map in pixels.
        steps: the number of sizes (default: 20).

    Raises `InputError` as `box_iou_curve` does for boxes.

    >>> centred_box_curves([np.array([[40, 50, 160, 150]])], map_size=(224, 224), steps=4).round(2)
    array([[0.26, 0.67, 0.43, 0.24]])
    """
    size = np.array(map_size)
    sides = np.maximum(size * np.arange(1, steps + 1)[:, None] // steps, 1)
    low = (size - sides) // 2
    centred = np.concatenate([low, low + sides - 1], axis=1)
    best = [protocol_iou(centred[:, None], boxes).max(axis=1) for boxes in checked_boxes(gt_boxes)]
    return np.array(best).reshape(-1, steps)


def centred_box(
    gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], iou: Sequence[float] = IOU, steps: int = 20
) -> MaxBoxAccV2Result:
    """Return MaxBoxAccV2 of a centred box, with the share of the image's sides in the place of tau.

    A model that is not better than this has not learnt where objects are. Each IoU threshold has its own best share, as
    it has its own best tau for maps. `iou` are the IoU thresholds (default: 0.3, 0.5, 0.7). The other arguments and the
    errors are those of `centred_box_curves`; there must be at least one image.

    >>> f"{centred_box([np.array([[40, 50, 160, 150]])], map_size=(224, 224)):.3f}"
    '0.667'
    """
    curves = centred_box_curves(gt_boxes, map_size, steps)
    return MaxBoxAccV2Result(_hits(curves, iou), len(curves), np.arange(1, steps + 1) / steps, tuple(iou))


def _hits(curves: Array, iou: Sequence[float]) -> Array:
    """Return how many of the N images reach each IoU threshold at each tau: curves (N, T) -> (I, T)."""
    return np.stack([(curves >= threshold).sum(axis=0) for threshold in iou])
