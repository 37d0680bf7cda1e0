"""The pictures, pixel by pixel where it matters: what they keep, where they draw, and that they never change."""

import math
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from acol.figures import panels as viz
from acol.localization.fusion import erased_before

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)
HOSTILE = "a $x_1$ \\frac <b>&amp; 中文 \u202e\n\t\udcff 👩‍👩‍👧 " + "long " * 60


def row(
    label: str = "dog", predicted: str = "dog", shape: tuple[int, int] = (60, 80), boxes: bool = True
) -> viz.PanelRow:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    maps = rng.random((2, 4, 4)).astype(np.float32)
    answer = viz.Prediction(predicted, 0.75, (8, 8, 40, 30) if boxes else None, 0.5 if boxes else None)
    rival = maps[1] if label != predicted else None
    picture = viz.Photograph(pixels, f"{label}/1.jpg", label, [(10, 10, 50, 40)] if boxes else [])
    return viz.PanelRow(picture, answer, maps, maps[0], rival)


def curve(letters: str, epochs: int = 3) -> viz.Curve:
    history: dict[str, object] = {"epoch": range(1, epochs + 1)}
    for split in ("train", "val"):
        history[f"{split}_loss"] = [3.0 - 0.1 * epoch for epoch in range(epochs)]
        history[f"{split}_accuracy"] = [0.5 + 0.1 * epoch for epoch in range(epochs)]
        for number in range(1, len(letters) + 1):
            history[f"{split}_loss_{number}"] = [2.0 - 0.1 * epoch for epoch in range(epochs)]
    return viz.Curve(pd.DataFrame(history), letters, 4, 2)


# --- overlay -----------------------------------------------------------------------------------------------------


def test_overlay_keeps_the_image_where_the_map_is_zero() -> None:
    heat = np.zeros((60, 80), dtype=np.float32)
    heat[:30] = 0.5
    drawn = viz.overlay(PHOTO, heat)
    assert (drawn[30:] == PHOTO[30:]).all()
    assert (drawn[:30] != PHOTO[:30]).any()
    assert drawn.dtype == np.uint8


def test_overlay_at_one_is_the_hottest_colour_at_its_opacity() -> None:
    # image 100, opacity 0.5: 0.5 x 100 + 0.5 x colour
    drawn = viz.overlay(np.full((1, 1, 3), 100, np.uint8), np.ones((1, 1)), opacity=0.5)
    assert drawn[0, 0] == pytest.approx(50 + 0.5 * viz.HEAT[255], abs=0.5)


def test_overlay_takes_nan_for_zero_and_clips() -> None:
    heat = np.array([[math.nan, -1.0, 2.0, 1.0]])
    drawn = viz.overlay(PHOTO[:1, :4], heat)
    assert (drawn[0, :2] == PHOTO[0, :2]).all()
    assert (viz.overlay(np.zeros((1, 2, 3), np.uint8), heat[:, 2:])[0, 0] == viz.overlay(
        np.zeros((1, 2, 3), np.uint8), heat[:, 2:])[0, 1]).all()  # fmt: skip


def test_overlay_refuses_a_map_of_another_size() -> None:
    with pytest.raises(ValueError, match="upsample"):
        viz.overlay(PHOTO, np.zeros((4, 4)))


# --- boxes -------------------------------------------------------------------------------------------------------


def test_a_box_is_drawn_just_inside_its_edges() -> None:
    drawn = viz.draw_box(np.full((20, 30, 3), 128, np.uint8), (5, 4, 15, 12), (0, 255, 0), thickness=1)
    green = (drawn == (0, 255, 0)).all(axis=2)
    # half-open: columns 5..14, rows 4..11; a ring of one pixel has 2 x 10 + 2 x 8 - 4 = 32
    assert green.sum() == 32
    ys, xs = np.nonzero(green)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (5, 14, 4, 11)
    assert (drawn[3, 4:16] == 15).all()  # dark outside of it,
    assert (drawn[5, 6:14] == 15).all()  # and inside,
    assert (drawn[2] == 128).all()  # and nothing further out
    assert (drawn[6:10, 7:13] == 128).all()


