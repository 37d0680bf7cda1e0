"""Pictures of what a model sees: heat-map overlays, boxes, panels of an image's maps, galleries across cells, curves.

Every tile is made at its final size in pixels and placed one to one, so that a picture is sharp and its bytes are the
same on every run. Text is data: no name is read as markup, and a character that no font here can draw shows as "□".
"""

import bisect
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps, font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from acol.files import atomic_write
from acol.localization.fusion import erased_before

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) sRGB
Colour = tuple[int, int, int]

TRUE: Colour = (60, 230, 90)
PREDICTED: Colour = (255, 70, 20)
INK, MUTED, GOOD, BAD = "#1b1f24", "#6a737d", "#1a7f37", "#c62828"
# Turbo's darkest ends are cut off: near-black blue and brown read as shadow on a photograph, not as heat.
HEAT = (colormaps["turbo"](np.linspace(0.08, 0.94, 256))[:, :3] * 255).astype(np.float32)
OPACITY = 0.72

DPI = 144  # 9 points are 18 pixels: read well at half size on a fine screen
TILE = 264  # pixels, the width of a tile
GAP = 12
MARGIN = 20
LINE = 34  # the height of a line of text
TALLEST = 1.4  # height of a tile over its width; a taller image is fitted in


# --- what is drawn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Photograph:
    """A test image: sRGB pixels (H, W, 3) uint8, the path it is known by, its true class and boxes (M, 4) xyxy."""

    pixels: Pixels
    path: str
    label: str
    boxes: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class Prediction:
    """A cell's answer: class, its probability, the box (xyxy, the image's pixels) and its IoU with the true boxes."""

    label: str
    probability: float
    box: Sequence[float] | None = None
    iou: float | None = None


@dataclass(frozen=True)
class PanelRow:
    """One image in one cell; every map in [0, 1] and covering the whole image.

    cams (K, h, w): each classifier's CAM of the true class after its predecessors' erasing; fused (h, w): their fusion,
    on which the predicted box stands; rival (h, w): the fused map of the predicted class where that is another one.
    """

    photograph: Photograph
    prediction: Prediction
    cams: npt.NDArray[np.floating]
    fused: npt.NDArray[np.floating]
    rival: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True)
class GalleryRow:
    """One image in several cells: for each cell its prediction and its fused map (h, w) of the true class."""

    photograph: Photograph
    views: Sequence[tuple[Prediction, npt.NDArray[np.floating]]]


@dataclass(frozen=True)
class Curve:
    """One cell's training: a row an epoch (history.csv's columns), recipe letters, classes, best epoch (from 1)."""

    history: pd.DataFrame
    letters: str
    num_classes: int
    best_epoch: int | None = None


# --- pixels ------------------------------------------------------------------------------------------------------


def overlay(image: Pixels, heat: npt.NDArray[np.floating], opacity: float = OPACITY) -> Pixels:
    """Lay a map (H, W) in [0, 1] over an image (H, W, 3) uint8: colour tells the value, and so does opacity.

    Where the map is 0 the image stays as it is; at 1 the colour covers `opacity` of it. Turbo (Mikhailov, 2019) keeps
    its order of lightness up to the hottest part and tells levels apart on any photograph. NaN counts as 0. Raises
    ValueError if the sizes differ.
    """
    if heat.shape != image.shape[:2]:
        raise ValueError(f"the map is {heat.shape}, the image {image.shape[:2]}: upsample the map to the image's size")
    value = np.clip(np.nan_to_num(heat.astype(np.float32)), 0, 1)
    alpha = opacity * np.sqrt(value)[..., None]
    return _to_uint8(image * (1 - alpha) + HEAT[np.rint(value * 255).astype(np.intp)] * alpha)


