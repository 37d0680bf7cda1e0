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
from acol.figures.text import BAD, GOOD, INK, MARGIN, MUTED, Sheet, Words, house_style, percent, short
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


Answer = tuple[CellPrediction, npt.NDArray[np.floating]]  # with the fused map (h, w) of the true class


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


@dataclass(frozen=True)
class _Row:
    """A row of a sheet: pictures of one photograph, one a column, with captions and, over all of them, a heading.

    A caption is its first column, its words, and a text at its right end; a sheet says how wide its captions are.
    """

    tiles: _Tiles
    pictures: Sequence[Pixels]
    captions: Sequence[tuple[int, Words, str]]
    heading: str = ""


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
    rivals = any(row.rival is not None for row in rows)
    heads = ["image", *_classifier_titles(letters, deltas), "fused map"] + ["map of the predicted class"] * rivals
    drawn = []
    for number, row in enumerate(rows):
        tiles, answer = _Tiles(row.photograph, TILE), row.prediction
        pictures = [tiles.boxed(tiles.image, answer)]
        pictures += map(tiles.heated, row.cams, erased_before(row.cams, deltas))
        pictures.append(tiles.boxed(tiles.heated(row.fused), answer))
        pictures += [] if row.rival is None else [tiles.heated(row.rival)]
        caption = (0, _verdict(row.photograph.label, answer), row.photograph.path)
        drawn.append(_Row(tiles, pictures, [caption], (headings or {}).get(number, "")))
    boxes = any(row.photograph.located or row.prediction.box is not None for row in rows)
    legend = {"erasing": len(letters) > 1, "boxes": boxes}
    return _sheet(title, TILE, [[(head, MUTED, False)] for head in heads], drawn, len(heads), **legend)


def gallery(
    rows: Sequence[tuple[Photograph, Sequence[Answer]]],
    cells: Sequence[str],
    title: str = "The same images in every cell",
) -> Figure:
    """Draw the same images across cells: a row per image, and a column per cell with its fused map, class and boxes."""
    wide = int(np.clip(2600 / (len(cells) + 1), 170, TILE))
    heads: list[Words] = [[]]
    for cell in cells:  # a column is too narrow for a whole name; backbones have no hyphen
        backbone, hyphen, head = cell.partition("-")
        heads.append([(backbone if hyphen else "", MUTED, False), (head if hyphen else cell, INK, True)])
    drawn = []
    for picture, answers in rows:
        tiles, truth = _Tiles(picture, wide), picture.label
        pictures = [tiles.boxed(tiles.image, None)]
        pictures += [tiles.boxed(tiles.heated(fused), answer) for answer, fused in answers]
        captions: list[tuple[int, Words, str]] = [(0, [(truth, INK, True)], "")]
        for column, (answer, _) in enumerate(answers, 1):
            right = answer.label == truth
            text = f"{'✓' if right else '✗'} {percent(answer.probability)} {'' if right else answer.label}"
            iou = "" if answer.iou is None else f"IoU {answer.iou:.2f}"
            captions.append((column, [(text, GOOD if right else BAD, False)], iou))
        drawn.append(_Row(tiles, pictures, captions))
    boxes = any(picture.located for picture, _ in rows)
    return _sheet(title, wide, heads, drawn, 1, erasing=False, boxes=boxes)


def view(row: PanelRow) -> Pixels:
    """Draw an image with its fused map, the true and the predicted box, and the outline of the true mask (h, w, 3)."""
    tiles = _Tiles(row.photograph, TILE)
    return tiles.boxed(tiles.heated(row.fused), row.prediction)


def _verdict(truth: str, prediction: CellPrediction) -> Words:
    right = truth == prediction.label
    colour = GOOD if right else BAD
    words = [("✓ " if right else "✗ ", colour, True), (short(prediction.label), colour, True)]
    words.append((f"  {percent(prediction.probability)}", INK, False))
    if not right:
        words += [("   true ", MUTED, False), (short(truth), INK, True)]
    if prediction.iou is not None:
        words.append((f"   IoU {prediction.iou:.2f}", INK, False))
    return words


def _classifier_titles(letters: str, deltas: Sequence[float]) -> list[str]:
    titles = [f"classifier {number}: {letter}" for number, letter in enumerate(letters, 1)]
    return [titles[0], *(f"{title}, erased > {delta:g}" for title, delta in zip(titles[1:], deltas, strict=True))]


def _sheet(
    title: str, wide: int, heads: Sequence[Words], rows: Sequence[_Row], span: int, *, erasing: bool, boxes: bool
) -> Figure:
    """Draw rows of tiles `wide` pixels wide below the columns' heads, a line a word; a caption spans `span` columns."""
    room, caption = len(heads) * (wide + GAP) - GAP, span * (wide + GAP) - GAP
    top = MARGIN + LINE * (1 + max(len(words) for words in heads))
    body = sum(row.tiles.height + LINE + GAP + (HEADING if row.heading else 0) for row in rows)
    with house_style():
        sheet = Sheet(2 * MARGIN + room, top + body + MARGIN - GAP)
        # The head: legend, title, and what each column shows.
        taken = sheet.legend(MARGIN + 14, erasing, boxes)
        sheet.text(MARGIN, MARGIN + 14, title, room + MARGIN - taken, 11, bold=True)
        for column, words in enumerate(heads):
            for line, (text, colour, bold) in enumerate(words, 1):
                sheet.text(MARGIN + column * (wide + GAP), MARGIN + line * LINE + 18, text, wide, 9, colour, bold)
        # A row for each image: a line of text, then its tiles from left to right.
        y = top
        for row in rows:
            if row.heading:
                sheet.text(MARGIN, y + HEADING - 18, row.heading, room, 12, bold=True)
                y += HEADING
            for column, words, end in row.captions:
                x = MARGIN + column * (wide + GAP)
                used = sheet.text(x + caption, y + 18, end, 0.4 * caption, 8, MUTED, align="right") + GAP if end else 0
                sheet.words(x, y + 18, words, caption - used)
            y += LINE
            for column, picture in enumerate(row.pictures):
                sheet.image(MARGIN + column * (wide + GAP) + row.tiles.inset, y, picture)
            y += row.tiles.height + GAP
    return sheet.figure
