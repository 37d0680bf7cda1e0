"""The boxes of a map's contours at every threshold, in two passes over its pixels instead of one search per threshold.

When a threshold t over a uint8 map falls, the foreground (values above t, 8-connected) grows and merges. When it rises,
the background (values up to t, 4-connected) does. So union-find over the pixels in order of their values meets every
component of every threshold (Najman & Couprie, Building the component tree in quasi-linear time, 2006). A component's
box is entered for the thresholds at which it stays the same. A background component that does not touch the map's edge
is a hole. OpenCV gives a hole its own contour, one pixel outside it.
"""

# In compiled code numpy's and Python's integers are the same type.
# mypy: disable-error-code="assignment, arg-type, return-value, no-any-return"

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from acol.metrics.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = 256
OUTSIDE = 0  # the root of everything beyond the map's edge, which is background
UNSEEN = -1  # the parent of a pixel that is not in a component yet
# A row of `forest` is the component that a pixel is the root of: its outermost pixels, the value since which they are
# these, and twice the area that its own pixels enclose. `parent` leads from a pixel to its root.
X0, Y0, X1, Y1, SINCE, CELLS = range(6)
# A row of `found` is a threshold: the box of its largest contour, whether that is sure, and twice the area that holes
# may have.
SURE, HOLES = 4, 5
# (row, column) of the eight neighbours, clockwise from a side: every other one shares a side with the pixel.
RING = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])
# Twice the area that a pixel adds to a contour's inside, by which of its neighbours are there, a bit each in the order
# of RING. Of each square of four pixels the third gives a half and the fourth the rest.
_SEEN = np.arange(256)[:, None] >> np.arange(8) & 1
ADDED = sum(_SEEN[:, k] + _SEEN[:, k + 1] + _SEEN[:, (k + 2) % 8] >= 2 for k in range(0, 8, 2))


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers at its first call, and keep the machine code where that is possible."""
    try:
        return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return cast(F, njit(nogil=True, error_model="numpy")(function))


@compiled
def _root(parent: Array, pixel: int) -> int:
    """Return the root of a pixel's component, shortening the path to it on the way."""
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = np.int64(parent[pixel])
    return pixel


@compiled
def _enter(box: Array, value: int, grow: int, truths: Array, ends: Array, best: Array, found: Array) -> None:
    """Enter a component's box for the thresholds from its SINCE to `value`: its best IoU, and what a hole may enclose.

    The contour is `grow` pixels outside the component: 1 for a hole. By the protocol the box ends one pixel later,
    within the map, and a side counts x1 - x0 + 1.
    """
    x0, y0 = box[X0] - grow, box[Y0] - grow
    x1, y1 = min(box[X1] + grow + 1, ends[0] - 1), min(box[Y1] + grow + 1, ends[1] - 1)
    iou = 0.0
    for i in range(len(truths)):
        w = min(x1, truths[i, X1]) - max(x0, truths[i, X0]) + 1
        h = min(y1, truths[i, Y1]) - max(y0, truths[i, Y0]) + 1
        if w > 0 and h > 0:
            true = (truths[i, X1] - truths[i, X0] + 1) * (truths[i, Y1] - truths[i, Y0] + 1)
            iou = max(iou, w * h / ((x1 - x0 + 1) * (y1 - y0 + 1) + true - w * h))
    for t in range(min(box[SINCE], value), max(box[SINCE], value)):
        best[t] = max(best[t], iou)
        found[t, HOLES] += 2 * grow * (box[X1] - box[X0] + 2) * (box[Y1] - box[Y0] + 2)


@compiled
def _meet(pixel: int, near: Array, parent: Array, met: Array) -> tuple[int, int]:
    """Put the roots of the components that a pixel touches into `met`, the outside first.

    Returns their number, and which neighbours are in a component, one bit each.
    """
    count = seen = 0
    for k in range(len(near)):
        up = np.int64(parent[pixel + near[k]])
        if up == UNSEEN:
            continue
        seen |= 1 << k
        if count > 0 and up == met[count - 1]:
            continue
        root, known = _root(parent, up), False
        for i in range(count):
            known |= met[i] == root
        if not known:
            met[count] = root
            count += 1
            if root == OUTSIDE:
                met[0], met[count - 1] = met[count - 1], met[0]
    return count, seen


@compiled
def _widen(
    root: int, x0: int, y0: int, x1: int, y1: int, value: int, grow: int,
    forest: Array, truths: Array, ends: Array, best: Array, found: Array,
) -> None:  # fmt: skip
    """Extend a component's box to hold another box; if that changes it, enter the old box first."""
    box = forest[root]
    if x0 >= box[X0] and y0 >= box[Y0] and x1 <= box[X1] and y1 <= box[Y1]:
        return
    _enter(box, value, grow, truths, ends, best, found)
    box[X0], box[Y0], box[X1], box[Y1] = min(box[X0], x0), min(box[Y0], y0), max(box[X1], x1), max(box[Y1], y1)
    box[SINCE] = value


