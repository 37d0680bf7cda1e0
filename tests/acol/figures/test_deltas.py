"""A score against delta: where points and lines stand."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from acol.figures.deltas import Family, Point, draw_deltas
from acol.figures.svg import look


def drawn(families: list[Family], baselines: list[float]) -> list[tuple[list[float], list[float]]]:
    axes = Figure().add_subplot()
    draw_deltas(axes, families, baselines, [look(number) for number in range(len(families))])
    lines = [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]
    assert axes.get_xticks().tolist() == [0.6, 0.9]
    return lines


def point(delta: float, value: float) -> Point:
    return Point(delta, value, value - 0.1, value + 0.1)


def test_a_family_stands_at_its_deltas_and_a_line_joins_its_means_over_seeds() -> None:
    family = Family([point(0.6, 0.2), point(0.6, 0.4), point(0.9, 0.5)])
    line, *points = drawn([family], [])
    assert line == ([0.6, 0.9], pytest.approx([30, 50]))
    assert points == [([0.6], [20]), ([0.6], [40]), ([0.9], [50])]


def test_families_stand_side_by_side_only_where_they_meet() -> None:
    lines = drawn([Family([point(0.6, 0.2)]), Family([point(0.6, 0.3), point(0.9, 0.3)])], [])
    (first,), (second, alone) = lines[0][0], lines[2][0]
    assert first < 0.6 < second
    assert (first + second) / 2 == pytest.approx(0.6)
    assert alone == 0.9


def test_recipes_without_delta_and_baselines_are_lines_across() -> None:
    family = Family([point(0.6, 0.2), point(0.9, 0.2)])
    *_, first, second = drawn([Family(levels=[0.5, 0.7]), family], [0.3, 0.1])
    assert (first, second) == (([0, 1], [30, 30]), ([0, 1], [10, 10]))


def test_two_deltas_are_not_joined_by_the_first_alone() -> None:
    lines = drawn([Family([point(0.6, 0.2), point(0.9, 0.2)], joined=False)], [])
    assert [len(xs) for xs, _ in lines] == [1, 1]
