"""Overlays, boxes and hatching, pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acol.figures.pixels import HEAT, PREDICTED, TRUE, draw_box, draw_outline, hatch, overlay

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_more_of_a_map_is_brighter_on_any_image(grey: int) -> None:
    """So that its order survives grey; and to colour-blind readers, who see brightness as others do."""
    drawn = overlay(np.full((1, 256, 3), grey, np.uint8), np.linspace(0, 1, 256)[None])
    assert drawn.dtype == np.uint8
    brightness = drawn[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness[::8]) > 0).all()


def test_overlay_at_one_is_the_hottest_colour_at_its_opacity() -> None:
    # image 100, opacity 0.5: 0.5 x 100 + 0.5 x colour
    drawn = overlay(np.full((1, 1, 3), 100, np.uint8), np.ones((1, 1)), opacity=0.5)
    assert drawn[0, 0] == pytest.approx(50 + 0.5 * HEAT[255], abs=0.5)


def test_overlay_takes_nan_for_zero_and_clips() -> None:
    heat = np.array([[math.nan, -1.0, 2.0, 1.0]])
    drawn = overlay(PHOTO[:1, :4], heat)
    assert (drawn[0, :2] == overlay(PHOTO[:1, :2], np.zeros((1, 2)))).all()
    assert (overlay(np.zeros((1, 2, 3), np.uint8), heat[:, 2:])[0, 0] == overlay(
        np.zeros((1, 2, 3), np.uint8), heat[:, 2:])[0, 1]).all()  # fmt: skip


def test_overlay_refuses_a_map_of_another_size() -> None:
    with pytest.raises(ValueError, match="resize"):
        overlay(PHOTO, np.zeros((4, 4)))


def test_a_box_is_drawn_just_inside_its_edges() -> None:
    drawn = draw_box(np.full((20, 30, 3), 128, np.uint8), (5, 4, 15, 12), (0, 255, 0), thickness=1)
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
    drawn = draw_box(image, box, TRUE, thickness, dashed)
    assert drawn.shape == image.shape
    assert (image == 128).all()  # the given one is left alone


def test_a_dashed_box_has_the_edges_of_a_full_one() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    full, dashed = (draw_box(image, (5, 4, 50, 30), PREDICTED, 2, dashed) for dashed in (False, True))
    assert ((full != 128).any(axis=2) == (dashed != 128).any(axis=2)).all()
    assert (full != dashed).any()


def test_hatching_touches_the_erased_part_only() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[10:40, 20:60] = True
    drawn = hatch(PHOTO, mask)
    assert (drawn[~mask] == PHOTO[~mask]).all()
    inner = drawn[14:36, 24:56].astype(int)
    assert np.ptp(inner, axis=2).max() == 0  # grey: no colour is left
    assert (drawn[10, 20:60] == 245).all()  # an outline


def test_an_outline_lies_inside_its_mask_with_a_dark_line_around():
    image, mask = np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    drawn = draw_outline(image, mask, TRUE, thickness=2)
    green, dark = (drawn == TRUE).all(2), (drawn == (15, 15, 15)).all(2)
    assert green[5:15, 5:15].sum() == green.sum() == 100 - 36
    assert dark.sum() == 144 - 100
    assert (drawn[7:13, 7:13] == 200).all()
    assert (image == 200).all()
