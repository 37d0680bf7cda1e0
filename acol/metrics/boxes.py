"""Boxes: conversion of true boxes into the form of the published WSOL protocol, and the IoU of two boxes.

The protocol is that of Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020). Its
boxes are integers (x0, y0, x1, y1) in the map's pixels, and the length of a side is x1 - x0 + 1. All other boxes here
are half-open: the length of a side is x1 - x0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array

IOU = (0.3, 0.5, 0.7)  # the IoU thresholds of MaxBoxAccV2


def gt_boxes_for_map(boxes: ArrayLike, image_size: tuple[int, int], map_size: tuple[int, int]) -> Array:
    """Convert true boxes into the protocol's form: scale them from the image to the map, then truncate them.

    The numbers are used as they are: a half-open x1 becomes the protocol's x1, as in wsolevaluation's own files.

    Args:
        boxes: (M, 4) xyxy, half-open, in the image's pixels.
        image_size, map_size: (width, height) in pixels.

    Returns (M, 4) int64. Raises `InputError` for boxes that are not (M, 4), and for sizes that are not positive.

    >>> gt_boxes_for_map([[80, 100, 320, 300]], image_size=(448, 448), map_size=(224, 224))
    array([[ 40,  50, 160, 150]])
    """
    return scaled_boxes(boxes, image_size, map_size).astype(np.int64)


def scaled_boxes(boxes: ArrayLike, image_size: tuple[int, int], map_size: tuple[int, int]) -> Array:
    """Return half-open boxes (M, 4) scaled from the image's pixels to the map's, as float64; sizes are (width, height).

    Raises `InputError` as `gt_boxes_for_map` does.
    """
    rows = box_rows(boxes, "boxes")
    if min(*image_size, *map_size) < 1:
        raise InputError(f"sizes: image {image_size} and map {map_size} must be positive (width, height)")
    scaled: Array = rows * np.tile(map_size, 2).astype(float) / np.tile(image_size, 2).astype(float)
    return scaled


def checked_boxes(gt_boxes: Sequence[ArrayLike]) -> list[Array]:
    """Return the true boxes of each image, in the protocol's form, as (M, 4) int64.

    Raises `InputError`, with the index of the image, if it has no box, or one that is negative or ends before it
    starts.
    """
    checked = []
    for n, boxes in enumerate(gt_boxes):
        rows = box_rows(boxes, name := f"gt_boxes[{n}]").astype(np.int64)
        if len(rows) == 0:
            raise InputError(f"{name}: holds no box; leave images without boxes out of localization")
        wrong = (rows < 0).any(axis=1) | (rows[:, 2:] < rows[:, :2]).any(axis=1)
        if wrong.any():
            raise InputError(f"{name}: box {rows[wrong][0].tolist()} is not 0 <= x0 <= x1, 0 <= y0 <= y1; correct it")
        checked.append(rows)
    return checked


def protocol_iou(a: Array, b: Array) -> Array:
    """Return the IoU of the protocol's integer boxes (..., 4), whose sides are x1 - x0 + 1 long."""
    one = np.array([0, 0, 1, 1])
    return half_open_iou(a + one, b + one)


def half_open_iou(a: Array, b: Array) -> Array:
    """Return the IoU of half-open boxes (..., 4) xyxy; `a` and `b` broadcast."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b)]
    iou: Array = shared / (areas[0] + areas[1] - shared)
    return iou


def box_rows(boxes: ArrayLike, name: str) -> Array:
    """Return boxes (M, 4) as float64; raise `InputError` for another shape or a value that is not finite."""
    rows = as_array(boxes).astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise InputError(f"{name}: have shape {rows.shape}; give (boxes, 4) as x0, y0, x1, y1")
    if not np.isfinite(rows).all():
        raise InputError(f"{name}: hold a value that is not finite; correct the box")
    return rows
