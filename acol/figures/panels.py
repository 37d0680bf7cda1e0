"""Panels of one image's maps, and galleries of the same images in several cells.

Every tile is made at its final size in pixels and placed one to one, so that a picture is sharp and its bytes are the
same on every run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from acol.figures.pixels import PREDICTED, TRUE, Pixels, draw_box, draw_outline, hatch, overlay, resized
from acol.figures.text import BAD, GOOD, INK, MARGIN, MUTED, Sheet, house_style, percent, short
from acol.localization.fusion import erased_before

TILE = 264  # pixels, the width of a tile
GAP = 12
LINE = 34  # the height of a line of text
HEADING = 54  # the height of a heading above several rows
TALLEST = 1.4  # height of a tile over its width; a taller image is fitted in


@dataclass(frozen=True)
class Photograph:
    """A test image: sRGB pixels (H, W, 3) uint8, its path, its true class, boxes (M, 4) xyxy and mask (H, W)."""

    pixels: Pixels
    path: str
    label: str
    boxes: Sequence[Sequence[float]] = ()
    mask: npt.NDArray[np.bool_] | None = None

    @property
    def located(self) -> bool:
        """Whether it is known where the object is."""
        return len(self.boxes) > 0 or self.mask is not None


@dataclass(frozen=True)
class CellPrediction:
    """A cell's answer: class, its probability, the box (xyxy, the image's pixels) and its IoU with the true boxes."""

    label: str
    probability: float
    box: Sequence[float] | None = None
    iou: float | None = None


@dataclass(frozen=True)
class PanelRow:
    """One image in one cell; every map in [0, 1] and covering the whole image.

    `cams` (K, h, w): each classifier's CAM of the true class, after the erasing before it. `fused` (h, w): their
    fusion, which gives the predicted box. `rival` (h, w): the fused map of the predicted class, if it is a wrong one.
    """

    photograph: Photograph
    prediction: CellPrediction
    cams: npt.NDArray[np.floating]
    fused: npt.NDArray[np.floating]
    rival: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True)
class GalleryRow:
    """One image in several cells: for each cell its prediction and its fused map (h, w) of the true class."""

    photograph: Photograph
    views: Sequence[tuple[CellPrediction, npt.NDArray[np.floating]]]


class _Tiles:
    """Makes the tiles of one photograph, all of one size."""

    def __init__(self, photograph: Photograph, width: int) -> None:
        rows, columns = photograph.pixels.shape[:2]
        self.height = max(1, round(width * min(rows / columns, TALLEST)))
        self.width = min(width, max(1, round(self.height * columns / rows)))
        self.inset = (width - self.width) // 2
        self.scale = np.array([self.width / columns, self.height / rows] * 2)
        self.image = resized(photograph.pixels, self.width, self.height)
        self.true_boxes = photograph.boxes
        self.mask = None
        if photograph.mask is not None:
            size, nearest = (self.width, self.height), cv2.INTER_NEAREST
            self.mask = cv2.resize(photograph.mask.astype(np.uint8), size, interpolation=nearest).astype(bool)

    def boxed(self, tile: Pixels, prediction: CellPrediction | None) -> Pixels:
        if self.mask is not None:
            tile = draw_outline(tile, self.mask, TRUE, 2)
        for box in self.true_boxes:
            tile = draw_box(tile, np.asarray(box, dtype=float) * self.scale, TRUE)
        if prediction is not None and prediction.box is not None:  # dashed: both show where they coincide
            tile = draw_box(tile, np.asarray(prediction.box, dtype=float) * self.scale, PREDICTED, dashed=True)
        return tile

    def heated(self, cam: npt.NDArray[np.floating], erased: npt.NDArray[np.bool_] | None = None) -> Pixels:
        size = (self.height, self.width)
        tile = overlay(self.image, cv2.resize(cam.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))
        if erased is None:
            return tile
        blocks = cv2.resize(erased.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return hatch(tile, blocks.astype(bool))


def _verdict(truth: str, prediction: CellPrediction) -> list[tuple[str, str, bool]]:
    right = truth == prediction.label
    words = [
        ("✓ " if right else "✗ ", GOOD if right else BAD, True),
        (short(prediction.label), GOOD if right else BAD, True),
        (f"  {percent(prediction.probability)}", INK, False),
    ]
    if not right:
        words += [("   true ", MUTED, False), (short(truth), INK, True)]
    if prediction.iou is not None:
        words.append((f"   IoU {prediction.iou:.2f}", INK, False))
    return words


def panel(
    rows: Sequence[PanelRow],
    letters: str,
    deltas: Sequence[float],
    title: str,
    headings: Mapping[int, str] | None = None,
) -> Figure:
    """Draw one row per image: the image, each classifier's CAM with what was erased before it, and the fused map.

    The image and the fused map carry the true and the predicted box, and the outline of the true mask; the line above a
    row gives the predicted class with its probability, the true class and the IoU. If a predicted class is wrong, a
    last column shows its map. `headings` are the headings above rows, by the row's number from 0.
    """
    headings = headings or {}
    # The sheet's size follows from its columns and from the height of each image.
    rivals = any(row.rival is not None for row in rows)
    heads = ["image", *_classifier_titles(letters, deltas), "fused map"] + ["map of the predicted class"] * rivals
    columns = len(heads)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    tiles = [_Tiles(row.photograph, TILE) for row in rows]
    top = MARGIN + 2 * LINE
    with house_style():
        body = sum(tile.height + LINE + GAP for tile in tiles) + HEADING * len(headings)
        sheet = Sheet(width, top + body + MARGIN - GAP)

        # The head: legend, title, and what each column shows.
        boxes = any(row.photograph.located or row.prediction.box is not None for row in rows)
        taken = sheet.legend(MARGIN + 14, erasing=len(letters) > 1, boxes=boxes)
        sheet.text(MARGIN, MARGIN + 14, title, width - MARGIN - taken, 11, bold=True)
        for column, head in enumerate(heads):
            sheet.text(MARGIN + column * (TILE + GAP), MARGIN + LINE + 18, head, TILE, 9, MUTED)
        y = top
        # A row for each image: a line of text, then its tiles from left to right.
        for number, (row, tile) in enumerate(zip(rows, tiles, strict=True)):
            if number in headings:
                sheet.text(MARGIN, y + HEADING - 18, headings[number], width - 2 * MARGIN, 12, bold=True)
                y += HEADING
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


def view(row: PanelRow) -> Pixels:
    """Draw an image with its fused map, the true and the predicted box, and the outline of the true mask (h, w, 3)."""
    tiles = _Tiles(row.photograph, TILE)
    return tiles.boxed(tiles.heated(row.fused), row.prediction)


def _classifier_titles(letters: str, deltas: Sequence[float]) -> list[str]:
    titles = [f"classifier {number}: {letter}" for number, letter in enumerate(letters, 1)]
    return [titles[0], *(f"{title}, erased > {delta:g}" for title, delta in zip(titles[1:], deltas, strict=True))]


def gallery(rows: Sequence[GalleryRow], cells: Sequence[str]) -> Figure:
    """Draw the same images across cells: a row per image, and a column per cell with its fused map, class and boxes."""
    columns = len(cells) + 1
    wide = int(np.clip(2600 / columns, 170, TILE))
    width = 2 * MARGIN + columns * wide + (columns - 1) * GAP
    tiles = [_Tiles(row.photograph, wide) for row in rows]
    names = [_in_two(cell) for cell in cells]
    top = MARGIN + 3 * LINE
    with house_style():
        sheet = Sheet(width, top + sum(tile.height + LINE + GAP for tile in tiles) + MARGIN - GAP)
        boxes = any(row.photograph.located for row in rows)
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
                mark = f"{'✓' if right else '✗'} {percent(prediction.probability)}"
                mark += "" if right else f" {prediction.label}"
                sheet.text(x, y + 18, mark, wide - used, 8, GOOD if right else BAD)
                sheet.image(x + tile.inset, y + LINE, tile.boxed(tile.heated(fused), prediction))
            y += LINE + tile.height + GAP
    return sheet.figure


def _in_two(cell: str) -> tuple[str, str]:
    """Cut a cell's name before its recipe: a column is too narrow for both. Backbones have no hyphen."""
    backbone, hyphen, head = cell.partition("-")
    return (backbone, head) if hyphen else ("", cell)
