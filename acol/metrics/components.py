"""The boxes of a map's contours at every threshold at once, read off its component trees.

Raise a threshold t over a uint8 map: the foreground (values above t, 8-connected) shrinks and splits, the background
(values up to t, 4-connected) grows and merges. Over all t the foreground's components are the nodes of one tree, the
background's of another, and union-find over the pixels in order of value visits them all (Najman & Couprie, Building
the component tree in quasi-linear time, 2006). A background component that does not touch the edge is a hole.

Two facts make this fast. Take the pixels in one strict order, ties by position, and look at which of a pixel's eight
neighbours come before it (a byte):
- If those form one connected group, the pixel merges nothing. It can extend its component's box to the left only if no
  pixel of the component lies left, above or below of it, and so for the other sides. So most pixels need no work: an
  *event* is a pixel that starts, joins or may extend components; on a smooth map that is one in twenty.
- The background's order is the foreground's reversed, so that the same bytes, complemented, serve both trees.
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
OUTSIDE = 0  # the node of everything beyond the map's edge, which is background
# (row, column) of the eight neighbours, clockwise; bit i of a pixel's byte speaks of RING[i].
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def _compiled(function: F) -> F:
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither __pycache__ nor a cache folder of the user's is writable
        return cast(F, njit(nogil=True)(function))


def _groups(byte: int, eight: bool) -> list[list[int]]:
    """Split the neighbours in `byte` into connected groups, keeping those that touch the centre."""
    left = [i for i in range(8) if byte >> i & 1]
    groups = []
    while left:
        group = [left.pop(0)]
        for i in group:
            for j in list(left):
                rows, columns = abs(RING[i][0] - RING[j][0]), abs(RING[i][1] - RING[j][1])
                if (max(rows, columns) if eight else rows + columns) == 1:
                    group.append(j)
                    left.remove(j)
        groups.append(group)
    # Sides (odd) come first: a group's first neighbour must itself be connected to the centre.
    groups = [sorted(group, key=lambda i: i % 2 == 0) for group in groups]
    return [group for group in groups if eight or group[0] % 2]


def _tables(eight: bool) -> tuple[Array, Array]:
    """For each byte: the number of groups (256,) and a neighbour of each (256, 4, 2)."""
    count = np.zeros(256, np.uint8)
    first = np.zeros((256, 4, 2), np.int64)
    for byte in range(256):
        groups = _groups(byte if eight else 255 - byte, eight)
        count[byte] = len(groups)
        for k, group in enumerate(groups):
            first[byte, k] = RING[group[0]]
    return count, first


def _extremes() -> Array:
    """For each byte of neighbours in the component: 1 if the pixel may extend its box to some side (256,)."""
    extends = np.zeros(256, np.uint8)
    for byte in range(256):
        near = [RING[i] for i in range(8) if byte >> i & 1]
        sides = ((axis, side) for axis in (0, 1) for side in (-1, 1))
        extends[byte] = any(all(at[axis] * side < 0 for at in near) for axis, side in sides)
    return extends


def _half_cells() -> Array:
    """For each byte: twice the contour area that a pixel adds to its component, in square pixels (256,).

    A contour's polygon runs through the pixels' centres, so it covers each 2 x 2 cell whose four pixels are in, and
    half of each cell with three.
    """
    cells = [(7, 0, 1), (1, 2, 3), (3, 4, 5), (5, 6, 7)]
    before = [[sum(byte >> i & 1 for i in cell) for cell in cells] for byte in range(256)]
    return np.array([sum(count >= 2 for count in counts) for counts in before], np.int64)


UP, DOWN = _tables(eight=True), _tables(eight=False)
EXTREMES, HALF_CELLS = _extremes(), _half_cells()
ALL = np.ones(256, np.uint8)


@_compiled
def _neighbours(
    values: Array, height: int, width: int, byte: Array, level: Array, above: Array, up: Array, down: Array
) -> None:
    """Set the bits of the neighbours that come before each pixel, that are at least as high, and that are higher.

    Before come higher values and, of equal ones, those earlier in reading order. `up` and `down` get
    those that are surely in the pixel's component: of the ones straight ahead in the tree's order, what comes before.
    """
    stride = width + 2
    for y in range(1, height + 1):
        start = y * stride
        north, row = values[start - stride : start], values[start : start + stride]
        south = values[start + stride : start + 2 * stride]
        out, at, over = byte[start : start + stride], level[start : start + stride], above[start : start + stride]
        rise, fall = up[start : start + stride], down[start : start + stride]
        for x in range(1, width + 1):
            v = row[x]
            at[x] = (
                np.uint8(north[x - 1] >= v)
                | np.uint8(north[x] >= v) << np.uint8(1)
                | np.uint8(north[x + 1] >= v) << np.uint8(2)
                | np.uint8(row[x + 1] >= v) << np.uint8(3)
                | np.uint8(south[x + 1] >= v) << np.uint8(4)
                | np.uint8(south[x] >= v) << np.uint8(5)
                | np.uint8(south[x - 1] >= v) << np.uint8(6)
                | np.uint8(row[x - 1] >= v) << np.uint8(7)
            )
            over[x] = (
                np.uint8(north[x - 1] > v)
                | np.uint8(north[x] > v) << np.uint8(1)
                | np.uint8(north[x + 1] > v) << np.uint8(2)
                | np.uint8(row[x + 1] > v) << np.uint8(3)
                | np.uint8(south[x + 1] > v) << np.uint8(4)
                | np.uint8(south[x] > v) << np.uint8(5)
                | np.uint8(south[x - 1] > v) << np.uint8(6)
                | np.uint8(row[x - 1] > v) << np.uint8(7)
            )
        at[1] &= 0b00111110  # beyond the edge is lower still, even where the map is 0 like its frame
        at[width] &= 0b11100011
        if y == 1:
            for x in range(1, width + 1):
                at[x] &= 0b11111000
        if y == height:
            for x in range(1, width + 1):
                at[x] &= 0b10001111
        for x in range(1, width + 1):
            out[x] = (at[x] & 0b10000111) | (over[x] & 0b01111000)
            rise[x] = (at[x] & 0b11010111) | (over[x] & 0b00101000)
            fall[x] = (~over[x] & 0b00101000) | (~at[x] & 0b10000010)  # the background is 4-connected


@_compiled
def _covered(pixel: int, level: Array, above: Array, flip: int, bit: int, step: int) -> int:
    """Follow the run of equals from a pixel along `step`; return 1 if the pixel that ends it comes before them."""
    while (level[pixel] ^ flip) & ~(above[pixel] ^ flip) & bit:
        pixel += step
    return (level[pixel] ^ flip) & bit


@_compiled
def _events(
    values: Array,
    byte: Array,
    near: Array,
    level: Array,
    above: Array,
    flip: int,
    side: int,
    line: int,
    aside: int,
    along: int,
    height: int,
    width: int,
    joins: Array,
    extremes: Array,
    skip: int,
    out: Array,
) -> int:
    """List the events among the pixels whose value is not `skip`, in reading order; return how many.

    The neighbours at the bits `side` and `line` may be equal and later, and then are not in `near`: if they were, all
    pixels of a straight run could leave the event to each other. But if the run ends at a pixel that comes before all
    of it, that one has seen to it.
    """
    size = np.uint64(0)  # unsigned indices need no look at their sign: half the time
    for y in range(1, height + 1):
        start = np.uint64(y * (width + 2) + 1)
        for x in range(width):
            pixel = start + np.uint64(x)
            out[size] = pixel  # kept or overwritten: faster than a branch
            size += np.uint64((joins[byte[pixel]] | extremes[near[pixel]]) & np.uint8(values[pixel] != skip))
    kept = 0
    for i in range(np.int64(size)):
        event = np.int64(out[i])
        around = near[event] | _covered(event, level, above, flip, side, aside)
        if extremes[around]:
            around |= _covered(event, level, above, flip, line, along)
        out[kept] = event
        kept += joins[byte[event]] | extremes[around]
    return kept


@_compiled
def _in_order(pixels: Array, size: int, values: Array, rising: bool, out: Array) -> None:
    """Sort `pixels` (in reading order) by falling value, or the exact reverse of that if `rising`."""
    place = np.zeros(LEVELS + 1, np.int64)
    for i in range(size):
        value = np.int64(values[pixels[i]])
        place[value + 1 if rising else LEVELS - value] += 1
    for value in range(LEVELS):
        place[value + 1] += place[value]
    for i in range(size):
        pixel = pixels[size - 1 - i] if rising else pixels[i]
        value = np.int64(values[pixel])
        slot = value if rising else LEVELS - 1 - value
        out[place[slot]] = pixel
        place[slot] += 1


@_compiled
def _find(parent: Array, node: int) -> int:
    node = np.int64(node)
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = np.int64(parent[node])
    return node


@_compiled
def _node(pixel: int, byte: Array, step: Array, label: Array) -> int:
    """Climb from a pixel to one whose node is known, and note it all along the way."""
    top = pixel
    while label[top] < 0:
        top += step[byte[top], 0]
    node = np.int64(label[top])
    while label[pixel] < 0:
        label[pixel] = node
        pixel += step[byte[pixel], 0]
    return node


@_compiled
def _best_iou(x0: int, y0: int, x1: int, y1: int, boxes: Array) -> float:
    """Return the best IoU of a box with `boxes` (M, 4), sides counted as x1 - x0 + 1."""
    best = 0.0
    size = (x1 - x0 + 1) * (y1 - y0 + 1)
    for i in range(boxes.shape[0]):
        w = min(x1, boxes[i, 2]) - max(x0, boxes[i, 0]) + 1
        h = min(y1, boxes[i, 3]) - max(y0, boxes[i, 1]) + 1
        if w > 0 and h > 0:
            other = (boxes[i, 2] - boxes[i, 0] + 1) * (boxes[i, 3] - boxes[i, 1] + 1)
            best = max(best, w * h / (size + other - w * h))
    return best


@_compiled
def _record(
    box: Array, since: int, until: int, grow: int, height: int, width: int, boxes: Array, best: Array, area: Array
) -> None:
    """Enter a component's box for the thresholds between two levels, and its area's bound in `area`'s steps."""
    iou = _best_iou(
        box[0] - grow, box[1] - grow, min(box[2] + 1 + grow, width - 1), min(box[3] + 1 + grow, height - 1), boxes
    )
    low, high = min(since, until), max(since, until)
    for t in range(low, high):
        best[t] = max(best[t], iou)
    bound = 2 * (box[2] - box[0] + 2) * (box[3] - box[1] + 2)
    area[low] += bound
    area[high] -= bound


