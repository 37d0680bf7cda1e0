"""Text and colours of every picture. The style ignores the user's matplotlibrc, and names are never markup.

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
# Colours that colour-blind readers can tell apart, too (the first three: Okabe and Ito, 2008).
SERIES = (
    *("#0072b2", "#d55e00", "#009e73", "#8a3fb0", "#42a5e0"),
    *("#e377b0", "#d0a000", "#333333", "#8b5e00", "#b3123b"),
)
DPI = 144  # 9 points are 18 pixels: still readable at half size

# DejaVu comes with matplotlib. The others, if installed, draw scripts that it lacks.
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
    """Return the families that draw text, in their order."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(family for family in _FAMILIES if family in installed)


@cache
def _drawable() -> frozenset[int]:
    paths = [font_manager.findfont(family) for family in fonts()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())


def plain(text: str) -> str:
    """Return the text with every control, invisible or undrawable character shown as "□", on one line."""
    return "".join(letter if letter == " " or _is_drawable(letter) else "□" for letter in text)


def _is_drawable(letter: str) -> bool:
    return ord(letter) in _drawable() and unicodedata.category(letter)[0] not in "CZ"


def caption(image: Pixels, text: str) -> Pixels:
    """Return the image (H, W, 3) uint8 with a line of text on a dark ground in its top left corner."""
    line, drawn = plain(text), Image.fromarray(image)
    paths = [font_manager.findfont(family) for family in fonts()]
    whole = [path for path in paths if {*map(ord, line)} <= font_manager.get_font(path).get_charmap().keys()]
    pen = ImageDraw.Draw(drawn)
    pen.font = ImageFont.truetype((whole or paths)[0], max(11, min(drawn.size) // 20))
    right, bottom = pen.textbbox((5, 3), line)[2:]
    pen.rectangle((0, 0, right + 5, bottom + 4), fill=(15, 15, 15))
    pen.text((5, 3), line, fill="white")
    return np.asarray(drawn)


@contextmanager
def house_style() -> Iterator[None]:
    """Set the fonts, colours and axes of every picture that is drawn within this context."""
    settings = {
        "font.family": list(fonts()),
        "text.parse_math": False,  # a "$" in a name is a dollar
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
        "axes.formatter.useoffset": False,  # each tick has its whole number
    }
    with style.context(["default", settings]):
        yield


def short(name: str) -> str:
    """Cut a name to 36 characters."""
    return name if len(name) <= 36 else name[:35] + "…"


def percent(fraction: float) -> str:
    """Return a fraction as whole percent; "?" if it is not finite."""
    return f"{100 * fraction:.0f} %" if math.isfinite(fraction) else "?"


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically. The bytes depend only on the figure."""
    with house_style(), atomic_write(path) as temporary:  # ticks are made while drawing, so they need the style too
        # At level 4 a picture of photographs takes a third of the time that level 6 takes, and 2 % more room.
        figure.savefig(temporary, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 4})
