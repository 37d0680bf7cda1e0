import math

import pytest

from acol.ingest.annotations import Annotation, Object
from acol.ingest.objects import box_fault, select_class, snap

NAN = float("nan")


def test_objects_of_a_class_are_those_of_its_name() -> None:
    boxes = ((0, 0, 1, 1), (0, 0, 8, 6), (2, 1, 5, 4))
    annotation = Annotation("a.xml", "a", tuple(map(Object, boxes, ("cat", "dog", "CAT"))))
    assert select_class(annotation, "Cat").boxes == (boxes[0], boxes[2])


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
