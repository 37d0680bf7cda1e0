"""Properties of maps: their shape, where they lie relative to objects, and how the maps of classifiers differ.

Maps are (N, H, W), or (K, N, H, W) of K classifiers, normalised to [0, 1]. There is one result per image, so that
results can be sorted, averaged and bootstrapped.
"""

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array, check_range
from acol.metrics.boxes import box_rows


def coverage(maps: ArrayLike, tau: float | None = None) -> Array:
    """Return the share of each image where its map is above `tau`, (N,) in [0, 1].

    Args:
        maps: (N, H, W) in [0, 1].
        tau: in [0, 1]; None (default): return the mean of each map instead.

    Raises `InputError` for maps of another shape or range.

    >>> coverage(np.array([[[1.0, 0.5, 0.2, 0.0]]]), tau=0.4)
    array([0.5])
    """
    values = checked_maps(maps, 3)
    share: Array = (values if tau is None else values > tau).mean(axis=(1, 2))
    return share


def entropy(maps: ArrayLike) -> Array:
    """Return the entropy of each map as a distribution over pixels, divided by the largest one: (N,) in [0, 1].

    It is 0 for a map with a single pixel above 0, and 1 for a uniform map or one of zeros.

    Args:
        maps: (N, H, W) in [0, 1].

    Raises `InputError` for maps of another shape or range.

    >>> entropy(np.array([[[1.0, 1.0, 0.0, 0.0]]]))
    array([0.5])
    """
    values = checked_maps(maps, 3).reshape(len(as_array(maps)), -1)
    pixels = values.shape[1]
    if pixels == 1:
        return np.ones(len(values))
    total = values.sum(axis=1)
    single = values.astype(np.float32)  # the logarithms are twice as fast, and exact to six digits
    weighted = (single * np.log(np.where(single > 0, single, 1))).sum(axis=1, dtype=np.float64)
    safe = np.where(total > 0, total, 1)
    # With p = v / total: -sum p log p = log total - sum v log v / total.
    return np.where(total > 0, (np.log(safe) - weighted / safe) / np.log(pixels), 1)


def overlap(maps: ArrayLike, delta: float) -> Array:
    """Return the IoU of the regions above `delta` of each pair of classifiers, (K, K, N); 0 for two empty regions.

    Args:
        maps: (K, N, H, W) in [0, 1], of K classifiers.
        delta: in [0, 1].

    Raises `InputError` for maps of another shape or range.

    >>> maps = np.array([[[[1, 0, 0]]], [[[1, 1, 1]]]])  # two classifiers, one image
    >>> overlap(maps, delta=0.5)[0, 1].round(2)
    array([0.33])
    """
    masks = checked_maps(maps, 4) > delta
    shared = (masks[:, None] & masks[None]).sum(axis=(3, 4))
    either = (masks[:, None] | masks[None]).sum(axis=(3, 4))
    return np.asarray(shared / np.maximum(either, 1))


def complementarity(maps: ArrayLike, delta: float) -> Array:
    """Return which share of the union of the regions up to classifier k is new in its own region, (K, N) in [0, 1].

    It is 1 for the first classifier (0 if its region is empty), and 0 for one that only repeats those before it.
    Arguments and errors are those of `overlap`.

    >>> maps = np.array([[[[1, 0, 0]]], [[[1, 1, 1]]]])  # two classifiers, one image
    >>> complementarity(maps, delta=0.5).round(2)
    array([[1.  ],
           [0.67]])
    """
    masks = checked_maps(maps, 4) > delta
    union = np.logical_or.accumulate(masks, axis=0).sum(axis=(2, 3))
    added = np.diff(union, axis=0, prepend=0)
    return np.asarray(added / np.maximum(union, 1))


