"""The boxes of a map's contours at every threshold, in two passes over its pixels instead of one search a threshold.

Lower a threshold t over a uint8 map: the foreground (values above t, 8-connected) grows and merges. Raise it: the
background (values up to t, 4-connected) does. So union-find over the pixels in order of their values meets every
component of every threshold (Najman & Couprie, Building the component tree in quasi-linear time, 2006). A component's
box is entered for the thresholds during which it stays the same. A background component that does not touch the map's
edge is a hole, and OpenCV gives it a contour of its own, one pixel around it.
"""

# Compiled code knows one kind of integer, numpy's and Python's alike.
# mypy: disable-error-code="assignment, arg-type, return-value, no-any-return"

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
F = TypeVar("F", bound=Callable[..., Any])

LEVELS = 256
OUTSIDE = 0  # the root of all that lies beyond the map's edge, which is background; the least, so that it wins unions
UNSEEN = -1
# (row, column) of the eight neighbours, clockwise from a side: every other one shares a side with the pixel.
RING = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])


def _compiled(function: F) -> F:
    try:
        return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # neither __pycache__ nor a cache folder of the user's is writable
        return cast(F, njit(nogil=True, error_model="numpy")(function))


@_compiled
def _root(parent: Array, pixel: int) -> int:
    """Return the root of a pixel's component, shortening the path to it on the way."""
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = np.int64(parent[pixel])
    return pixel


@_compiled
def _enter(
    root: int, box: Array, since: Array, value: int, grow: int, ends: Array, truths: Array, best: Array, holes: Array
) -> None:
    """Enter a box for the thresholds between two values: its best IoU, and a bound of a hole's doubled area.

    `box` (4,) holds the component's outermost pixels; its contour lies `grow` pixels outside of them: 1 for a hole. By
    the protocol the box ends one pixel later, within the map (`ends`: width and height); a side counts x1 - x0 + 1.
    """
    x0, y0 = box[root, 0] - grow, box[root, 1] - grow
    x1, y1 = min(box[root, 2] + grow + 1, ends[0] - 1), min(box[root, 3] + grow + 1, ends[1] - 1)
    iou = 0.0
    for i in range(len(truths)):
        w = min(x1, truths[i, 2]) - max(x0, truths[i, 0]) + 1
        h = min(y1, truths[i, 3]) - max(y0, truths[i, 1]) + 1
        if w > 0 and h > 0:
            both = (x1 - x0 + 1) * (y1 - y0 + 1) + (truths[i, 2] - truths[i, 0] + 1) * (truths[i, 3] - truths[i, 1] + 1)
            iou = max(iou, w * h / (both - w * h))
    for t in range(min(since[root], value), max(since[root], value)):
        best[t] = max(best[t], iou)
        holes[t] += 2 * grow * (box[root, 2] - box[root, 0] + 2) * (box[root, 3] - box[root, 1] + 2)


@_compiled
def _largest(roots: Array, count: int, parent: Array, box: Array, cells: Array, holes: int) -> tuple[int, int, bool]:
    """Drop the roots that were merged; return how many are left, whose contour is the largest, and if that is sure.

    A contour runs through the centres of pixels. Its doubled area is at least its component's own `cells`; it is at
    most those and all `holes`, and at most its box's.
    """
    kept, first, sure = 0, UNSEEN, True
    for i in range(count):
        root = np.int64(roots[i])
        if parent[root] == root:
            roots[kept] = root
            kept += 1
            if first == UNSEEN or cells[root] > cells[first]:
                first = root
    for i in range(kept):
        root = np.int64(roots[i])
        whole = 2 * (box[root, 2] - box[root, 0]) * (box[root, 3] - box[root, 1])
        sure &= root == first or min(whole, cells[root] + holes) < cells[first]
    return kept, first, sure


