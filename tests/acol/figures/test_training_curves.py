"""Training curves: colours, the floor, where the axis ends, and that the bytes never change."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D

from acol.figures.text import house_style, write_png
from acol.figures.training_curves import Curve, curves


def curve(letters: str, epochs: int = 3) -> Curve:
    history: dict[str, object] = {"epoch": range(1, epochs + 1)}
    for split in ("train", "val"):
        history[f"{split}_loss"] = [3.0 - 0.1 * epoch for epoch in range(epochs)]
        history[f"{split}_accuracy"] = [0.5 + 0.1 * epoch for epoch in range(epochs)]
        for number in range(1, len(letters) + 1):
            history[f"{split}_loss_{number}"] = [2.0 - 0.1 * epoch for epoch in range(epochs)]
    return Curve(pd.DataFrame(history), letters, 4, 2)


def test_curves_of_one_cell_have_one_colour_everywhere() -> None:
    figure = curves({"a": curve("p"), "b": curve("pn"), "c": curve("pp")})
    colours = [{line.get_color() for line in axes.lines if line.get_linestyle() == "-"} for axes in figure.axes[:4]]
    total, accuracy, first, second = colours
    assert len(total) == 3
    assert total == accuracy == first
    assert len(second) == 2  # "a" has one classifier only
    assert second < total


def points(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_the_floor_of_the_adversarial_loss_is_drawn_where_it_belongs() -> None:
    figure = curves({"a": curve("pn"), "b": curve("pp")})
    floors = [[points(line)[1][0] for line in axes.lines if points(line)[0] == [0, 1]] for axes in figure.axes]
    assert floors == [[], [], [], [pytest.approx(math.log(3))]]  # 4 classes: ln(4 - 1), on the second classifier


def test_the_best_epoch_is_marked() -> None:
    axes = curves({"a": curve("p")}).axes[1]
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert points(dot)[0] == [2]
    assert points(dot)[1] == pytest.approx([0.6])


def test_a_single_epoch_shows(tmp_path: Path) -> None:
    figure = curves({"a": curve("pnp", epochs=1)})
    lines = [line for axes in figure.axes[:5] for line in axes.lines if len(points(line)[0]) == 1]
    assert all(line.get_marker() != "None" for line in lines)
    write_png(figure, tmp_path / "a.png")


def test_the_same_curves_have_the_same_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "b.png")]
    write_png(curves({"a": curve("pn")}), files[0])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 300}):
        write_png(curves({"a": curve("pn")}), files[1])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"Software" not in files[0].read_bytes()


def test_one_outlier_does_not_flatten_the_rest() -> None:
    """Losses of 2 to 1 and one of 500: the axis ends near 4, which is said."""
    given = curve("p", epochs=10)
    given.history["train_loss"] = [500.0, *np.linspace(2, 1, 9)]
    given.history["val_loss"] = np.linspace(2, 1, 10)
    axes = curves({"a": given}).axes[0]
    assert 2 < axes.get_ylim()[1] < 5
    assert [text.get_text() for text in axes.texts] == ["cut off: the highest value is 500"]
    assert not curves({"a": curve("p")}).axes[0].texts


@pytest.mark.parametrize(
    "accuracy", [[0.614, 0.618], [0.62], [0.6199, 0.62, 0.62], [1.0, 1.0], [0.0, 1.0], [0.98765, 0.98766], [0.5] * 40]
)
def test_ticks_are_whole_and_none_repeats(accuracy: list[float]) -> None:
    cell = curve("p", len(accuracy))
    cell.history["val_accuracy"] = cell.history["train_accuracy"] = accuracy
    cell.history["val_loss"] = cell.history["train_loss"] = np.add(accuracy, 1000)
    with house_style():
        figure = curves({"a": cell})
        FigureCanvasAgg(figure).draw()
        for axes in figure.axes[:2]:
            low, high = axes.get_ylim()
            shown = [label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
            assert len(shown) == len({*shown}) > 1
            assert not axes.yaxis.get_offset_text().get_text()
            low, high = axes.get_xlim()
            epochs = [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
            assert {*epochs} <= {str(epoch + 1) for epoch in range(len(accuracy))}
        assert all(0 <= float(text.removesuffix(" %")) <= 100 for text in shown)