@compiled
def _grow(
    order: Array, values: Array, near: Array, last: int,
    parent: Array, forest: Array, truths: Array, ends: Array, best: Array, found: Array,
) -> None:  # fmt: skip
    """Grow components over the pixels of `order`, places in the framed map of `values`, and enter each of their boxes.

    `near` are the steps to a pixel's neighbours: four for the background, which gives the holes, or eight for the
    foreground, which gives the largest component at each threshold.
    """
    grow, roots, count, met = int(len(near) == 4), np.empty(len(order), np.int64), 0, np.empty(8, np.int64)
    for i in range(len(order)):
        pixel, value = np.int64(order[i]), np.int64(values[order[i]])
        row = pixel // (ends[0] + 2)
        x, y = pixel - row * (ends[0] + 2) - 1, row - 1
        # A pixel that touches no component begins one; else it becomes part of the first, and so do the others.
        touched, seen = _meet(pixel, near, parent, met)
        root = met[0] if touched else pixel
        parent[pixel] = root
        if not touched:
            roots[count] = pixel
            count += 1
            forest[pixel, X0], forest[pixel, Y0], forest[pixel, X1], forest[pixel, Y1] = x, y, x, y
            forest[pixel, SINCE], forest[pixel, CELLS] = value, 0
        elif x < forest[root, X0] or y < forest[root, Y0] or x > forest[root, X1] or y > forest[root, Y1]:
            _widen(root, x, y, x, y, value, grow, forest, truths, ends, best, found)
        for j in range(1, touched):
            other = forest[met[j]]
            _enter(other, value, grow, truths, ends, best, found)
            parent[met[j]] = root
            forest[root, CELLS] += other[CELLS]
            _widen(root, other[X0], other[Y0], other[X1], other[Y1], value, grow, forest, truths, ends, best, found)
        if grow == 0:
            forest[root, CELLS] += ADDED[seen]
            below = np.int64(values[order[i + 1]]) if i + 1 < len(order) else 0
            if below != value:
                count = _largest(roots, count, below, value, parent, forest, found)
    for i in range(count):
        if parent[roots[i]] == roots[i]:
            _enter(forest[roots[i]], last, grow, truths, ends, best, found)


@compiled
def _largest(roots: Array, count: int, below: int, value: int, parent: Array, forest: Array, found: Array) -> int:
    """Enter the largest contour for the thresholds between two values; return how many roots have not been merged.

    A contour runs through the centres of pixels. Its doubled area is at least its component's CELLS; it is at most
    those and all HOLES, and at most its box's.
    """
    kept, first, sure = 0, UNSEEN, True
    for i in range(count):
        root = roots[i]
        if parent[root] == root:
            roots[kept] = root
            kept += 1
            if first == UNSEEN or forest[root, CELLS] > forest[first, CELLS]:
                first = root
    for i in range(kept):
        box = forest[roots[i]]
        most = min(2 * (box[X1] - box[X0]) * (box[Y1] - box[Y0]), box[CELLS] + found[below, HOLES])
        sure &= roots[i] == first or most < forest[first, CELLS]
    for t in range(below, value):
        found[t, SURE] = sure
        for side in range(4):
            found[t, side] = forest[first, side]
    return kept


def sweep(levels: Array, truths: Array) -> tuple[Array, Array, Array]:
    """Score the contours of `levels` (H, W) uint8 at each threshold t; the foreground is above t.

    `truths` (M, 4) int64 are true boxes (x0, y0, x1, y1) by the protocol; M may be 0.

    Returns `best` (256,) float64: the best IoU of any contour's box; `largest` (256, 4) int64: the outermost pixels
    (x0, y0, x1, y1) of the contour of the largest area; and `sure` (256,) bool: False where the areas are too close to
    tell which is the largest. If no pixel is above t they are 0, 0 and True.
    """
    height, width = levels.shape
    # A frame of one pixel, so that each pixel has all of its neighbours. A place is an index in the framed map.
    values = np.pad(levels, 1).ravel()
    places = np.arange(len(values), dtype=np.int32).reshape(height + 2, width + 2)[1:-1, 1:-1].ravel()
    rising = places[np.argsort(levels, axis=None, kind="stable")]
    zeros, top = int((levels == 0).sum()), int((levels == levels.max()).sum())  # in no foreground, in no background
    steps = RING @ np.array([width + 2, 1])
    best, found = np.zeros(LEVELS), np.zeros((LEVELS, 6), np.int64)
    found[:, SURE] = True
    rest = truths, np.array([width, height]), best, found
    outside, unseen = np.full(len(values), OUTSIDE, np.int32), np.full(len(values), UNSEEN, np.int32)
    outside.reshape(height + 2, width + 2)[1:-1, 1:-1] = UNSEEN
    background, foreground = np.empty((2, len(values), 6), np.int32)
    background[OUTSIDE] = -1, -1, width, height, 0, 0  # it never grows, so it is never entered
    _grow(rising[: len(rising) - top], values, steps[::2].copy(), int(levels.max()), outside, background, *rest)
    _grow(rising[zeros:][::-1].copy(), values, steps, 0, unseen, foreground, *rest)
    return best, found[:, :4], found[:, SURE] > 0
