"""Panels and galleries: what they place where, what they say, and that their bytes never change."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from acol.figures.panels import CellPrediction, PanelRow, Photograph, erased_before, gallery, panel
from acol.figures.pixels import PREDICTED, TRUE, draw_box, draw_outline
from acol.figures.text import write_png

HOSTILE = "a $x_1$ \\frac <b>&amp; 中文 \u202e\n\t\udcff 👩‍👩‍👧 " + "long " * 60


def row(label: str = "dog", predicted: str = "dog", shape: tuple[int, int] = (60, 80), boxes: bool = True) -> PanelRow:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    maps = rng.random((2, 4, 4)).astype(np.float32)
    answer = CellPrediction(predicted, 0.75, (8, 8, 40, 30) if boxes else None, 0.5 if boxes else None)
    rival = maps[1] if label != predicted else None
    picture = Photograph(pixels, f"{label}/1.jpg", label, [(10, 10, 50, 40)] if boxes else [])
    return PanelRow(picture, answer, maps, maps[0], rival)


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def png(figure: Figure, path: Path) -> bytes:
    write_png(figure, path)
    return path.read_bytes()


def test_what_was_erased_is_the_union_over_the_earlier_classifiers() -> None:
    cams = np.array([[[0.9, 0.5, 0.1]], [[0.0, 0.2, 0.8]], [[1.0, 1.0, 1.0]]])
    erased = erased_before(cams, [0.5, 0.7])
    # Strictly greater: 0.5 stays. The second classifier adds its 0.8 to what the first one took.
    assert erased.tolist() == [[[False, False, False]], [[True, False, False]], [[True, False, True]]]


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    first, again = (png(panel([row()], "pn", [0.6], "cell"), tmp_path / name) for name in ("a.png", "b.png"))
    assert first == again


def test_a_panel_places_its_tiles_pixel_by_pixel(tmp_path: Path) -> None:
    """The first tile is the image at its final size, with its boxes at the scaled places."""
    given = row(shape=(264, 264))
    write_png(panel([given], "pn", [0.6], "cell"), tmp_path / "p.png")
    drawn = read_png(tmp_path / "p.png")
    # 4 tiles (image, two classifiers, fused) of 264, 3 gaps of 12, 2 margins of 20
    assert drawn.shape[1] == 4 * 264 + 3 * 12 + 2 * 20
    # below the margin (20), two lines of header (68) and one of caption (34)
    tile = drawn[122 : 122 + 264, 20 : 20 + 264]
    expected = draw_box(given.photograph.pixels, (10, 10, 50, 40), TRUE)
    expected = draw_box(expected, (8, 8, 40, 30), PREDICTED, dashed=True)
    assert (tile == expected).all()


def test_a_panel_draws_the_outline_of_the_true_mask(tmp_path: Path) -> None:
    given = row(shape=(264, 264), boxes=False)
    mask = np.zeros((264, 264), bool)
    mask[30:90, 40:200] = True
    masked = replace(given, photograph=replace(given.photograph, mask=mask))
    write_png(panel([masked], "pn", [0.6], "cell"), tmp_path / "p.png")
    tile = read_png(tmp_path / "p.png")[122 : 122 + 264, 20 : 20 + 264]
    assert (tile == draw_outline(given.photograph.pixels, mask, TRUE, 2)).all()
    assert any("true box, mask" in text.get_text() for text in panel([masked], "pn", [0.6], "cell").texts)


def test_a_wrong_answer_shows_the_map_of_the_class_it_gave() -> None:
    right, wrong = (panel([row(predicted=name)], "pn", [0.6], "cell") for name in ("dog", "cat"))
    texts = [text.get_text() for text in wrong.texts]
    assert "map of the predicted class" in texts
    assert "map of the predicted class" not in [text.get_text() for text in right.texts]
    assert "✗ cat  75 %   true dog   IoU 0.50" in texts
    assert len(wrong.images) == len(right.images) + 1


def test_a_panel_names_each_classifier_and_the_delta_before_it() -> None:
    texts = [text.get_text() for text in panel([row()], "pn", [0.6], "cell").texts]
    assert {"classifier 1: p", "classifier 2: n, erased > 0.6", "fused map"} <= set(texts)


@pytest.mark.parametrize("shape", [(1, 1), (300, 20), (20, 900), (7, 5)])
def test_images_of_any_shape_fit(shape: tuple[int, int], tmp_path: Path) -> None:
    png(panel([row(shape=shape)], "pn", [0.6], "cell"), tmp_path / "a.png")
    assert read_png(tmp_path / "a.png").shape[1] == 4 * 264 + 3 * 12 + 2 * 20


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    given = row(label=HOSTILE, predicted="_" + HOSTILE)
    view = [(given.prediction, given.fused)] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(panel([given], "pn", [0.6], HOSTILE), tmp_path / "a.png")
        png(gallery([(given.photograph, view)], [HOSTILE, "$"]), tmp_path / "b.png")
    widest = max(text.get_window_extent().x1 for text in panel([given], "pn", [0.6], HOSTILE).texts)
    assert widest <= read_png(tmp_path / "a.png").shape[1]


def test_rows_are_headed_where_they_begin() -> None:
    plain, headed = (panel([row()] * 3, "pn", [0.6], "cell", heads) for heads in (None, {0: "Sample", 2: "Failures"}))
    texts = {text.get_text(): text.get_position()[1] for text in headed.texts}
    assert texts["Sample"] > texts["Failures"]
    assert len(headed.texts) == len(plain.texts) + 2
    assert headed.get_figheight() > plain.get_figheight()


def test_without_boxes_none_are_spoken_of() -> None:
    texts = [text.get_text() for text in panel([row(boxes=False)], "pn", [0.6], "cell").texts]
    assert not any("box" in text or "IoU" in text for text in texts)


def test_a_gallery_shows_every_cell(tmp_path: Path) -> None:
    given = row()
    cells = [f"resnet18-pn-0.{number}" for number in range(12)]
    figure = gallery([(given.photograph, [(given.prediction, given.fused)] * 12)] * 3, cells)
    assert {"resnet18", *(f"pn-0.{number}" for number in range(12))} <= {text.get_text() for text in figure.texts}
    assert len(figure.images) == 3 * 13  # a row has the image and a map for each cell
