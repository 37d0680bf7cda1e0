"""Text and colours of all pictures. The style ignores the user's matplotlibrc, and names are never read as markup.

A character that no installed font can draw is shown as "□".
"""

import math
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import font_manager, style
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from acol.figures.pixels import Pixels
from acol.files import atomic_write

INK, MUTED, GOOD, BAD = "#1b1f24", "#6a737d", "#1a7f37", "#c62828"
EDGE, GRID = "#c4c9cf", "#e9ecef"
# Colours that colour-blind readers can distinguish as well (the first three: Okabe and Ito, 2008).
SERIES = (
    *("#0072b2", "#d55e00", "#009e73", "#8a3fb0", "#42a5e0"),
    *("#e377b0", "#d0a000", "#333333", "#8b5e00", "#b3123b"),
)
DPI = 144  # text of 9 points is 18 pixels high, and readable at half size

# DejaVu comes with matplotlib. The others, if they are installed, have scripts that it has not.
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


@cache
def fonts() -> tuple[str, ...]:
    """Return the installed font families that draw text, in the order in which they are tried."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(family for family in _FAMILIES if family in installed)


@cache
def _drawable() -> frozenset[int]:
    """Return the codes of the characters that these fonts can draw."""
    paths = [font_manager.findfont(family) for family in fonts()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())


def plain(text: str) -> str:
    """Return the text on one line, with "□" for each character that is invisible or that no font can draw."""
    return "".join(letter if letter == " " or _is_drawable(letter) else "□" for letter in text)


def _is_drawable(letter: str) -> bool:
    return ord(letter) in _drawable() and unicodedata.category(letter)[0] not in "CZ"


def caption(image: Pixels, text: str) -> Pixels:
    """Return an image (H, W, 3) uint8 with a line of text on a dark background in its upper left corner."""
    line, drawn = plain(text), Image.fromarray(image)
    paths = [font_manager.findfont(family) for family in fonts()]
    # The first font that has all of its characters, since Pillow draws with one font only.
    complete = [path for path in paths if {*map(ord, line)} <= font_manager.get_font(path).get_charmap().keys()]
    pen = ImageDraw.Draw(drawn)
    pen.font = ImageFont.truetype((complete or paths)[0], max(11, min(drawn.size) // 20))
    right, bottom = pen.textbbox((5, 3), line)[2:]
    pen.rectangle((0, 0, right + 5, bottom + 4), fill=(15, 15, 15))
    pen.text((5, 3), line, fill="white")
    return np.asarray(drawn)


@contextmanager
def house_style() -> Iterator[None]:
    """Set the fonts, colours and axes for pictures that are drawn within this context."""
    settings = {
        "font.family": list(fonts()),
        "text.parse_math": False,  # a "$" in a name is only a dollar sign
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": EDGE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "grid.color": GRID,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.labelsize": 9,
        "axes.formatter.useoffset": False,  # each tick shows its full number
    }
    with style.context(["default", settings]):
        yield


def short(name: str) -> str:
    """Return a name, cut to 36 characters."""
    return name if len(name) <= 36 else name[:35] + "…"


def percent(fraction: float) -> str:
    """Return a fraction as whole percent; "?" if it is not finite."""
    return f"{100 * fraction:.0f} %" if math.isfinite(fraction) else "?"


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically. The bytes depend only on the figure."""
    with house_style(), atomic_write(path) as temporary:  # ticks are made when the figure is drawn: they need the style
        # With photographs, level 4 takes a third of the time of level 6, and 2 % more bytes.
        figure.savefig(temporary, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 4})
