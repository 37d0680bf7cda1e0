"""Panels with the maps of images, and galleries of the same images in several cells.

Every tile is made at its final size in pixels and is not resized any more, so that pictures are sharp, and their bytes
are the same in each run.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from acol.figures.pixels import PREDICTED, TRUE, Pixels, draw_box, draw_outline, hatch, overlay, resized
from acol.figures.text import BAD, DPI, GOOD, INK, MUTED, fonts, house_style, percent, plain, short

MARGIN = 20  # pixels
TILE = 264  # pixels, the width of a tile
GAP = 12
LINE = 34  # the height of a line of text
HEADING = 54  # the height of a heading above several rows
TALLEST = 1.4  # the largest height of a tile, in widths; a taller image is made smaller


@dataclass(frozen=True)
class Photograph:
    """A test image: sRGB pixels (H, W, 3) uint8, path, true class, true boxes (M, 4) xyxy, and true mask (H, W)."""

    pixels: Pixels
    path: str
    label: str
    boxes: Sequence[Sequence[float]] = ()
    mask: npt.NDArray[np.bool_] | None = None

    @property
    def located(self) -> bool:
        """Whether the image has true boxes or a true mask."""
        return len(self.boxes) > 0 or self.mask is not None


@dataclass(frozen=True)
class CellPrediction:
    """A cell's prediction: class, its probability, box (xyxy, pixels of the image) and IoU with the true boxes."""

    label: str
    probability: float
    box: Sequence[float] | None = None
    iou: float | None = None


@dataclass(frozen=True)
class PanelRow:
    """The maps of one image in one cell. All are in [0, 1], and cover the whole image."""

    photograph: Photograph
    prediction: CellPrediction
    cams: npt.NDArray[np.floating]  # (K, h, w), the CAM of each classifier for the true class
    fused: npt.NDArray[np.floating]  # (h, w), the map of the true class that gives the predicted box
    rival: npt.NDArray[np.floating] | None = None  # (h, w), the map of the predicted class if it is wrong, else None


class _Tiles:
    """The tiles of one photograph, all of the same size (width, height)."""

    def __init__(self, photograph: Photograph, width: int) -> None:
        rows, columns = photograph.pixels.shape[:2]
        height = max(1, round(width * min(rows / columns, TALLEST)))
        self.size = min(width, max(1, round(height * columns / rows))), height
        self.scale = np.tile(self.size, 2) / np.tile((columns, rows), 2)
        self.photograph, self.image = photograph, resized(photograph.pixels, *self.size)

    def with_boxes(self, tile: Pixels, answer: CellPrediction | None) -> Pixels:
        """Return a tile with the true boxes, the outline of the true mask, and the predicted box."""
        if self.photograph.mask is not None:
            tile = draw_outline(tile, self._enlarged(self.photograph.mask, cv2.INTER_NEAREST), TRUE, 2)
        for box in self.photograph.boxes:
            tile = draw_box(tile, box * self.scale, TRUE)
        if answer is not None and answer.box is not None:  # dashed, so that equal boxes are both visible
            tile = draw_box(tile, answer.box * self.scale, PREDICTED, dashed=True)
        return tile

    def with_map(self, cam: npt.NDArray[np.floating], erased: npt.NDArray[np.bool_] | None = None) -> Pixels:
        """Return the image with a map over it, hatched where features were erased."""
        tile = overlay(self.image, cv2.resize(cam.astype(np.float32), self.size))
        return tile if erased is None else hatch(tile, self._enlarged(erased, cv2.INTER_NEAREST_EXACT))

    def _enlarged(self, mask: npt.NDArray[np.bool_], method: int) -> npt.NDArray[np.bool_]:
        return np.asarray(cv2.resize(mask.astype(np.uint8), self.size, interpolation=method), dtype=bool)