def object_share(maps: ArrayLike, objects: ArrayLike, tau: float) -> Array:
    """Return the share of each image's object where each classifier's map is above `tau`, (K, N) in [0, 1].

    Args:
        maps: (K, N, H, W) in [0, 1], of K classifiers.
        objects: (N, H, W) bool, whether a pixel belongs to the object: a mask, or `box_mask` of the true boxes.
        tau: in [0, 1].

    Raises `InputError` for an image without an object, and for maps or objects of another shape or range.

    >>> maps = np.array([[[[1, 0, 0]]], [[[1, 1, 1]]]])  # two classifiers, one image
    >>> object_share(maps, [[[True, True, False]]], tau=0.5)
    array([[0.5],
           [1. ]])
    """
    masks = checked_maps(maps, 4) > tau
    truth = _checked_objects(objects, masks[0])
    area = truth.sum(axis=(1, 2))
    if (area == 0).any():
        raise InputError(f"objects: image {int(np.argmin(area))} has no object pixel; leave it out")
    share: Array = (masks & truth).sum(axis=(2, 3)) / area
    return share


def pointing(maps: ArrayLike, objects: ArrayLike) -> Array:
    """Return whether the maximum of each map lies in the object, as (N,) bool.

    This is the pointing game (Zhang et al., ECCV 2016, arXiv 1608.00507, section 4.1) without its tolerance of 15
    pixels. Of several equal maxima the first in reading order counts.

    Args:
        maps: (N, H, W) in [0, 1].
        objects: (N, H, W) bool, whether a pixel belongs to the object.

    Raises `InputError` for maps or objects of another shape or range.

    >>> pointing([[[0.3, 0.1]]], [[[True, False]]])
    array([ True])
    """
    values = checked_maps(maps, 3)
    truth, count = _checked_objects(objects, values), len(values)
    hit: Array = truth.reshape(count, -1)[np.arange(count), values.reshape(count, -1).argmax(axis=1)]
    return hit


def mass_inside(maps: ArrayLike, objects: ArrayLike) -> Array:
    """Return the share of each map's sum that lies in the object, (N,) in [0, 1]; 0 for a map of zeros.

    This is the energy-based pointing game (Wang et al., 2020, arXiv 1910.01279). Arguments and errors are those of
    `pointing`.

    >>> mass_inside([[[0.3, 0.1]]], [[[True, False]]])
    array([0.75])
    """
    values = checked_maps(maps, 3)
    truth = _checked_objects(objects, values)
    total = values.sum(axis=(1, 2))
    share: Array = (values * truth).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return share


def box_mask(boxes: ArrayLike, size: tuple[int, int]) -> Array:
    """Return whether the centre of each pixel lies in one of the boxes, as (H, W) bool.

    Args:
        boxes: (M, 4) xyxy, half-open, in pixels; M may be 0.
        size: (width, height) in pixels.

    Raises `InputError` for boxes that are not (M, 4) or not finite.

    >>> box_mask([[0, 0, 2, 1]], size=(3, 2))
    array([[ True,  True, False],
           [False, False, False]])
    """
    given = as_array(boxes)
    rows = box_rows(given if given.size else given.reshape(0, 4), "boxes")[:, :, None]
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    columns, lines = (rows[:, 0] <= x) & (x < rows[:, 2]), (rows[:, 1] <= y) & (y < rows[:, 3])
    return np.asarray((lines[:, :, None] & columns[:, None, :]).any(axis=0))


def checked_maps(maps: ArrayLike, dimensions: int) -> Array:
    """Return maps as float64; raise `InputError` for another number of dimensions, and for values outside [0, 1]."""
    values = as_array(maps).astype(np.float64)
    if values.ndim != dimensions or 0 in values.shape[-2:]:
        wanted = "(images, height, width)" if dimensions == 3 else "(classifiers, images, height, width)"
        raise InputError(f"maps: have shape {values.shape}; give {wanted}")
    check_range(values, "maps")
    return values


def _checked_objects(objects: ArrayLike, maps: Array) -> Array:
    """Return which pixels belong to objects, as bool; raise `InputError` for another shape than that of the maps."""
    truth = as_array(objects).astype(bool)
    if truth.shape != maps.shape:
        raise InputError(f"objects: have shape {truth.shape} for maps of {maps.shape}; give (images, height, width)")
    return truth