@given(
    box=st.tuples(*[st.floats(-50, 80) for _ in range(4)]),
    thickness=st.integers(1, 4),
    dashed=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_any_box_is_cut_to_the_image(box: tuple[float, ...], thickness: int, dashed: bool) -> None:
    image = np.full((20, 30, 3), 128, np.uint8)
    drawn = viz.draw_box(image, box, viz.TRUE, thickness, dashed)
    assert drawn.shape == image.shape
    assert (image == 128).all()  # the given one is left alone


def test_a_dashed_box_has_the_edges_of_a_full_one() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    full, dashed = (viz.draw_box(image, (5, 4, 50, 30), viz.PREDICTED, 2, dashed) for dashed in (False, True))
    assert ((full != 128).any(axis=2) == (dashed != 128).any(axis=2)).all()
    assert (full != dashed).any()


# --- erasing -----------------------------------------------------------------------------------------------------


def test_what_was_erased_is_the_union_over_the_predecessors() -> None:
    cams = np.array([[[0.9, 0.5, 0.1]], [[0.0, 0.2, 0.8]], [[1.0, 1.0, 1.0]]])
    erased = erased_before(cams, [0.5, 0.7])
    # strictly greater: 0.5 stays; the second classifier adds its 0.8 to what the first took
    assert erased.tolist() == [[[False, False, False]], [[True, False, False]], [[True, False, True]]]


def test_hatching_touches_the_erased_part_only() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[10:40, 20:60] = True
    drawn = viz.hatch(PHOTO, mask)
    assert (drawn[~mask] == PHOTO[~mask]).all()
    inner = drawn[14:36, 24:56].astype(int)
    assert np.ptp(inner, axis=2).max() == 0  # grey: no colour is left
    assert (drawn[10, 20:60] == 245).all()  # an outline


# --- text --------------------------------------------------------------------------------------------------------


def test_text_keeps_what_can_be_drawn() -> None:
    assert viz.plain("Müller $1 <b> naïve ✓") == "Müller $1 <b> naïve ✓"
    assert viz.plain("a\nb\u202e\udcff") == "a□b□□"


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
@settings(max_examples=50, deadline=None)
def test_text_of_any_kind_is_one_drawable_line(text: str) -> None:
    drawn = viz.plain(text)
    assert len(drawn) == len(text)
    assert viz.plain(drawn) == drawn


# --- pictures ----------------------------------------------------------------------------------------------------


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def png(figure: Figure, path: Path) -> bytes:
    viz.write_png(figure, path)
    return path.read_bytes()


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    first, again = (png(viz.panel([row()], "pn", [0.6], "cell"), tmp_path / name) for name in ("a.png", "b.png"))
    assert first == again
    first, again = (png(viz.curves({"a": curve("pn")}), tmp_path / name) for name in ("a.png", "b.png"))
    assert first == again
    assert b"Software" not in first
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 300}):
        assert png(viz.curves({"a": curve("pn")}), tmp_path / "c.png") == first


def test_a_panel_places_its_tiles_pixel_by_pixel(tmp_path: Path) -> None:
    """The first tile is the image at its final size, with its boxes at the scaled places."""
    given = row(shape=(264, 264))
    viz.write_png(viz.panel([given], "pn", [0.6], "cell"), tmp_path / "p.png")
    drawn = pixels(tmp_path / "p.png")
    # 4 tiles (image, two classifiers, fused) of 264, 3 gaps of 12, 2 margins of 20
    assert drawn.shape[1] == 4 * 264 + 3 * 12 + 2 * 20
    # below the margin (20), two lines of header (68) and one of caption (34)
    tile = drawn[122 : 122 + 264, 20 : 20 + 264]
    expected = viz.draw_box(given.photograph.pixels, (10, 10, 50, 40), viz.TRUE)
    expected = viz.draw_box(expected, (8, 8, 40, 30), viz.PREDICTED, dashed=True)
    assert (tile == expected).all()


