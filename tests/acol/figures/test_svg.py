"""A plot as markup of a page: it takes the page's colours, and its ids are its own."""

import re
import xml.etree.ElementTree as ElementTree

from matplotlib.axes import Axes

from acol.figures.svg import inline_svg, look


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