@_compiled
def _sweep(
    events: Array,
    size: int,
    values: Array,
    byte: Array,
    count: Array,
    step: Array,
    height: int,
    width: int,
    grow: int,
    last: int,
    boxes: Array,
    label: Array,
    parent: Array,
    box: Array,
    since: Array,
    best: Array,
    area: Array,
) -> None:
    """Build one tree from its events in order, entering each component's box for the thresholds where it lives."""
    stride = width + 2
    for pixel in range(stride * (height + 2)):
        label[pixel] = OUTSIDE
    for y in range(1, height + 1):
        for pixel in range(y * stride + 1, y * stride + width + 1):
            label[pixel] = -1
    parent[OUTSIDE] = OUTSIDE
    nodes = 1
    for i in range(size):
        pixel = np.int64(events[i])
        value = np.int64(values[pixel])
        neighbours = byte[pixel]
        y = pixel // stride - 1
        x = pixel - (y + 1) * stride - 1
        groups = count[neighbours]
        if groups == 0:
            label[pixel] = nodes
            parent[nodes] = nodes
            box[nodes, 0] = box[nodes, 2] = x
            box[nodes, 1] = box[nodes, 3] = y
            since[nodes] = value
            nodes += 1
            continue
        node = _find(parent, _node(pixel + step[neighbours, 0], byte, step, label))
        x0 = x1 = x
        y0 = y1 = y
        for k in range(1, groups):
            other = _find(parent, _node(pixel + step[neighbours, k], byte, step, label))
            if other != node:
                node, other = min(node, other), max(node, other)  # OUTSIDE is the least and swallows all
                if since[other] != value:
                    _record(box[other], since[other], value, grow, height, width, boxes, best, area)
                parent[other] = node
                x0, y0 = min(x0, box[other, 0]), min(y0, box[other, 1])
                x1, y1 = max(x1, box[other, 2]), max(y1, box[other, 3])
        label[pixel] = node
        if node != OUTSIDE and (x0 < box[node, 0] or y0 < box[node, 1] or x1 > box[node, 2] or y1 > box[node, 3]):
            if since[node] != value:
                _record(box[node], since[node], value, grow, height, width, boxes, best, area)
                since[node] = value
            box[node, 0], box[node, 1] = min(x0, box[node, 0]), min(y0, box[node, 1])
            box[node, 2], box[node, 3] = max(x1, box[node, 2]), max(y1, box[node, 3])
    for node in range(1, nodes):
        if parent[node] == node:
            _record(box[node], since[node], last, grow, height, width, boxes, best, area)


