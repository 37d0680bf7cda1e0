"""Whether boxes lie in their images, and whether their four numbers mean what they are read as."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from acol.data.manifest import Box
from acol.ingest.annotations import BoxForm, from_centre, from_size

# How four numbers are written, the names of such columns in a CSV file, and the box that they are.
READINGS: dict[BoxForm, tuple[str, str, Callable[[float, float, float, float], Box]]] = {
    "corners": ("two corners", "x0, y0, x1, y1", lambda *corners: corners),
    "size": ("a corner and a size", "x, y, w, h", from_size),
    "centre": ("a centre and a size", "cx, cy, w, h", from_centre),
}
# By the number of the first pixel: VOC has 1.
_COUNTING = {0: "counted from 0, without the last one", 1: "counted from 1, with the last one"}
_FEW = 3  # sides of boxes: so many a pixel from the border, and none on it, are hardly chance

BoxInImage = tuple[Box, tuple[int, int]]  # half-open xyxy in pixels, and the (width, height) of its image


def snap(box: Box, size: tuple[int, int]) -> Box:
    """Return a box whose coordinates up to 1 pixel outside an image of (width, height) are moved onto its border.

    Some tools count pixels from 0 and others from 1, even within one format.
    """
    x0, y0, x1, y1 = box
    width, height = size
    x0, y0 = (0.0 if -1 <= low < 0 else low for low in (x0, y0))
    x1, y1 = (float(end) if end < high <= end + 1 else high for high, end in ((x1, width), (y1, height)))
    return x0, y0, x1, y1


def box_fault(box: Box, size: tuple[int, int]) -> str | None:
    """Return what is wrong with a half-open xyxy box in an image of (width, height) pixels, or None."""
    x0, y0, x1, y1 = box
    text = f"box ({', '.join(f'{value:g}' for value in box)})"
    if not all(map(math.isfinite, box)):
        return f"{text} is not finite"
    if x1 <= x0 or y1 <= y0:
        return f"{text} is degenerate: it has no area"
    if max(box) <= 1 and not all(value == int(value) for value in box):
        return f"{text} is in fractions of the image, not in pixels"
    if min(x0, y0) < 0 or x1 > size[0] or y1 > size[1]:
        return f"{text} is outside its image of {size[0]} x {size[1]} pixels"
    return None


def reading_fault(boxes: Sequence[BoxInImage], reading: BoxForm) -> str | None:
    """Return what is wrong if some boxes, read in one way, do not fit their images, but all do in another way."""
    fitting = {other: sum(_fits(box, size, reading, other) for box, size in boxes) for other in READINGS}
    others = [READINGS[other] for other, count in fitting.items() if count == len(boxes)]
    if len(boxes) < 2 or fitting[reading] == len(boxes) or not others:
        return None
    own, wrong = READINGS[reading][0], len(boxes) - fitting[reading]
    what = f"{wrong} of {len(boxes)} boxes do not fit their images as {own}, but all do as {others[0][0]}"
    return f"{what}; write {own}, or name the columns of a CSV file {others[0][1]} (data.annotations.columns)"


def _fits(box: Box, size: tuple[int, int], reading: BoxForm, other: BoxForm) -> bool:
    """Whether a box that was read in one way lies in its image if its numbers are read in the other way."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    numbers = {"corners": box, "size": (x0, y0, width, height), "centre": ((x0 + x1) / 2, (y0 + y1) / 2, width, height)}
    return box_fault(snap(READINGS[other][2](*numbers[reading]), size), size) is None


def counting_doubts(boxes: Sequence[BoxInImage], first: int | None) -> list[str]:
    """Return why boxes may be a pixel off; `first` is the number of the format's first pixel, if tools differ in it."""
    if first is None:
        return []
    starts = Counter(low for (x0, y0, _, _), _ in boxes for low in (x0, y0))
    ends = Counter(end - high for (_, _, x1, y1), size in boxes for high, end in zip((x1, y1), size, strict=True))
    doubts = []
    for border, gaps in (("left or top", starts), ("right or bottom", ends)):
        if gaps[-1]:
            doubts.append(f"sides of boxes a pixel beyond the {border} border, and so moved onto it: {gaps[-1]}")
        elif gaps[1] >= _FEW and gaps[1] > 2 * gaps[2] and not gaps[0] and (gaps is ends or first == 0):
            doubts.append(f"sides of boxes a pixel from the {border} border, and none on it: {gaps[1]}")
    return [f"{doubt}; pixels are read as {_COUNTING[first]}, which a tool may do otherwise" for doubt in doubts]
