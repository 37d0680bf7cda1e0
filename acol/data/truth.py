"""An image's true mask, from its mask files or from the manifest."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acol.data.images import read_mask_pixels, read_values, upright
from acol.data.manifest import Image
from acol.data.mask_values import IGNORED, OBJECT, MaskValues
from acol.data.rle import decoded


def true_mask(image: Image, root: Path, values: MaskValues | None, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image's mask of (width, height) pixels: (H, W) of 0, 1 (object) and 255 (ignored).

    It is resized by the nearest pixel. So wsolevaluation does it, and so no pixel between object and background becomes
    something else. Several masks count together; what the mask of ignored regions marks, and none of them, is ignored.
    """
    if image.mask is not None:
        files = [root / path for path in (image.mask, *image.more_masks)]
        stored = [read_mask_pixels(file, values, image.label) for file in files]
        masks = [_nearest(upright(mask, image.mask_turn), size) for mask in stored]
    else:
        masks = [_nearest(decoded(image.mask_rle or [], (image.width, image.height)).astype(np.uint8), size)]
    found = np.any([mask == OBJECT for mask in masks], axis=0)
    ignored = np.any([mask == IGNORED for mask in masks], axis=0)
    if image.ignore_mask is not None:
        ignored |= _nearest(upright(read_values(root / image.ignore_mask), image.mask_turn), size) > 0
    if image.ignore_rle is not None:
        ignored |= _nearest(decoded(image.ignore_rle, (image.width, image.height)).astype(np.uint8), size) > 0
    return np.where(found, OBJECT, np.where(ignored, IGNORED, 0)).astype(np.uint8)


def _nearest(mask: NDArray[np.uint8] | NDArray[np.uint16], size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
