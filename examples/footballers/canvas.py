"""The canvas that everything is drawn on, and its colours."""

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green, blue in 0..255."""

WHITE: Colour = (244, 244, 240)
DARK: Colour = (32, 32, 38)

_SUBPIXEL_BITS = 4


@dataclass
class Canvas:
    """A square picture in which shapes are placed by unit coordinates: (0, 0) top left, (1, 1) bottom right.

    Shapes have hard edges: draw on a larger canvas than the picture needs, and shrink it.

    Attributes:
        rgb: pixels (S, S, 3) uint8, drawn on in place.
        mask: None, or (S, S) uint8 in which whatever is drawn becomes 255 too.
    """

    rgb: Pixels
    mask: Pixels | None = None

    @classmethod
    def blank(cls, size: int, *, with_mask: bool = False) -> "Canvas":
        """A black canvas of `size` pixels a side, with an empty mask if asked for."""
        mask = np.zeros((size, size), np.uint8) if with_mask else None
        return cls(np.zeros((size, size, 3), np.uint8), mask)

    def polygon(self, points: ArrayLike, colour: Colour, *, outline: Colour | None = None, width: float = 0.0) -> None:
        """Fill the polygon `points` (n, 2), after drawing its outline, which reaches `width / 2` beyond it."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        corners = [np.rint(np.asarray(points, np.float64) * scale).astype(np.int32)]
        pen = max(1, round(width * len(self.rgb)))
        for layer, fill, line in ((self.rgb, colour, outline), (self.mask, (255,), (255,))):
            if layer is None:
                continue
            if outline is not None and line is not None:
                cv2.polylines(layer, corners, True, line, pen, cv2.LINE_8, _SUBPIXEL_BITS)
            cv2.fillPoly(layer, corners, fill, cv2.LINE_8, _SUBPIXEL_BITS)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def disk(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a disk."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        centre = (round(x * scale), round(y * scale))
        for layer, fill in ((self.rgb, colour), (self.mask, (255,))):
            if layer is not None:
                cv2.circle(layer, centre, round(radius * scale), fill, -1, cv2.LINE_8, _SUBPIXEL_BITS)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, colour: Colour) -> None:
        """Draw a straight line `width` thick."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        start, end = (round(x0 * scale), round(y0 * scale)), (round(x1 * scale), round(y1 * scale))
        for layer, fill in ((self.rgb, colour), (self.mask, (255,))):
            if layer is not None:
                pen = max(1, round(width * len(self.rgb)))
                cv2.line(layer, start, end, fill, pen, cv2.LINE_8, _SUBPIXEL_BITS)

    def shrunk(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The picture anti-aliased: rgb (size, size, 3) in 0..255 times its coverage, coverage (size, size) in 0..1.

        A canvas without a mask counts as covered everywhere.
        """
        rgb = cv2.resize(self.rgb, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self.mask is None:
            return rgb, np.ones((size, size), np.float32)
        coverage = cv2.resize(self.mask, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        return rgb, coverage / np.float32(255)


def vivid(rng: np.random.Generator) -> Colour:
    """A saturated colour of any hue."""
    return _hsv(rng.random(), rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0))


def muted(rng: np.random.Generator) -> Colour:
    """A greyish colour of any hue and brightness."""
    return _hsv(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.2, 0.95))


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour as clothes and things have them: often saturated, sometimes white, dark or greyish."""
    kind = rng.random()
    if kind < 0.6:
        return vivid(rng)
    if kind < 0.75:
        return WHITE
    return DARK if kind < 0.85 else muted(rng)


def contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """A colour clearly lighter or darker than `colour`."""
    for _ in range(16):
        other = any_colour(rng)
        if abs(_luma(other) - _luma(colour)) > 90:
            return other
    return WHITE if _luma(colour) < 128 else DARK


def shaded(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


def jittered(rng: np.random.Generator, colour: Colour, spread: float = 0.15) -> Colour:
    """`colour` made up to `spread` darker or lighter, and a little of another hue."""
    factors = rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.94, 1.06, 3)
    red, green, blue = (min(255, round(channel * float(f))) for channel, f in zip(colour, factors, strict=True))
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _luma(colour: Colour) -> float:
    red, green, blue = colour
    return 0.3 * red + 0.59 * green + 0.11 * blue