def test_a_wrong_answer_shows_the_map_of_the_class_it_gave() -> None:
    right, wrong = (viz.panel([row(predicted=name)], "pn", [0.6], "cell") for name in ("dog", "cat"))
    texts = [text.get_text() for text in wrong.texts]
    assert "map of the predicted class" in texts
    assert "map of the predicted class" not in [text.get_text() for text in right.texts]
    assert {"✗ ", "cat", "  75 %", "dog", "   IoU 0.50"} <= set(texts)
    assert len(wrong.images) == len(right.images) + 1


def test_a_panel_names_each_classifier_and_the_delta_before_it() -> None:
    texts = [text.get_text() for text in viz.panel([row()], "pn", [0.6], "cell").texts]
    assert {"classifier 1: p", "classifier 2: n, erased > 0.6", "fused map"} <= set(texts)


@pytest.mark.parametrize("shape", [(1, 1), (300, 20), (20, 900), (7, 5)])
def test_images_of_any_shape_fit(shape: tuple[int, int], tmp_path: Path) -> None:
    png(viz.panel([row(shape=shape)], "pn", [0.6], "cell"), tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").shape[1] == 4 * 264 + 3 * 12 + 2 * 20


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    given = row(label=HOSTILE, predicted="_" + HOSTILE)
    view = [(given.prediction, given.fused)] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(viz.panel([given], "pn", [0.6], HOSTILE), tmp_path / "a.png")
        png(viz.gallery([viz.GalleryRow(given.photograph, view)], [HOSTILE, "$"]), tmp_path / "b.png")
        png(viz.curves({HOSTILE: curve("pn"), "_b": curve("p")}), tmp_path / "c.png")
    widest = max(text.get_window_extent().x1 for text in viz.panel([given], "pn", [0.6], HOSTILE).texts)
    assert widest <= pixels(tmp_path / "a.png").shape[1]


def test_without_boxes_none_are_spoken_of() -> None:
    texts = [text.get_text() for text in viz.panel([row(boxes=False)], "pn", [0.6], "cell").texts]
    assert not any("box" in text or "IoU" in text for text in texts)


def test_a_gallery_shows_every_cell(tmp_path: Path) -> None:
    given = row()
    cells = [f"resnet18-pn-0.{number}" for number in range(12)]
    figure = viz.gallery([viz.GalleryRow(given.photograph, [(given.prediction, given.fused)] * 12)] * 3, cells)
    assert {"resnet18", *(f"pn-0.{number}" for number in range(12))} <= {text.get_text() for text in figure.texts}
    # a row has the image and a map for each cell; the legend has three samples
    assert len(figure.images) == 3 * 13 + 3


# --- curves ------------------------------------------------------------------------------------------------------


def test_curves_of_one_cell_have_one_colour_everywhere() -> None:
    figure = viz.curves({"a": curve("p"), "b": curve("pn"), "c": curve("pp")})
    colours = [{line.get_color() for line in axes.lines if line.get_linestyle() == "-"} for axes in figure.axes[:4]]
    total, accuracy, first, second = colours
    assert len(total) == 3
    assert total == accuracy == first
    assert len(second) == 2  # "a" has one classifier only
    assert second < total


def points(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_the_floor_of_the_adversarial_loss_is_drawn_where_it_belongs() -> None:
    figure = viz.curves({"a": curve("pn"), "b": curve("pp")})
    floors = [[points(line)[1][0] for line in axes.lines if points(line)[0] == [0, 1]] for axes in figure.axes]
    assert floors == [[], [], [], [pytest.approx(math.log(3))]]  # 4 classes: ln(4 - 1), on the second classifier


def test_the_best_epoch_is_marked() -> None:
    axes = viz.cell_curves("a", curve("p")).axes[1]
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert points(dot)[0] == [2]
    assert points(dot)[1] == pytest.approx([0.6])


def test_a_single_epoch_shows(tmp_path: Path) -> None:
    figure = viz.cell_curves("a", curve("pnp", epochs=1))
    lines = [line for axes in figure.axes[:5] for line in axes.lines if len(points(line)[0]) == 1]
    assert all(line.get_marker() != "None" for line in lines)
    png(figure, tmp_path / "a.png")
