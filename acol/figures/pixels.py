"""Pixels: heat-map overlays, boxes and hatching, each laid over an sRGB image one to one."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) sRGB
Colour = tuple[int, int, int]

# Blue and orange are told apart by all readers; the predicted box is dashed, too.
TRUE: Colour = (110, 220, 255)
PREDICTED: Colour = (255, 120, 0)
# Viridis from dark violet to yellow: its order is the same to colour-blind readers, and in grey.
HEAT = (colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.float32)
OPACITY = 0.55


def overlay(image: Pixels, heat: npt.NDArray[np.floating], opacity: float = OPACITY) -> Pixels:
    """Return an image (H, W, 3) uint8 with a heat map (H, W) in [0, 1] laid over it, as colours of equal opacity.

    A more transparent low end would turn the order around on a bright image: there, a little would be darker than
    nothing. NaN counts as 0. Raises `ValueError` for a map of another size.
    """
    if heat.shape != image.shape[:2]:
        raise ValueError(f"the map is {heat.shape}, the image {image.shape[:2]}: upsample the map to the image's size")
    value = np.clip(np.nan_to_num(heat.astype(np.float32)), 0, 1)
    return to_uint8(image * (1 - opacity) + HEAT[np.rint(value * 255).astype(np.intp)] * opacity)


def draw_box(image: Pixels, box: Sequence[float], colour: Colour, thickness: int = 3, dashed: bool = False) -> Pixels:
    """Return the image with a box (xyxy, half-open, the image's pixels) drawn just inside its edges.

    A dark line on each side makes it visible on any background. Parts outside the image are cut off.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    ys, xs = np.mgrid[:height, :width]
    depth = np.minimum(np.minimum(xs - x0, x1 - 1 - xs), np.minimum(ys - y0, y1 - 1 - ys))  # 0 on the box's edge
    drawn = image.copy()
    drawn[(depth >= -1) & (depth <= thickness)] = (15, 15, 15)
    line = np.asarray((depth >= 0) & (depth < thickness))
    if dashed:
        dash = 4 * thickness
        along = np.where(np.minimum(xs - x0, x1 - 1 - xs) == depth, ys - y0, xs - x0)
        drawn[line & (along // dash % 2 == 1)] = 255
        line &= along // dash % 2 == 0
    drawn[line] = colour
    return drawn


def draw_outline(image: Pixels, mask: npt.NDArray[np.bool_], colour: Colour, thickness: int = 3) -> Pixels:
    """Return the image (H, W, 3) with the outline of a mask (H, W) drawn inside its edge, and a dark line around."""
    core = np.ones((2 * thickness + 1,) * 2, np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), core, borderValue=0)
    drawn = image.copy()
    drawn[(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~mask] = (15, 15, 15)
    drawn[mask & (inner == 0)] = colour
    return drawn


def hatch(image: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """Grey and stripe the part of an image (H, W, 3) under a mask (H, W), and draw the part's outline in white."""
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
    """Round to whole values and clip them to 0 ... 255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def resized(image: Pixels, width: int, height: int) -> Pixels:
    """Resize an image: by area averaging to make it smaller, else bicubic."""
    shrinks = width * height <= image.shape[0] * image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way), dtype=np.uint8)
