"""A map in the form of the protocol: 256 grey levels, and the contours of the part above a level."""

import cv2
import numpy as np

from acol.errors import InputError
from acol.metrics.arrays import Array


def levels_of(score_map: Array, name: str = "score_map") -> Array:
    """Return a map (H, W) in [0, 1] as uint8: 255 x value in its own float type, truncated, as the protocol does.

    Raises `InputError`, with `name` for the map, for values that are not finite or not in [0, 1].
    """
    if not np.issubdtype(score_map.dtype, np.floating):
        score_map = score_map.astype(np.float64)
    low, high = score_map.min(), score_map.max()
    if not (low >= 0 and high <= 1):  # not finite fails too
        raise InputError(f"{name}: values from {low:.4g} to {high:.4g}; min-max normalise maps to [0, 1]")
    return np.asarray((score_map * score_map.dtype.type(255)).astype(np.uint8))


def largest_contour(levels: Array, t: int) -> tuple[int, int, int, int] | None:
    """Return the box of the contour of largest area where `levels` (H, W) uint8 exceed `t`; None if none do.

    Half-open xyxy pixels. The area is that within the contour, holes included; of equal areas the first in OpenCV's
    order counts.
    """
    _, binary = cv2.threshold(levels, t, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return x, y, x + w, y + h
