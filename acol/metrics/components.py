"""The boxes of a map's contours at every threshold, in two passes over its pixels instead of one search per threshold.

While the threshold t of a uint8 map falls, the components of the foreground (values above t, 8-connected) grow and
merge. While it rises, those of the background (values up to t, 4-connected) do. So union-find over the pixels in the
order of their values visits every component of every threshold (Najman & Couprie, Building the component tree in
quasi-linear time, 2006). The box of a component is recorded once for all thresholds at which it stays the same. A
component of the background that does not touch the edge of the map is a hole. OpenCV gives a hole its own contour, one
pixel outside of it.
"""

# mypy cannot know that in compiled code the integers of NumPy and Python are the same type.
# mypy: disable-error-code="assignment, arg-type, return-value, no-any-return"

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from acol.metrics.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = 256
OUTSIDE = 0  # the root of the frame around the map, which is background
UNSEEN = -1  # the parent of a pixel that is not in a component yet
# `parent` leads from a pixel to the root of its component. The row of `forest` of a root describes the component: its
# outermost pixels, the value since which it has these, and twice the area that its pixels enclose.
X0, Y0, X1, Y1, SINCE, AREA = range(6)
# A row of `largest` describes a threshold: the outermost pixels of the contour of the largest area, whether it is
# surely the largest, and twice the area that holes may have.
SURE, HOLES = 4, 5
# (row, column) of the eight neighbours, clockwise; those at even indices share a side with the pixel.
RING = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])
# Twice the area inside of a contour that a new pixel adds, by the set of its neighbours that are in a component: bit k
# of the index is neighbour k of RING. In a square of four pixels the third pixel adds half of the square, the fourth
# the rest.
_PRESENT = np.arange(256)[:, None] >> np.arange(8) & 1
ADDED_AREA = sum(_PRESENT[:, k] + _PRESENT[:, k + 1] + _PRESENT[:, (k + 2) % 8] >= 2 for k in range(0, 8, 2))


def compiled(function: F) -> F:
    """Return a function that is compiled at its first call; its machine code is kept on disk where that is possible."""
    try:
        return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return cast(F, njit(nogil=True, error_model="numpy")(function))


@compiled
def _find_root(parent: Array, pixel: int) -> int:
    """Return the root of a pixel's component, and shorten the path to it."""
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = np.int64(parent[pixel])
    return pixel


@compiled
def _record(box: Array, value: int, margin: int, truths: Array, size: Array, best: Array, largest: Array) -> None:
    """Record a component's box for the thresholds from its SINCE to `value`: its best IoU, and the area of a hole.

    The contour is `margin` pixels outside of the component: 1 for a hole, else 0. By the protocol the box ends one
    pixel later, but within the map, and its sides are x1 - x0 + 1 long.
    """
    x0, y0 = box[X0] - margin, box[Y0] - margin
    x1, y1 = min(box[X1] + margin + 1, size[0] - 1), min(box[Y1] + margin + 1, size[1] - 1)
    iou = 0.0
    for i in range(len(truths)):
        w = min(x1, truths[i, X1]) - max(x0, truths[i, X0]) + 1
        h = min(y1, truths[i, Y1]) - max(y0, truths[i, Y0]) + 1
        if w > 0 and h > 0:
            true = (truths[i, X1] - truths[i, X0] + 1) * (truths[i, Y1] - truths[i, Y0] + 1)
            iou = max(iou, w * h / ((x1 - x0 + 1) * (y1 - y0 + 1) + true - w * h))
    for t in range(min(box[SINCE], value), max(box[SINCE], value)):
        best[t] = max(best[t], iou)
        largest[t, HOLES] += 2 * margin * (box[X1] - box[X0] + 2) * (box[Y1] - box[Y0] + 2)


@compiled
def _touched_roots(pixel: int, steps: Array, parent: Array, roots: Array) -> tuple[int, int]:
    """Write the roots of the components that a pixel touches into `roots`; OUTSIDE comes first if it is one of them.

    Returns how many there are, and which neighbours are in a component, one bit each.
    """
    count = present = 0
    for k in range(len(steps)):
        neighbour = np.int64(parent[pixel + steps[k]])
        if neighbour == UNSEEN:
            continue
        present |= 1 << k
        if count > 0 and neighbour == roots[count - 1]:
            continue
        root, known = _find_root(parent, neighbour), False
        for i in range(count):
            known |= roots[i] == root
        if not known:
            roots[count] = root
            count += 1
            if root == OUTSIDE:
                roots[0], roots[count - 1] = roots[count - 1], roots[0]
    return count, present


@compiled
def _extend(
    root: int, x0: int, y0: int, x1: int, y1: int, value: int, margin: int,
    forest: Array, truths: Array, size: Array, best: Array, largest: Array,
) -> None:  # fmt: skip
    """Extend a component's box so that it contains another box; if that changes it, record the old box first."""
    box = forest[root]
    if x0 >= box[X0] and y0 >= box[Y0] and x1 <= box[X1] and y1 <= box[Y1]:
        return
    _record(box, value, margin, truths, size, best, largest)
    box[X0], box[Y0], box[X1], box[Y1] = min(box[X0], x0), min(box[Y0], y0), max(box[X1], x1), max(box[Y1], y1)
    box[SINCE] = value


