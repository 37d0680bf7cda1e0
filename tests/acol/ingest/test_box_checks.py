"""Boxes that leave their images, and numbers that mean something else than they are read as."""

import math

import pytest

from acol.data.manifest import Box
from acol.ingest.annotations import BoxForm
from acol.ingest.box_checks import box_fault, counting_doubts, reading_fault, snap

NAN = float("nan")


@pytest.mark.parametrize(
    ("box", "snapped"),
    [
        ((0, 0, 8, 6), (0, 0, 8, 6)),
        ((-1, -1, 9, 7), (0, 0, 8, 6)),  # VOC's xmin = 0, and an xmax one past the last pixel
        ((-0.5, 0, 8.5, 6), (0, 0, 8, 6)),
        ((-1.5, -2, 9.5, 8), (-1.5, -2, 9.5, 8)),  # further out: left for `box_fault`
        ((8.5, 0, 8, 6), (8.5, 0, 8, 6)),
    ],
)
def test_snap_moves_at_most_a_pixel(box: tuple[float, ...], snapped: tuple[float, ...]) -> None:
    assert snap(box, (8, 6)) == snapped


def test_snap_leaves_what_is_not_a_number() -> None:
    assert all(math.isnan(value) for value in snap((NAN, NAN, NAN, NAN), (8, 6)))


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((0, 0, 8, 6), None),
        ((7.5, 5.5, 8, 6), None),
        ((0, 0, 8.01, 6), "outside its image of 8 x 6 pixels"),
        ((0, 0, 8, 7), "outside"),
        ((-0.1, 0, 8, 6), "outside"),
        ((0, -1, 8, 6), "outside"),
        ((4, 0, 4, 6), "degenerate"),
        ((0, 5, 8, 4), "degenerate"),
        ((NAN, 0, 8, 6), "not finite"),
        ((0, 0, 8, float("inf")), "not finite"),
    ],
)
def test_what_is_wrong_with_a_box(box: tuple[float, ...], fault: str | None) -> None:
    found = box_fault(box, (8, 6))
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("reading", "boxes", "told"),
    [
        ("size", [(20, 15, 50, 35), (10, 8, 14, 12)], "1 of 2 boxes do not fit their images as a corner and a size"),
        ("size", [(20, 15, 50, 35), (10, 8, 28, 22)], "but all do as two corners; write a corner and a size"),
        ("size", [(20, 15, 50, 35), (10, 8, 14, 12)], "but all do as a centre and a size; write a corner and a size"),
        ("corners", [(20, 15, 18, 12), (10, 8, 5, 5)], "2 of 2 boxes do not fit their images as two corners"),
        ("centre", [(-8, -6, 28, 20), (0, 0, 40, 30)], "name the columns of a CSV file x0, y0, x1, y1"),
        ("size", [(20, 15, 38, 33), (1, 1, 9, 9)], ""),  # the second has its centre too near to the corner
        ("size", [(20, 15, 50, 35)], ""),  # one box alone says little
        ("size", [(4, 6, 24, 21), (10, 8, 14, 12)], ""),
    ],
)
def test_numbers_that_mean_something_else(reading: BoxForm, boxes: list[Box], told: str) -> None:
    fault = reading_fault([(box, (40, 30)) for box in boxes], reading)
    assert told in (fault or "")
    assert bool(told) == bool(fault)


@pytest.mark.parametrize(
    ("first", "boxes", "told"),
    [
        (
            1,
            [(-1, 5, 20, 20)],
            ["sides of boxes a pixel beyond the left or top border, and so moved onto it: 1;"],
        ),
        (
            0,
            [(1, 1, 40, 20), (1, 5, 20, 30)],
            ["sides of boxes a pixel from the left or top border, and none on it: 3;"],
        ),
        (1, [(1, 1, 40, 20), (1, 5, 20, 30)], []),  # no tool counts from 2
        (
            1,
            [(0, 5, 39, 29), (4, 5, 39, 20)],
            ["sides of boxes a pixel from the right or bottom border, and none on it: 3;"],
        ),
        (0, [(1, 1, 20, 20), (0, 1, 40, 30)], []),
        (0, [(1, 2, 20, 20), (2, 1, 40, 30), (1, 2, 9, 9)], []),  # boxes at all distances from the border
    ],
)
def test_pixels_that_may_be_counted_from_another_number(first: int, boxes: list[Box], told: list[str]) -> None:
    doubts = counting_doubts([(box, (40, 30)) for box in boxes], first)
    assert [text in doubt for text, doubt in zip(told, doubts, strict=True)] == [True] * len(told)
