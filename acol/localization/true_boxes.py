"""True boxes at the size of the scored maps, which is the same for every image and network."""

import numpy as np

from acol.data.manifest import Image
from acol.metrics.boxes import gt_boxes_for_map, scaled_boxes
from acol.metrics.quality import box_mask

MAP_SIZE = 224  # pixels a side (wsolevaluation)
_SIZE = (MAP_SIZE, MAP_SIZE)


def true_boxes(image: Image) -> np.ndarray:
    """Return an image's boxes (M, 4) as the protocol takes them, in pixels of a map of MAP_SIZE."""
    return gt_boxes_for_map(image.boxes or (), (image.width, image.height), _SIZE)


def half_open_boxes(image: Image) -> np.ndarray:
    """Return an image's boxes (M, 4) half-open, not rounded, in pixels of a map of MAP_SIZE."""
    return scaled_boxes(image.boxes or (), (image.width, image.height), _SIZE)


def object_cells(image: Image, size: tuple[int, ...]) -> np.ndarray:
    """Which cells of a feature map of `size` (h, w) have their centre in a box; if none has, the first box's cell."""
    height, width = size
    scaled = scaled_boxes(image.boxes or (), (image.width, image.height), (width, height))
    mask = box_mask(scaled, (width, height))
    if not mask.any():
        x, y = (scaled[0, :2] + scaled[0, 2:]) / 2
        mask[min(int(y), height - 1), min(int(x), width - 1)] = True
    return mask
