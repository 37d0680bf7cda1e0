"""Boxes that were drawn on a photograph's stored pixels, turned upright as its EXIF orientation turns the pixels."""

from collections.abc import Callable

from acol.data.manifest import Box

# EXIF 2.32, tag 274: where each orientation moves a box of a stored image of (width, height).
_TURNS: dict[int, Callable[[Box, float, float], Box]] = {
    2: lambda box, w, h: (w - box[2], box[1], w - box[0], box[3]),
    3: lambda box, w, h: (w - box[2], h - box[3], w - box[0], h - box[1]),
    4: lambda box, w, h: (box[0], h - box[3], box[2], h - box[1]),
    5: lambda box, w, h: (box[1], box[0], box[3], box[2]),
    6: lambda box, w, h: (h - box[3], box[0], h - box[1], box[2]),
    7: lambda box, w, h: (h - box[3], w - box[2], h - box[1], w - box[0]),
    8: lambda box, w, h: (box[1], w - box[2], box[3], w - box[0]),
}


def stored_size(upright: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the (width, height) of the stored pixels of an upright image."""
    return upright[::-1] if orientation in (5, 6, 7, 8) else upright


def turned(box: Box, upright: tuple[int, int], orientation: int) -> Box:
    """Return a box on the stored pixels as a box on the upright image of (width, height) pixels."""
    turn = _TURNS.get(orientation)
    return box if turn is None else turn(box, *stored_size(upright, orientation))