class _Sheet:
    """A white page with a title, which is filled with columns of tiles and text from top to bottom.

    `heads` are the headings of the columns, one text per line; a column is `wide` pixels wide. `heights` are those of
    all rows and headings that will follow.
    """

    def __init__(self, title: str, heads: Sequence[Sequence[str]], wide: int, heights: Iterable[int]) -> None:
        self.wide, self.room = wide, len(heads) * (wide + GAP) - GAP
        self.y = MARGIN + LINE * (1 + max(map(len, heads)))
        self.width, self.height = 2 * MARGIN + self.room, self.y + sum(heights) + LINE + MARGIN
        self.figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")
        self.renderer = cast(Any, FigureCanvasAgg(self.figure)).get_renderer()
        self.text(0, MARGIN + 14, title, self.room, 11, bold=True)
        for column, lines in enumerate(heads):
            for line, text in enumerate(lines, 1):
                last = line == len(lines) > 1
                self.text(column, MARGIN + line * LINE + 18, text, wide, 9, INK if last else MUTED, last)

    def heading(self, text: str) -> None:
        """Add a heading above rows."""
        self.text(0, self.y + HEADING - 18, text, self.room, 12, bold=True)
        self.y += HEADING

    def row(self, tiles: _Tiles, pictures: Sequence[Pixels], captions: Sequence[tuple[str, str, str]]) -> None:
        """Add a row: the pictures of one photograph, and above them captions of equal width.

        A caption is a text, its colour, and a grey text at its right end.
        """
        span = len(pictures) // len(captions)
        for nth, (text, colour, end) in enumerate(captions):
            room = span * (self.wide + GAP) - GAP
            used = self.text(nth * span, self.y + 18, end, 0.4 * room, 8, MUTED, right=room) + GAP if end else 0
            self.text(nth * span, self.y + 18, text, room - used, colour=colour)
        top, left = self.height - self.y - LINE - tiles.size[1], MARGIN + (self.wide - tiles.size[0]) // 2
        for column, picture in enumerate(pictures):
            self.figure.figimage(picture, xo=left + column * (self.wide + GAP), yo=top)
        self.y += LINE + tiles.size[1] + GAP

    def legend(self, hatched: bool, predicted: bool, true: bool) -> Figure:
        """Add at the end what the marks mean, of which a figure may have none, and return the complete figure."""
        words = ["map: violet is 0, yellow is 1"] + ["hatched: erased before"] * hatched
        words += ["dashed orange: predicted box"] * predicted + ["light blue: true box, mask"] * true
        text = "; ".join(words)
        self.text(0, self.y + 14, text, self.room, 8, MUTED)
        return self.figure

    def text(
        self, column: int, y: int, text: str, room: float, size: float = 9, colour: str = INK, bold: bool = False,
        right: float = 0,
    ) -> float:  # fmt: skip
        """Add text, vertically centred on y, cut to `room` pixels with an ellipsis; return its length in pixels.

        It begins at the left edge of its column, or ends `right` pixels from there.
        """
        text, weight = plain(text), "bold" if bold else "normal"
        font = FontProperties(family=fonts(), size=size, weight=weight)

        def length(text: str) -> float:
            return float(self.renderer.get_text_width_height_descent(text, font, ismath=False)[0])

        if length(text) > room:
            fits = bisect.bisect(range(len(text)), False, key=lambda cut: length(text[:cut] + "…") > room)
            text = text[: max(fits - 1, 0)] + "…"
        x = MARGIN + column * (self.wide + GAP) + right
        look: Any = {"fontsize": size, "color": colour, "fontweight": weight, "ha": "right" if right else "left"}
        self.figure.text(x / self.width, 1 - y / self.height, text, va="center_baseline", **look)
        return length(text)


