"""The page's plots: where points and lines stand, the page's colours, and ids of their own."""

import re
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acol.figures.training_curves import look
from pipeline.params import Cell, parse_head
from pipeline.report.plots import draw_deltas, inline_svg


def cell(head: str, value: float) -> Any:
    intervals = {"score": (value - 0.1, value + 0.1)}
    return SimpleNamespace(cell=Cell("resnet18", parse_head(head), 0), metrics={"score": value}, intervals=intervals)


def drawn(families: list[list[Any]], baselines: list[float]) -> list[tuple[list[float], list[float]]]:
    axes = Figure().add_subplot()
    draw_deltas(axes, families, "score", baselines)
    lines = [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]
    assert axes.get_xticks().tolist() == [0.6, 0.9]
    return lines


def test_a_family_stands_at_its_deltas_and_a_line_joins_its_means_over_seeds() -> None:
    line, *points = drawn([[cell("pp-0.6", 0.2), cell("pp-0.6", 0.4), cell("pp-0.9", 0.5)]], [])
    assert line == ([0.6, 0.9], pytest.approx([30, 50]))
    assert points == [([0.6], [20]), ([0.6], [40]), ([0.9], [50])]


def test_families_stand_side_by_side_only_where_they_meet() -> None:
    lines = drawn([[cell("pp-0.6", 0.2)], [cell("pn-0.6", 0.3), cell("pn-0.9", 0.3)]], [])
    (first,), (second,), (alone,) = lines[1][0], lines[3][0], lines[4][0]
    assert first < 0.6 < second
    assert (first + second) / 2 == pytest.approx(0.6)
    assert alone == 0.9


def test_recipes_without_delta_and_baselines_are_lines_across() -> None:
    plain, *_, first, second = drawn(
        [[cell("p", 0.5), cell("p", 0.7)], [cell("pp-0.6", 0.2), cell("pp-0.9", 0.2)]], [0.3, 0.1]
    )
    assert (plain, first, second) == (([0, 1], pytest.approx([60, 60])), ([0, 1], [30, 30]), ([0, 1], [10, 10]))


def test_two_deltas_are_not_joined_by_the_first_alone() -> None:
    lines = drawn([[cell("ppp-0.6-0.5", 0.2), cell("ppp-0.9-0.5", 0.2)]], [])
    assert [len(xs) for xs, _ in lines] == [1, 1]


def draw(axes: Axes) -> None:
    for number in range(12):
        colour, dash = look(number)
        axes.plot([0, 1], [0, number], color=colour, linestyle=dash, gid=f"cell-{number}")


def test_it_is_drawn_in_the_pages_colours_and_font() -> None:
    text = inline_svg("a", draw)
    used = set(re.findall(r"var\(--([\w-]+)\)", text))
    assert used >= {"line", "muted", *(f"series-{number}" for number in range(10))}
    assert re.search(r"#[0-9a-f]{6}", text) is None
    assert "DejaVu" not in text


def test_it_has_a_size_only_by_its_view_box_and_each_line_a_class() -> None:
    svg = ElementTree.fromstring(inline_svg("a", draw))
    assert (svg.get("width"), svg.get("height")) == (None, None)
    assert svg.get("viewBox") is not None
    classes = {element.get("class") for element in svg.iter()}
    assert {f"cell-{number}" for number in range(12)} <= classes


def test_two_plots_share_no_id_and_every_reference_is_met() -> None:
    ids = []
    for name in ("a", "b"):
        text = inline_svg(name, draw)
        own = re.findall(r' id="([^"]*)"', text)
        assert len(own) == len(set(own))
        assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', text)) <= set(own)
        ids.append(set(own))
    assert not ids[0] & ids[1]


def test_the_same_plot_is_the_same_text() -> None:
    assert inline_svg("a", draw) == inline_svg("a", draw)