@_compiled
def _largest(
    order: Array,
    size: int,
    values: Array,
    byte: Array,
    count: Array,
    step: Array,
    half_cells: Array,
    height: int,
    width: int,
    boxes: Array,
    label: Array,
    parent: Array,
    box: Array,
    holes: Array,
    best: Array,
    undecided: Array,
) -> None:
    """Enter the box of the component with the largest contour area at each threshold, or mark it undecided.

    A component's contour area lies between its own cells and those plus all `holes` (cells within its box at most).
    """
    stride = width + 2
    cells = np.zeros(parent.shape[0], np.int64)
    alive = np.empty(parent.shape[0], np.int64)
    nodes = living = 0
    for i in range(size):
        pixel = np.int64(order[i])
        value = np.int64(values[pixel])
        neighbours = byte[pixel]
        y = pixel // stride - 1
        x = pixel - (y + 1) * stride - 1
        groups = count[neighbours]
        if groups == 0:
            node = nodes
            parent[node] = node
            box[node, 0] = box[node, 2] = x
            box[node, 1] = box[node, 3] = y
            alive[living] = node
            living += 1
            nodes += 1
        else:
            node = _find(parent, label[pixel + step[neighbours, 0]])
            for k in range(1, groups):
                other = _find(parent, label[pixel + step[neighbours, k]])
                if other != node:
                    node, other = min(node, other), max(node, other)
                    parent[other] = node
                    cells[node] += cells[other]
                    box[node, 0], box[node, 1] = min(box[node, 0], box[other, 0]), min(box[node, 1], box[other, 1])
                    box[node, 2], box[node, 3] = max(box[node, 2], box[other, 2]), max(box[node, 3], box[other, 3])
            cells[node] += half_cells[neighbours]
            box[node, 0], box[node, 1] = min(x, box[node, 0]), min(y, box[node, 1])
            box[node, 2], box[node, 3] = max(x, box[node, 2]), max(y, box[node, 3])
        label[pixel] = node
        below = np.int64(values[order[i + 1]]) if i + 1 < size else 0
        if below == value:
            continue
        kept = 0
        winner = -1
        for a in range(living):
            node = alive[a]
            if parent[node] == node:
                alive[kept] = node
                kept += 1
                if winner < 0 or cells[node] > cells[winner]:
                    winner = node
        living = kept
        clear = True
        for a in range(living):
            node = alive[a]
            if node != winner:
                within = 2 * (box[node, 2] - box[node, 0]) * (box[node, 3] - box[node, 1])
                clear &= min(within, cells[node] + holes[below]) < cells[winner]
        if clear:
            iou = _best_iou(
                box[winner, 0],
                box[winner, 1],
                min(box[winner, 2] + 1, width - 1),
                min(box[winner, 3] + 1, height - 1),
                boxes,
            )
            for t in range(below, value):
                best[t] = iou
        else:
            for t in range(below, value):
                undecided[t] = True