def panel(
    rows: Sequence[PanelRow],
    letters: str,
    deltas: Sequence[float],
    title: str,
    headings: Mapping[int, str] | None = None,
) -> Figure:
    """Draw one row per image: the image, the CAM of each classifier, and the fused map.

    A CAM is hatched where features were erased before. The image and the fused map have the true and the predicted box,
    and the outline of the true mask. The line above a row has the predicted class with its probability, the true class
    and the IoU. If a predicted class is wrong, a last column shows its map. `letters` and `deltas` are those of the
    recipe, `headings` texts above rows, by the number of the row from 0.
    """
    # The height of the figure follows from the tiles, so these are made first.
    headings, tiles = headings or {}, [_Tiles(row.photograph, TILE) for row in rows]
    rivals = any(row.rival is not None for row in rows)
    heads = ["image", *_classifier_titles(letters, deltas), "fused map"] + ["map of the predicted class"] * rivals
    heights = [row_tiles.size[1] + LINE + GAP for row_tiles in tiles] + [HEADING] * len(headings)
    with house_style():
        sheet = _Sheet(title, [[head] for head in heads], TILE, heights)
        for number, (row, row_tiles) in enumerate(zip(rows, tiles, strict=True)):
            if number in headings:
                sheet.heading(headings[number])
            pictures = [row_tiles.with_boxes(row_tiles.image, row.prediction)]
            pictures += map(row_tiles.with_map, row.cams, erased_before(row.cams, deltas))
            pictures.append(row_tiles.with_boxes(row_tiles.with_map(row.fused), row.prediction))
            pictures += [] if row.rival is None else [row_tiles.with_map(row.rival)]
            sheet.row(row_tiles, pictures, [(*_caption(row.photograph.label, row.prediction), row.photograph.path)])
        predicted = any(row.prediction.box is not None for row in rows)
        return sheet.legend(len(letters) > 1, predicted, any(row.photograph.located for row in rows))


def gallery(
    rows: Sequence[tuple[Photograph, Sequence[tuple[CellPrediction, npt.NDArray[np.floating]]]]],
    cells: Sequence[str],
    title: str = "The same images in every cell",
) -> Figure:
    """Draw the same images in several cells: a row for each image, a column for each cell with map, class and boxes."""
    wide = int(np.clip(2600 / (len(cells) + 1), 170, TILE))
    # A column is too narrow for the name of a cell: the backbone, which has no hyphen, and the head get a line each.
    heads = [[""], *([*cell.partition("-")[::2]] if "-" in cell else ["", cell] for cell in cells)]
    tiles = [_Tiles(picture, wide) for picture, _ in rows]
    with house_style():
        sheet = _Sheet(title, heads, wide, [row_tiles.size[1] + LINE + GAP for row_tiles in tiles])
        for row_tiles, (picture, answers) in zip(tiles, rows, strict=True):
            pictures = [row_tiles.with_boxes(row_tiles.image, None)]
            pictures += [row_tiles.with_boxes(row_tiles.with_map(fused), answer) for answer, fused in answers]
            captions = [(picture.label, INK, "")]
            for answer, _ in answers:
                right = answer.label == picture.label
                text = f"{'✓' if right else '✗'} {percent(answer.probability)} {'' if right else answer.label}"
                iou = "" if answer.iou is None else f"IoU {answer.iou:.2f}"
                captions.append((text, GOOD if right else BAD, iou))
            sheet.row(row_tiles, pictures, captions)
        predicted = any(answer.box is not None for _, answers in rows for answer, _ in answers)
        return sheet.legend(False, predicted, any(picture.located for picture, _ in rows))


def draw_map(row: PanelRow) -> Pixels:
    """Draw an image (h, w, 3) with its map, the true and the predicted box, and the outline of the true mask."""
    tiles = _Tiles(row.photograph, TILE)
    return tiles.with_boxes(tiles.with_map(row.fused), row.prediction)


def erased_before(cams: npt.NDArray[np.floating], deltas: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return where features were erased before each of K classifiers, (K, h, w).

    This is the union of CAM > delta over the earlier classifiers, as in `acol.network.model`. `cams` (K, h, w) are in
    [0, 1], `deltas` the K-1 thresholds.
    """
    above = [np.zeros(cams.shape[1:], bool), *(cam > delta for cam, delta in zip(cams, deltas, strict=False))]
    return np.logical_or.accumulate(above)


def _caption(truth: str, answer: CellPrediction) -> tuple[str, str]:
    """Return the text above a row, and its colour."""
    right = truth == answer.label
    parts = [f"{'✓' if right else '✗'} {short(answer.label)}  {percent(answer.probability)}"]
    parts += [] if right else [f"true {short(truth)}"]
    parts += [] if answer.iou is None else [f"IoU {answer.iou:.2f}"]
    return "   ".join(parts), GOOD if right else BAD


def _classifier_titles(letters: str, deltas: Sequence[float]) -> list[str]:
    titles = [f"classifier {number}: {letter}" for number, letter in enumerate(letters, 1)]
    return [titles[0], *(f"{title}, erased > {delta:g}" for title, delta in zip(titles[1:], deltas, strict=True))]