@compiled
def _grow(
    order: Array, values: Array, steps: Array, last: int,
    parent: Array, forest: Array, truths: Array, size: Array, best: Array, largest: Array,
) -> None:  # fmt: skip
    """Add the pixels of `order`, indices into the framed map of `values`, to components, and record their boxes.

    `steps` lead to the neighbours of a pixel: four for the background, whose components are the holes, or eight for the
    foreground, of which the largest component at each threshold is recorded too.
    """
    margin, roots, count, touched = int(len(steps) == 4), np.empty(len(order), np.int64), 0, np.empty(8, np.int64)
    for i in range(len(order)):
        pixel, value = np.int64(order[i]), np.int64(values[order[i]])
        row = pixel // (size[0] + 2)
        x, y = pixel - row * (size[0] + 2) - 1, row - 1
        # A pixel that touches no component starts one. Otherwise it and all touched components join the first of them.
        components, present = _touched_roots(pixel, steps, parent, touched)
        root = touched[0] if components else pixel
        parent[pixel] = root
        if not components:
            roots[count] = pixel
            count += 1
            forest[pixel, X0], forest[pixel, Y0], forest[pixel, X1], forest[pixel, Y1] = x, y, x, y
            forest[pixel, SINCE], forest[pixel, AREA] = value, 0
        elif x < forest[root, X0] or y < forest[root, Y0] or x > forest[root, X1] or y > forest[root, Y1]:
            _extend(root, x, y, x, y, value, margin, forest, truths, size, best, largest)
        for j in range(1, components):
            other = forest[touched[j]]
            _record(other, value, margin, truths, size, best, largest)
            parent[touched[j]] = root
            forest[root, AREA] += other[AREA]
            x0, y0, x1, y1 = other[X0], other[Y0], other[X1], other[Y1]
            _extend(root, x0, y0, x1, y1, value, margin, forest, truths, size, best, largest)
        # In the foreground, record the largest component when all pixels of this value have been added.
        if margin == 0:
            forest[root, AREA] += ADDED_AREA[present]
            below = np.int64(values[order[i + 1]]) if i + 1 < len(order) else 0
            if below != value:
                count = _record_largest(roots, count, below, value, parent, forest, largest)
    # The components that are left stay as they are up to the last threshold.
    for i in range(count):
        if parent[roots[i]] == roots[i]:
            _record(forest[roots[i]], last, margin, truths, size, best, largest)


@compiled
def _record_largest(
    roots: Array, count: int, below: int, value: int, parent: Array, forest: Array, largest: Array
) -> int:
    """Record the largest contour for the thresholds from `below` to `value`; return how many roots are left.

    A contour runs through the centres of pixels. Twice its area is at least its component's AREA. It is at most the sum
    of this and all HOLES, and at most twice the area of its box.
    """
    # Keep the roots that still are roots, and find the one of the largest area.
    kept, first, sure = 0, UNSEEN, True
    for i in range(count):
        root = roots[i]
        if parent[root] == root:
            roots[kept] = root
            kept += 1
            if first == UNSEEN or forest[root, AREA] > forest[first, AREA]:
                first = root
    # It is surely the largest if no other one can be as large.
    for i in range(kept):
        box = forest[roots[i]]
        most = min(2 * (box[X1] - box[X0]) * (box[Y1] - box[Y0]), box[AREA] + largest[below, HOLES])
        sure &= roots[i] == first or most < forest[first, AREA]
    for t in range(below, value):
        largest[t, SURE] = sure
        for side in range(4):
            largest[t, side] = forest[first, side]
    return kept


def sweep(levels: Array, truths: Array) -> tuple[Array, Array, Array]:
    """Score the contours of a map at each threshold t in 0, ..., 255; the foreground is above t.

    Args:
        levels: (H, W) uint8, the map.
        truths: (M, 4) int64, true boxes (x0, y0, x1, y1) in the protocol's form; M may be 0.

    Returns `best` (256,) float64: the best IoU of any contour's box; `largest` (256, 4) int64: the outermost pixels
    (x0, y0, x1, y1) of the contour of the largest area; and `sure` (256,) bool: False if the areas are too close to say
    which is the largest. If no pixel is above t they are 0, zeros and True.
    """
    height, width = levels.shape
    # A frame of one pixel, so that each pixel has all of its neighbours; pixels are indices into the framed map.
    values = np.pad(levels, 1).ravel()
    pixels = np.arange(len(values), dtype=np.int32).reshape(height + 2, width + 2)[1:-1, 1:-1].ravel()
    rising = pixels[np.argsort(levels, axis=None, kind="stable")]
    # Pixels of value 0 are never foreground, those of the maximum never background.
    zeros, top = int((levels == 0).sum()), int((levels == levels.max()).sum())
    steps = RING @ np.array([width + 2, 1])
    best, largest = np.zeros(LEVELS), np.zeros((LEVELS, 6), np.int64)
    largest[:, SURE] = True
    rest = truths, np.array([width, height]), best, largest
    outside, unseen = np.full(len(values), OUTSIDE, np.int32), np.full(len(values), UNSEEN, np.int32)
    outside.reshape(height + 2, width + 2)[1:-1, 1:-1] = UNSEEN
    background, foreground = np.empty((2, len(values), 6), np.int32)
    background[OUTSIDE] = -1, -1, width, height, 0, 0  # it never grows, so it is never recorded
    _grow(rising[: len(rising) - top], values, steps[::2].copy(), int(levels.max()), outside, background, *rest)
    _grow(rising[zeros:][::-1].copy(), values, steps, 0, unseen, foreground, *rest)
    return best, largest[:, :4], largest[:, SURE] > 0
