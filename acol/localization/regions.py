"""The box of a map's largest region: the one that is scored, and the one that users get."""

import numpy as np

from acol.metrics.curves import largest_contour, levels_of

TAU = 0.4  # a region is above this share of its map's maximum, if no boxes choose another


def box_of(score_map: np.ndarray, tau: float) -> tuple[int, int, int, int]:
    """Return the box of the largest region where a map (H, W) in [0, 1] is above `tau` times its maximum.

    Half-open xyxy pixels of the map; the whole map if nothing is above. As in the WSOL protocol, the map has 256 grey
    levels, regions are 8-connected, and the largest is the one whose outline encloses the most area, holes included.

    Raises `InputError` for a map that is not in [0, 1].
    """
    levels = levels_of(score_map)
    return largest_contour(levels, int(tau * levels.max())) or (0, 0, score_map.shape[1], score_map.shape[0])


def box_in_image(score_map: np.ndarray, tau: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return `box_of` a map in the pixels of its image of `size` (width, height), half-open xyxy."""
    height, width = score_map.shape
    x0, y0, x1, y1 = box_of(score_map, tau)
    x, y = size[0] / width, size[1] / height
    return x0 * x, y0 * y, x1 * x, y1 * y