class Sweeper:
    """Finds the boxes of maps of one size; holds the working memory, so each thread needs its own."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        room = (height + 2) * (width + 2)
        self._frame = np.zeros((height + 2, width + 2), np.uint8)
        self._values = self._frame.ravel()
        self._bytes, self._level, self._above, self._up, self._down = (np.zeros(room, np.uint8) for _ in range(5))
        self._pixels, self._order = np.empty(room, np.int32), np.empty(room, np.int32)
        self._nodes = (  # each pixel's node; each node's parent, box and the value since which it has that box
            np.empty(room, np.int32),
            np.empty(room, np.int32),
            np.empty((room, 4), np.int64),
            np.empty(room, np.int32),
        )
        self._trees = [(count, first @ np.array([width + 2, 1])) for count, first in (UP, DOWN)]

    def best_iou(self, levels: Array, boxes: Array, largest: bool = False) -> tuple[Array, Array, int]:
        """Return the best IoU of the contours' boxes with the true ones, for each integer threshold.

        `levels` (H, W) uint8; `boxes` (M, 4) int64 (x0, y0, x1, y1), M >= 1; `largest`: only the contour of the
        largest area counts.

        Returns `best` (256,), where best[t] is for foreground > t; `undecided` (256,) bool, where `best` does not
        hold because areas were too close to tell the largest; and the map's maximum. At and above the maximum no
        contour is left and the box (0, 0, 0, 0) counts.
        """
        height, width = self.size
        values, byte, (up, down) = self._values, self._bytes, self._trees
        best, undecided, area = np.zeros(LEVELS), np.zeros(LEVELS, np.bool_), np.zeros(LEVELS + 1, np.int64)
        self._frame[1:-1, 1:-1] = levels
        peak = int(levels.max())
        if peak > 0:
            _neighbours(values, height, width, byte, self._level, self._above, self._up, self._down)
            order = self._in_order((down[0] != 1).view(np.uint8), peak, background=True)
            _sweep(*order, values, byte, *down, height, width, 1, peak, boxes, *self._nodes, best, area)
            if largest:
                best[:] = 0  # of the holes only their area was wanted
                order = self._in_order(ALL, 0, background=False)
                _largest(
                    *order, values, byte, *up, HALF_CELLS, height, width, boxes,
                    *self._nodes[:3], np.cumsum(area), best, undecided,
                )  # fmt: skip
            else:
                order = self._in_order((up[0] != 1).view(np.uint8), 0, background=False)
                _sweep(*order, values, byte, *up, height, width, 0, 0, boxes, *self._nodes, best, area)
        best[peak:] = _best_iou(0, 0, 0, 0, boxes)
        return best, undecided, peak

    def _in_order(self, joins: Array, skip: int, background: bool) -> tuple[Array, int]:
        values, pixels, stride = self._values, self._pixels, self.size[1] + 2
        if background:  # all is reversed: lower is before, and ahead are west and north
            near = (self._down, self._above, self._level, 255, 1 << 7, 1 << 1, -1, -stride)
        else:
            near = (self._up, self._level, self._above, 0, 1 << 3, 1 << 5, 1, stride)
        size = _events(values, self._bytes, *near, *self.size, joins, EXTREMES, skip, pixels)
        _in_order(pixels, size, values, background, self._order)
        return self._order, size
