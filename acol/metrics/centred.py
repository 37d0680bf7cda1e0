"""The score of a box in the middle of every image. A model that does not beat it has not learnt where objects are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from acol.metrics.arrays import Array
from acol.metrics.boxes import IOU, checked, protocol_iou
from acol.metrics.max_box_acc import MaxBoxAccV2Result, hits_of, result_of


def centred_box_curves(gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], steps: int = 20) -> Array:
    """Return the best IoU of centred boxes with each image's true ones, (N, steps): box k spans (k + 1) / steps.

    `gt_boxes` N arrays (M, 4) by the protocol, in pixels of a map of `map_size` (width, height). A box spans the same
    share of the width and of the height, in whole pixels, truncated; a side of s pixels counts as s.

    Raises `InputError` as `box_iou_curve` does for its boxes.

    >>> centred_box_curves([np.array([[40, 50, 160, 150]])], map_size=(224, 224), steps=4).round(2)
    array([[0.26, 0.67, 0.43, 0.24]])
    """
    size = np.array(map_size)
    sides = np.maximum(size * np.arange(1, steps + 1)[:, None] // steps, 1)
    low = (size - sides) // 2
    centred = np.concatenate([low, low + sides - 1], axis=1)
    best = [protocol_iou(centred[:, None], boxes).max(axis=1) for boxes in checked(gt_boxes)]
    return np.array(best).reshape(-1, steps)


def centred_box(
    gt_boxes: Sequence[ArrayLike], map_size: tuple[int, int], iou: Sequence[float] = IOU, steps: int = 20
) -> MaxBoxAccV2Result:
    """Return the score of a centred box, with the share of the image's sides instead of tau.

    Each IoU threshold has its own best share, as it has its own best tau for maps. Arguments and errors are those of
    `centred_box_curves`.

    >>> f"{centred_box([np.array([[40, 50, 160, 150]])], map_size=(224, 224)):.3f}"
    '0.667'
    """
    curves = centred_box_curves(gt_boxes, map_size, steps)
    shares = np.arange(1, steps + 1) / steps
    return result_of(hits_of(curves, iou), len(curves), shares, tuple(iou))