def draw_box(image: Pixels, box: Sequence[float], colour: Colour, thickness: int = 3, dashed: bool = False) -> Pixels:
    """Return the image with a box (xyxy, half-open, the image's pixels) drawn just inside its edges.

    A dark line on either side sets it off from any background; what lies outside the image is cut off.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    ys, xs = np.mgrid[:height, :width]
    depth = np.minimum(np.minimum(xs - x0, x1 - 1 - xs), np.minimum(ys - y0, y1 - 1 - ys))  # 0 on the box's edge
    drawn = image.copy()
    drawn[(depth >= -1) & (depth <= thickness)] = (15, 15, 15)
    line = np.asarray((depth >= 0) & (depth < thickness))
    if dashed:
        dash = 4 * thickness
        along = np.where(np.minimum(xs - x0, x1 - 1 - xs) == depth, ys - y0, xs - x0)
        drawn[line & (along // dash % 2 == 1)] = 255
        line &= along // dash % 2 == 0
    drawn[line] = colour
    return drawn


def hatch(image: Pixels, mask: npt.NDArray[np.bool_], period: int = 12) -> Pixels:
    """Grey and stripe the part of an image (H, W, 3) under a mask (H, W), and draw the part's outline in white."""
    if not mask.any():
        return image
    grey = image.mean(axis=2, keepdims=True) * 0.5 + 85
    ys, xs = np.indices(mask.shape)
    stripe = np.asarray((xs + ys) % period < period // 4)[..., None]
    drawn = np.where(mask[..., None], np.where(stripe, grey - 75, grey), image)
    edge = mask & (cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) == 0)
    drawn[edge] = 245
    return _to_uint8(drawn)


def _to_uint8(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _resized(image: Pixels, width: int, height: int) -> Pixels:
    shrinks = width * height <= image.shape[0] * image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way), dtype=np.uint8)


