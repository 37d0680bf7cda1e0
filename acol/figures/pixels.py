"""Drawing on the pixels of an image: heat maps, boxes, outlines and hatching."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) sRGB
Colour = tuple[int, int, int]

# Colour-blind readers can distinguish blue and orange; the predicted box is also dashed.
TRUE: Colour = (110, 220, 255)
PREDICTED: Colour = (255, 120, 0)
# Viridis, from dark violet to yellow: its order is also visible to colour-blind readers, and in grey.
HEAT = (colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.float32)
OPACITY = 0.55


def overlay(image: Pixels, heat: npt.NDArray[np.floating], opacity: float = OPACITY) -> Pixels:
    """Return an image (H, W, 3) uint8 with a heat map (H, W) in [0, 1] over it.

    All values have the same opacity. If low values were more transparent, a low value would look darker than 0 on a
    bright image. NaN counts as 0. Raises `ValueError` for a map of another size.
    """
    if heat.shape != image.shape[:2]:
        raise ValueError(f"the map is {heat.shape}, the image {image.shape[:2]}; resize the map to the image's size")
    value = np.clip(np.nan_to_num(heat.astype(np.float32)), 0, 1)
    return to_uint8(image * (1 - opacity) + HEAT[np.rint(value * 255).astype(np.intp)] * opacity)


def draw_box(image: Pixels, box: Sequence[float], colour: Colour, thickness: int = 3, dashed: bool = False) -> Pixels:
    """Return an image with a box (xyxy, half-open, in pixels of the image), whose line is inside of the box.

    A dark line on each side makes it visible on any background. Parts outside of the image are cut off.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    ys, xs = np.mgrid[:height, :width]
    depth = np.minimum(np.minimum(xs - x0, x1 - 1 - xs), np.minimum(ys - y0, y1 - 1 - ys))  # 0 on the edge of the box
    drawn = image.copy()
    drawn[(depth >= -1) & (depth <= thickness)] = (15, 15, 15)
    line = np.asarray((depth >= 0) & (depth < thickness))
    if dashed:  # white between the dashes
        dash = 4 * thickness
        along = np.where(np.minimum(xs - x0, x1 - 1 - xs) == depth, ys - y0, xs - x0)
        drawn[line & (along // dash % 2 == 1)] = 255
        line &= along // dash % 2 == 0
    drawn[line] = colour
    return drawn


def draw_outline(image: Pixels, mask: npt.NDArray[np.bool_], colour: Colour, thickness: int = 3) -> Pixels:
    """Return an image (H, W, 3) with the outline of a mask (H, W), inside of its edge, and a dark line around it."""
    core = np.ones((2 * thickness + 1,) * 2, np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), core, borderValue=0)
    drawn = image.copy()
    drawn[(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~mask] = (15, 15, 15)
    drawn[mask & (inner == 0)] = colour
    return drawn


def hatch(image: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """Return an image (H, W, 3) with grey stripes where a mask (H, W) is true, and the white outline of this part."""
    if not mask.any():
        return image
    grey = image.mean(axis=2, keepdims=True) * 0.5 + 85
    ys, xs = np.indices(mask.shape)
    stripe = np.asarray((xs + ys) % 12 < 3)[..., None]
    drawn = np.where(mask[..., None], np.where(stripe, grey - 75, grey), image)
    edge = mask & (cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) == 0)
    drawn[edge] = 245
    return to_uint8(drawn)


def to_uint8(values: npt.NDArray[np.floating]) -> Pixels:
    """Return values rounded and clipped to 0 ... 255, as uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def resized(image: Pixels, width: int, height: int) -> Pixels:
    """Return a resized image, by averaging over areas if it becomes smaller, else by bicubic interpolation."""
    shrinks = width * height <= image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method), dtype=np.uint8)
