"""Regions of a map and their boxes, which users get, and the true boxes at the size of the maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from acol.data.manifest import Box, Image
from acol.metrics.boxes import gt_boxes_for_map, scaled_boxes
from acol.metrics.curves import largest_contour, levels_of
from acol.metrics.quality import box_mask

TAU = 0.4  # a region is above this share of the maximum of its map, if no other threshold is chosen
MAP_SIZE = 224  # pixels per side of all scored maps, whatever the image and the network (as in wsolevaluation)
_SIZE = (MAP_SIZE, MAP_SIZE)


def box_of(score_map: np.ndarray, tau: float) -> tuple[int, int, int, int]:
    """Return the box of the largest region where a map (H, W) in [0, 1] is above `tau` times its maximum.

    The box is half-open, xyxy in pixels of the map; it is the whole map if nothing is above. As in the WSOL protocol,
    the map has 256 levels, regions are 8-connected, and the largest is the one whose outline contains the largest area,
    holes included.

    Raises `InputError` for a map that is not in [0, 1].
    """
    levels = levels_of(score_map)
    return largest_contour(levels, int(tau * levels.max())) or (0, 0, score_map.shape[1], score_map.shape[0])


@dataclass(frozen=True)
class Region:
    """A connected part of an image where its map is above a threshold, in pixels of the image."""

    box: Box  # half-open xyxy
    score: float  # the maximum of the region as a share of that of the map, in (0, 1]
    # (P, 2), the corners (x, y) of the polygon around the region, without its holes
    outline: Sequence[tuple[float, float]] = ()


def regions_in_image(score_map: np.ndarray, tau: float, size: tuple[int, int]) -> tuple[Region, ...]:
    """Return all regions of a map in pixels of its image, the largest first.

    Args:
        score_map: (H, W) in [0, 1].
        tau: regions are above this share of the maximum, as in `box_of`.
        size: (width, height) of the image.

    The first box is that of `box_in_image`. A map of zeros has no regions.
    """
    levels = levels_of(score_map)
    mask = (levels > int(tau * levels.max())).astype(np.uint8)
    if not mask.any():
        return ()
    labels = cv2.connectedComponents(mask)[1]
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [contour for contour, (*_, parent) in zip(contours, tree[0], strict=True) if parent < 0]  # others are holes
    scale, regions = np.array(size) / mask.shape[::-1], []
    for contour in sorted(outer, key=cv2.contourArea, reverse=True):
        x, y, w, h = cv2.boundingRect(contour)
        corners = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
        # The outline goes through the centres of pixels; for a line of pixels, which has no area, it is the box.
        outline = contour[:, 0] + 0.5 if len(contour) > 2 else corners
        # The score needs the maximum over the region, which has its own number in `labels`.
        first, last = corners[0] * scale, corners[2] * scale
        peak = levels[labels == labels[contour[0, 0, 1], contour[0, 0, 0]]].max() / levels.max()
        points = [(float(px), float(py)) for px, py in outline * scale]
        regions.append(Region((*first.tolist(), *last.tolist()), float(peak), points))
    return tuple(regions)


def box_in_image(score_map: np.ndarray, tau: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return `box_of` a map in pixels of its image of `size` (width, height), half-open xyxy."""
    height, width = score_map.shape
    x0, y0, x1, y1 = box_of(score_map, tau)
    x, y = size[0] / width, size[1] / height
    return x0 * x, y0 * y, x1 * x, y1 * y


def true_boxes(image: Image) -> np.ndarray:
    """Return the true boxes of an image (M, 4) in the protocol's form, in pixels of a map of MAP_SIZE."""
    return gt_boxes_for_map(image.boxes or (), (image.width, image.height), _SIZE)


def half_open_boxes(image: Image) -> np.ndarray:
    """Return the true boxes of an image (M, 4), half-open and not rounded, in pixels of a map of MAP_SIZE."""
    return scaled_boxes(image.boxes or (), (image.width, image.height), _SIZE)


def object_positions(image: Image, size: tuple[int, ...]) -> np.ndarray:
    """Return which positions of a feature map (h, w) have their centre in a true box, as bool; at least one has.

    If no box contains a centre, it is the position of the centre of the first box.
    """
    height, width = size
    scaled = scaled_boxes(image.boxes or (), (image.width, image.height), (width, height))
    mask = box_mask(scaled, (width, height))
    if not mask.any():
        x, y = (scaled[0, :2] + scaled[0, 2:]) / 2
        mask[min(int(y), height - 1), min(int(x), width - 1)] = True
    return mask