class _Tiles:
    """Makes the tiles of one photograph, all of one size."""

    def __init__(self, photograph: Photograph, width: int) -> None:
        rows, columns = photograph.pixels.shape[:2]
        self.height = max(1, round(width * min(rows / columns, TALLEST)))
        self.width = min(width, max(1, round(self.height * columns / rows)))
        self.inset = (width - self.width) // 2
        self.scale = np.array([self.width / columns, self.height / rows] * 2)
        self.image = _resized(photograph.pixels, self.width, self.height)
        self.true_boxes = photograph.boxes

    def boxed(self, tile: Pixels, prediction: Prediction | None) -> Pixels:
        for box in self.true_boxes:
            tile = draw_box(tile, np.asarray(box, dtype=float) * self.scale, TRUE)
        if prediction is not None and prediction.box is not None:  # dashed: the two may coincide, and hue is not all
            tile = draw_box(tile, np.asarray(prediction.box, dtype=float) * self.scale, PREDICTED, dashed=True)
        return tile

    def heated(self, cam: npt.NDArray[np.floating], erased: npt.NDArray[np.bool_] | None = None) -> Pixels:
        size = (self.height, self.width)
        tile = overlay(self.image, cv2.resize(cam.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))
        if erased is None:
            return tile
        blocks = cv2.resize(erased.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return hatch(tile, blocks.astype(bool))


# --- text --------------------------------------------------------------------------------------------------------

# DejaVu comes with matplotlib; the others serve scripts that it lacks, where the machine has them.
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


@cache
def _fonts() -> tuple[str, ...]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(family for family in _FAMILIES if family in installed)


@cache
def _drawable() -> frozenset[int]:
    paths = [font_manager.findfont(family) for family in _fonts()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())


def plain(text: str) -> str:
    """Return the text with every control, invisible or undrawable character shown as "□", on one line."""
    return "".join(letter if letter == " " or _is_drawable(letter) else "□" for letter in text)


def _is_drawable(letter: str) -> bool:
    return ord(letter) in _drawable() and unicodedata.category(letter)[0] not in "CZ"


@contextmanager
def _house_style() -> Iterator[None]:
    settings = {
        "font.family": list(_fonts()),
        "text.parse_math": False,  # a "$" in a name is a dollar
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": "#c4c9cf",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "grid.color": "#e9ecef",
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.labelsize": 9,
    }
    with style.context(["default", settings]):  # whatever a user's matplotlibrc says, the picture is the same
        yield


class _Sheet:
    """A white page in pixels, y downwards, on which tiles and text are put."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.renderer = cast(Any, FigureCanvasAgg(self.figure)).get_renderer()

    def image(self, x: int, y: int, pixels: Pixels) -> None:
        self.figure.figimage(pixels, xo=x, yo=self.height - y - pixels.shape[0])

    def length(self, text: str, size: float, bold: bool = False) -> float:
        font = font_manager.FontProperties(family=list(_fonts()), size=size, weight="bold" if bold else "normal")
        return float(self.renderer.get_text_width_height_descent(text, font, ismath=False)[0])

    def text(
        self, x: float, y: float, text: str, room: float, size: float = 9, colour: str = INK, bold: bool = False,
        align: str = "left",
    ) -> float:  # fmt: skip
        """Put text at x, vertically centred on y, cut to `room` pixels with an ellipsis; return its length."""
        text = plain(text)
        if self.length(text, size, bold) > room:
            cuts = range(len(text))
            fits = bisect.bisect(cuts, False, key=lambda cut: self.length(text[:cut] + "…", size, bold) > room)
            text = text[: max(fits - 1, 0)] + "…"
        self.figure.text(
            x / self.width, 1 - y / self.height, text, fontsize=size, color=colour, ha=align, va="center_baseline",
            fontweight="bold" if bold else "normal",
        )  # fmt: skip
        return self.length(text, size, bold)

    def words(self, x: float, y: float, words: Iterable[tuple[str, str, bool]], room: float, size: float = 9) -> None:
        """Put (text, colour, bold) one after another within `room` pixels."""
        for text, colour, bold in words:
            used = self.text(x, y, text, room, size, colour, bold)
            x, room = x + used, room - used
            if room < 3 * size:
                return

    def legend(self, y: int, erasing: bool, boxes: bool) -> float:
        """Put the legend at the right end of a line; return the length of what it takes."""
        x = float(self.width - MARGIN)
        swatch = np.full((22, 30, 3), 255, np.uint8)
        ramp = np.broadcast_to(HEAT[np.linspace(0, 255, 90).astype(int)], (16, 90, 3))
        entries: list[tuple[str, Pixels]] = [("map, 0 to 1", _to_uint8(ramp))]
        if erasing:
            entries.append(("erased before", hatch(np.full((22, 30, 3), 160, np.uint8), np.ones((22, 30), bool))))
        if boxes:
            entries.append(("predicted box", draw_box(swatch, (1, 1, 29, 21), PREDICTED, dashed=True)))
            entries.append(("true box", draw_box(swatch, (1, 1, 29, 21), TRUE)))
        for name, sample in entries:
            x -= self.text(x, y, name, 400, 8, MUTED, align="right") + 8 + sample.shape[1]
            self.image(round(x), y - sample.shape[0] // 2, sample)
            x -= 26
        return self.width - x


def _verdict(truth: str, prediction: Prediction) -> list[tuple[str, str, bool]]:
    right = truth == prediction.label
    words = [
        ("✓ " if right else "✗ ", GOOD if right else BAD, True),
        (_short(prediction.label), GOOD if right else BAD, True),
        (f"  {_percent(prediction.probability)}", INK, False),
    ]
    if not right:
        words += [("   true ", MUTED, False), (_short(truth), INK, True)]
    if prediction.iou is not None:
        words.append((f"   IoU {prediction.iou:.2f}", INK, False))
    return words


def _short(name: str, most: int = 36) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if math.isfinite(fraction) else "?"


# --- pictures ----------------------------------------------------------------------------------------------------


def panel(rows: Sequence[PanelRow], letters: str, deltas: Sequence[float], title: str) -> Figure:
    """Draw a row an image: the image, each classifier's CAM with what was erased before it, and the fused map.

    The image and the fused map carry the true and the predicted box; the line above a row gives the predicted class
    with its probability, the true class and the IoU. Where an image's predicted class is a wrong one, a last column
    shows the map of that class.
    """
    rivals = any(row.rival is not None for row in rows)
    heads = ["image", *_classifier_titles(letters, deltas), "fused map"] + ["map of the predicted class"] * rivals
    columns = len(heads)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    tiles = [_Tiles(row.photograph, TILE) for row in rows]
    top = MARGIN + 2 * LINE
    with _house_style():
        sheet = _Sheet(width, top + sum(tile.height + LINE + GAP for tile in tiles) + MARGIN - GAP)
        boxes = any(len(row.photograph.boxes) or row.prediction.box is not None for row in rows)
        taken = sheet.legend(MARGIN + 14, erasing=len(letters) > 1, boxes=boxes)
        sheet.text(MARGIN, MARGIN + 14, title, width - MARGIN - taken, 11, bold=True)
        for column, head in enumerate(heads):
            sheet.text(MARGIN + column * (TILE + GAP), MARGIN + LINE + 18, head, TILE, 9, MUTED)
        y = top
        for row, tile in zip(rows, tiles, strict=True):
            verdict, path_room = _verdict(row.photograph.label, row.prediction), (width - 2 * MARGIN) * 0.4
            used = sheet.text(width - MARGIN, y + 18, row.photograph.path, path_room, 7.5, MUTED, align="right")
            sheet.words(MARGIN, y + 18, verdict, width - 2 * MARGIN - used - 2 * GAP)
            y += LINE
            taken_away = erased_before(row.cams, deltas)
            pictures = [tile.boxed(tile.image, row.prediction)]
            pictures += [tile.heated(cam, gone) for cam, gone in zip(row.cams, taken_away, strict=True)]
            pictures.append(tile.boxed(tile.heated(row.fused), row.prediction))
            if row.rival is not None:
                pictures.append(tile.heated(row.rival))
            for column, picture in enumerate(pictures):
                sheet.image(MARGIN + column * (TILE + GAP) + tile.inset, y, picture)
            y += tile.height + GAP
    return sheet.figure


def _classifier_titles(letters: str, deltas: Sequence[float]) -> list[str]:
    titles = [f"classifier {number}: {letter}" for number, letter in enumerate(letters, 1)]
    return [titles[0], *(f"{title}, erased > {delta:g}" for title, delta in zip(titles[1:], deltas, strict=True))]


def gallery(rows: Sequence[GalleryRow], cells: Sequence[str]) -> Figure:
    """Draw the same images across cells: a row an image, a column a cell with its fused map, class, and boxes."""
    columns = len(cells) + 1
    wide = int(np.clip(2600 / columns, 170, TILE))
    width = 2 * MARGIN + columns * wide + (columns - 1) * GAP
    tiles = [_Tiles(row.photograph, wide) for row in rows]
    names = [_in_two(cell) for cell in cells]
    top = MARGIN + 3 * LINE
    with _house_style():
        sheet = _Sheet(width, top + sum(tile.height + LINE + GAP for tile in tiles) + MARGIN - GAP)
        boxes = any(len(row.photograph.boxes) for row in rows)
        taken = sheet.legend(MARGIN + 14, erasing=False, boxes=boxes)
        sheet.text(MARGIN, MARGIN + 14, "The same images in every cell", width - MARGIN - taken, 11, bold=True)
        for column, (backbone, head) in enumerate(names, 1):
            x = MARGIN + column * (wide + GAP)
            sheet.text(x, MARGIN + LINE + 24, backbone, wide, 8, MUTED)
            sheet.text(x, MARGIN + 2 * LINE + 14, head, wide, 9, bold=True)
        y = top
        for row, tile in zip(rows, tiles, strict=True):
            truth = row.photograph.label
            sheet.text(MARGIN, y + 18, truth, wide, 9, bold=True)
            sheet.image(MARGIN + tile.inset, y + LINE, tile.boxed(tile.image, None))
            for column, (prediction, fused) in enumerate(row.views, 1):
                x = MARGIN + column * (wide + GAP)
                right, used = prediction.label == truth, 0.0
                if prediction.iou is not None:
                    used = sheet.text(x + wide, y + 18, f"IoU {prediction.iou:.2f}", wide, 8, INK, align="right") + 8
                mark = f"{'✓' if right else '✗'} {_percent(prediction.probability)}"
                mark += "" if right else f" {prediction.label}"
                sheet.text(x, y + 18, mark, wide - used, 8, GOOD if right else BAD)
                sheet.image(x + tile.inset, y + LINE, tile.boxed(tile.heated(fused), prediction))
            y += LINE + tile.height + GAP
    return sheet.figure


def _in_two(cell: str) -> tuple[str, str]:
    """Cut a cell's name before its recipe: a column is too narrow for both. Backbones have no hyphen."""
    backbone, hyphen, head = cell.partition("-")
    return (backbone, head) if hyphen else ("", cell)


def curves(cells: Mapping[str, Curve]) -> Figure:
    """Draw the training of all cells in one figure: total loss, accuracy, and each classifier's loss, by epoch.

    Validation is the full line, training the faint one, a dot the best epoch. A dashed line is the floor ln(C-1) of the
    adversarial loss, for the classifiers that have one. A cell has the same colour in every part.
    """
    colours = dict(zip(cells, _palette(len(cells)), strict=True))
    most = max(len(curve.letters) for curve in cells.values())
    parts = [("total loss", "loss"), ("accuracy", "accuracy")]
    parts += [(_loss_title(cells, number), f"loss_{number}") for number in range(1, most + 1)]
    across = 2 if len(parts) <= 4 else 3
    down = math.ceil(len(parts) / across)
    with _house_style():
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        figure = Figure(figsize=(4.3 * across, 2.9 * down + 0.35), dpi=DPI, layout=layout)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (title, column) in zip(grid, parts, strict=False):
            axes.set_title(title)
            for cell, curve in cells.items():
                _draw_curve(axes, curve, column, colours[cell])
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel("epoch")
            if column == "accuracy":
                axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        for axes in grid[len(parts) :]:
            axes.set_axis_off()
        adversarial = any("n" in curve.letters for curve in cells.values())
        _curves_legend(figure, colours, adversarial, across)
    return figure


def cell_curves(name: str, curve: Curve) -> Figure:
    """Draw one cell's training, as `curves` does."""
    return curves({name: curve})


def _loss_title(cells: Mapping[str, Curve], number: int) -> str:
    kinds = {curve.letters[number - 1] for curve in cells.values() if len(curve.letters) >= number}
    words = {"p": "complementary", "n": "adversarial"}
    return f"classifier {number}: {' or '.join(words[kind] for kind in 'pn' if kind in kinds)} loss"


def _draw_curve(axes: Axes, curve: Curve, column: str, colour: str) -> None:
    history = curve.history
    if f"val_{column}" not in history:
        return
    marker = "." if len(history) < 3 else None
    axes.plot(history["epoch"], history[f"train_{column}"], color=colour, alpha=0.4, linewidth=1.1, marker=marker)
    axes.plot(history["epoch"], history[f"val_{column}"], color=colour, linewidth=1.8, marker=marker)
    best = history[history["epoch"] == curve.best_epoch]
    axes.plot(best["epoch"], best[f"val_{column}"], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
    number = column.removeprefix("loss_")
    if number.isdigit() and curve.letters[int(number) - 1] == "n" and curve.num_classes > 1:
        axes.axhline(math.log(curve.num_classes - 1), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))


def _curves_legend(figure: Figure, colours: Mapping[str, str], adversarial: bool, across: int) -> None:
    names = {cell: plain(_short(cell)) for cell in colours}
    handles = [Line2D([], [], color=colour, linewidth=3, label=names[cell]) for cell, colour in colours.items()]
    handles += [
        Line2D([], [], color=MUTED, linewidth=1.8, label="validation"),
        Line2D([], [], color=MUTED, linewidth=1.1, alpha=0.4, label="training"),
        Line2D([], [], color=MUTED, linestyle="", marker="o", markeredgecolor="white", label="best epoch"),
    ]
    if adversarial:
        handles.append(Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="floor ln(C-1)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2 * across, frameon=False, fontsize=8.5)


def _palette(count: int) -> list[str]:
    ten = ["#0072b2", "#d55e00", "#009e73", "#8a3fb0", "#42a5e0", "#e377b0", "#d0a000", "#333333", "#8b5e00", "#b3123b"]
    if count <= len(ten):
        return ten[:count]
    return [matplotlib.colors.to_hex(colormaps["turbo"](value)) for value in np.linspace(0.03, 0.97, count)]


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all; the bytes depend on nothing but the figure."""
    with _house_style(), atomic_write(path) as temporary:  # ticks are made while drawing, so they need the style too
        figure.savefig(temporary, format="png", metadata={"Software": None})