@_compiled
def _sweep(
    order: Array, values: Array, near: Array, parent: Array, last: int, ends: Array, truths: Array,
    best: Array, holes: Array, largest: Array, sure: Array,
) -> None:  # fmt: skip
    """Grow components over the pixels of `order`; enter each one's box for the thresholds where it lives.

    `order` are places in `values`, the framed map; `parent` is UNSEEN there. `near` are the steps to a pixel's
    neighbours: the background's four, or the foreground's eight, of which the largest contour is found as well.
    """
    foreground = len(near) == 8
    grow = 0 if foreground else 1
    box = np.empty((len(values), 4), np.int32)
    since, cells = np.empty(len(values), np.int32), np.zeros(len(values), np.int32)
    roots, count = np.empty(len(order), np.int32), 0
    seen = np.zeros(9, np.bool_)  # which of `near`, and the first again
    for i in range(len(order)):
        pixel, value = np.int64(order[i]), np.int64(values[order[i]])
        x0 = x1 = pixel % (ends[0] + 2) - 1
        y0 = y1 = pixel // (ends[0] + 2) - 1
        # Join all components that the pixel touches; what a component was until now is entered.
        root = np.int64(UNSEEN)
        for k in range(len(near)):
            up = np.int64(parent[pixel + near[k]])
            seen[k] = up != UNSEEN
            if up in (UNSEEN, root):
                continue
            other = _root(parent, up)
            if root == UNSEEN:
                root = other
            elif other != root:
                root, other = min(root, other), max(root, other)
                if since[other] != value:
                    _enter(other, box, since, value, grow, ends, truths, best, holes)
                parent[other] = root
                cells[root] += cells[other]
                x0, y0 = min(x0, box[other, 0]), min(y0, box[other, 1])
                x1, y1 = max(x1, box[other, 2]), max(y1, box[other, 3])
        if root == UNSEEN:
            root = pixel
            box[root, 0], box[root, 1], box[root, 2], box[root, 3] = x0, y0, x1, y1
            since[root] = value
            roots[count] = root
            count += 1
        elif root != OUTSIDE and (x0 < box[root, 0] or y0 < box[root, 1] or x1 > box[root, 2] or y1 > box[root, 3]):
            if since[root] != value:
                _enter(root, box, since, value, grow, ends, truths, best, holes)
                since[root] = value
            box[root, 0], box[root, 1] = min(x0, box[root, 0]), min(y0, box[root, 1])
            box[root, 2], box[root, 3] = max(x1, box[root, 2]), max(y1, box[root, 3])
        parent[pixel] = root
        if foreground:
            # Of each square of four pixels the contour covers all with the fourth, half with the third.
            seen[8] = seen[0]
            for k in range(0, 8, 2):
                cells[root] += np.int64(seen[k]) + np.int64(seen[k + 1]) + np.int64(seen[k + 2]) >= 2
            below = np.int64(values[order[i + 1]]) if i + 1 < len(order) else np.int64(0)
            if below != value:
                count, first, clear = _largest(roots, count, parent, box, cells, holes[below])
                for t in range(below, value):
                    sure[t] = clear
                    for side in range(4):
                        largest[t, side] = box[first, side]
    for i in range(len(order)):
        pixel = np.int64(order[i])
        if parent[pixel] == pixel:
            _enter(pixel, box, since, last, grow, ends, truths, best, holes)


def sweep(levels: Array, truths: Array) -> tuple[Array, Array, Array]:
    """Return what the contours of `levels` (H, W) uint8 are worth at each threshold t, of the foreground above t.

    `truths` (M, 4) int64 are true boxes (x0, y0, x1, y1) by the protocol; M may be 0.

    Returns `best` (256,) float64: the best IoU of any contour's box; `largest` (256, 4) int64: the outermost pixels
    (x0, y0, x1, y1) of the contour of the largest area; and `sure` (256,) bool: False where the areas are too close to
    tell which is the largest. Where no pixel is above t they are 0, 0 and True.
    """
    height, width = levels.shape
    values = np.pad(levels, 1).ravel()
    places = np.arange(len(values), dtype=np.int32).reshape(height + 2, width + 2)[1:-1, 1:-1].ravel()
    rising = places[np.argsort(levels, axis=None, kind="stable")]
    zeros, top = int((levels == 0).sum()), int((levels == levels.max()).sum())  # in no foreground, in no background
    ends, steps = np.array([width, height]), RING @ np.array([width + 2, 1])
    best, holes, sure = np.zeros(LEVELS), np.zeros(LEVELS, np.int64), np.ones(LEVELS, np.bool_)
    largest = np.zeros((LEVELS, 4), np.int64)
    outside, unseen = np.full(len(values), OUTSIDE, np.int32), np.full(len(values), UNSEEN, np.int32)
    outside[places] = UNSEEN
    found = ends, truths, best, holes, largest, sure
    _sweep(rising[: len(rising) - top], values, steps[::2], outside, int(levels.max()), *found)
    _sweep(rising[zeros:][::-1].copy(), values, steps, unseen, 0, *found)
    return best, largest, sure
