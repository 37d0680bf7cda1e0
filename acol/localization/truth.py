"""True boxes and masks as the maps meet them: at one size, whatever the image's and the network's."""

from collections.abc import Sequence

import numpy as np

from acol.data.manifest import Image
from acol.metrics.boxes import gt_boxes_for_map
from acol.metrics.centred import centred_box
from acol.metrics.quality import box_mask

MAP_SIZE = 224  # pixels a side (wsolevaluation)


def true_boxes(image: Image) -> np.ndarray:
    """Return an image's boxes as the protocol takes them, in pixels of a map of MAP_SIZE."""
    return gt_boxes_for_map(image.boxes or (), (image.width, image.height), (MAP_SIZE, MAP_SIZE))


def centred_box_metrics(images: Sequence[Image]) -> dict[str, float]:
    """Return what the centred box scores on images that all have boxes, by metric."""
    baseline = centred_box([true_boxes(image) for image in images], (MAP_SIZE, MAP_SIZE))
    per_iou = zip(baseline.iou, baseline.per_iou.tolist(), strict=True)
    return {"max_box_acc_v2": float(baseline)} | {f"max_box_acc_v2_{round(100 * iou)}": x for iou, x in per_iou}


def object_cells(image: Image, size: tuple[int, ...]) -> np.ndarray:
    """Which cells of a feature map of `size` (h, w) are in a box; the nearest cell where boxes miss every centre."""
    height, width = size
    scale = np.tile([width / image.width, height / image.height], 2)
    scaled = np.array(image.boxes, dtype=float) * scale
    mask = box_mask(scaled, (width, height))
    if not mask.any():
        x, y = (scaled[0, :2] + scaled[0, 2:]) / 2
        mask[min(int(y), height - 1), min(int(x), width - 1)] = True
    return mask
