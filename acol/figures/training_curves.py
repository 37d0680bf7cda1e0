"""Training curves: the total loss, the accuracy and the loss of each classifier by epoch, for one or more cells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from acol.figures.text import DPI, MUTED, SERIES, house_style, plain, short
from acol.recipe import adversarial_floor

Look = tuple[str, str]  # colour and dash
LOCALIZATION = "max_box_acc_v2"  # the column in history.csv, without `val_`
DASHES = ("-", ":", "-.")  # for lines of the same colour
SHARES = ("accuracy", LOCALIZATION)  # columns that are shown in percent
FLOOR = (0, (4, 3))  # the dashes of the line at the smallest value of the adversarial loss
DOT: Any = {"linestyle": "", "marker": "o", "markersize": 6, "markeredgecolor": "white", "zorder": 3}


@dataclass(frozen=True)
class Curve:
    """The training of one cell."""

    history: pd.DataFrame  # one row per epoch, with the columns of history.csv
    letters: str  # of the recipe
    num_classes: int  # the number of classes
    best_epoch: int | None = None  # counted from 1
    # The score of the validation images by which it was chosen: accuracy, balanced accuracy or localization
    best_by: str = "accuracy"


def curves(cells: Mapping[str, Curve], looks: Sequence[Look] = ()) -> Figure:
    """Draw the training of all cells in one figure, with one plot for each of `plot_columns`.

    A strong line is validation, a faint line training, and the dot is the best epoch. A dashed grey line is the floor
    ln(C-1) of the adversarial loss. A cell has the same look in all plots: that of `looks`, or a colour of its own.
    """
    looks = looks or [look(number) for number in range(len(cells))]
    shown = plot_columns([*cells.values()])
    across = 2 if len(shown) <= 4 else 3
    down = math.ceil(len(shown) / across)
    with house_style():
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        figure = Figure(figsize=(4.3 * across, 2.9 * down + 0.35), dpi=DPI, layout=layout)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (title, column) in zip(grid, shown, strict=False):
            highest = draw_plot(axes, [*cells.values()], column, looks)
            axes.set_title(title)
            if highest is not None:
                axes.text(
                    0.99, 0.98, f"cut off: the highest value is {highest:.0f}", transform=axes.transAxes, ha="right",
                    va="top", fontsize=8, color=MUTED,
                )  # fmt: skip
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        # One legend for all plots: the cells, then the kinds of lines.
        handles = [
            Line2D([], [], color=colour, linestyle=dash, linewidth=3, label=plain(short(name)))
            for name, (colour, dash) in zip(cells, looks, strict=True)
        ]
        handles += [
            Line2D([], [], color=MUTED, linewidth=1.8, label="validation"),
            Line2D([], [], color=MUTED, linewidth=1.1, alpha=0.4, label="training"),
            Line2D([], [], color=MUTED, label="best epoch", **DOT),
        ]
        if any("n" in cell.letters for cell in cells.values()):
            handles.append(Line2D([], [], color=MUTED, linewidth=1.2, linestyle=FLOOR, label="floor ln(C-1)"))
        figure.legend(handles=handles, loc="outside lower center", ncols=2 * across, frameon=False, fontsize=8.5)
    return figure


def look(colour: int, dash: int = 0) -> Look:
    """Return the look of a line: one of ten colours and a dash, which is another one for numbers above 9."""
    return SERIES[colour % len(SERIES)], DASHES[(colour // len(SERIES) + dash) % len(DASHES)]


def plot_columns(cells: Sequence[Curve]) -> list[tuple[str, str]]:
    """Return the title of each plot, and its column of history.csv without `train_` or `val_`."""
    columns = [("total loss", "loss"), ("accuracy", "accuracy")]
    words = {"p": "complementary", "n": "adversarial"}
    for number in range(1, max(len(cell.letters) for cell in cells) + 1):
        kinds = {cell.letters[number - 1] for cell in cells if len(cell.letters) >= number}
        kind = " or ".join(words[letter] for letter in "pn" if letter in kinds)
        columns.append((f"classifier {number}: {kind} loss", f"loss_{number}"))
    if any(f"val_{LOCALIZATION}" in cell.history for cell in cells):
        columns.insert(2, ("localization (MaxBoxAccV2)", LOCALIZATION))
    return columns


def draw_plot(axes: Axes, cells: Sequence[Curve], column: str, looks: Sequence[Look]) -> float | None:
    """Draw one column of the history of each cell. Return the highest value if the axis ends below it, else None.

    All lines of cell n have the group id `cell-n`.
    """
    values: list[float] = []
    floors: list[float] = []
    for number, (cell, look) in enumerate(zip(cells, looks, strict=True)):
        if f"val_{column}" in cell.history:
            _draw_curve(axes, cell, column, look, f"cell-{number}")
            values += [value for part in ("train", "val") for value in cell.history.get(f"{part}_{column}", ())]
            floors += _floor(cell, column)
    # The floors of adversarial losses, and whole epochs on the x axis.
    for floor in dict.fromkeys(floors):
        axes.axhline(floor, color=MUTED, linewidth=1.2, linestyle=FLOOR)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max((len(cell.history) for cell in cells), default=1) + 0.5)
    axes.set_xlabel("epoch")
    # Shares are shown in percent, losses from 0 and without extreme values.
    if column in SHARES:
        low, high = axes.get_ylim()
        room = 0.04 * (min(high, 1) - max(low, 0))  # for the dot of a best epoch at 0 or 100 %
        axes.set_ylim(max(low, -room), min(high, 1 + room))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g} %")  # as many digits as the ticks need
        return None
    end = _ceiling(values, floors)
    if end is None:
        return None
    axes.set_ylim(0, end)
    return max(values)


def _ceiling(values: Sequence[float], floors: Sequence[float]) -> float | None:
    """Return where the axis of losses must end, so that a very high loss of an early epoch does not hide the others.

    None if no loss is so high.
    """
    finite = sorted(value for value in values if math.isfinite(value))
    if len(finite) < 3:
        return None
    high = finite[int(0.8 * (len(finite) - 1))]
    if finite[-1] < 6 * high:
        return None
    return max(2 * high, *(1.2 * floor for floor in floors), 0.01)


def _draw_curve(axes: Axes, cell: Curve, column: str, look: Look, gid: str) -> None:
    """Draw the lines of training and validation of one cell, and the dot of its best epoch."""
    history, (colour, dash) = cell.history, look
    marker = "." if len(history) < 3 else None
    for part, alpha, width in (("train", 0.4, 1.1), ("val", 1, 1.8)):
        if f"{part}_{column}" in history:  # only validation images have boxes
            values = history[f"{part}_{column}"]
            line: Any = {"alpha": alpha, "linewidth": width, "marker": marker, "linestyle": dash}
            axes.plot(history["epoch"], values, color=colour, gid=gid, **line)
    best = history[history["epoch"] == cell.best_epoch]
    axes.plot(best["epoch"], best[f"val_{column}"], color=colour, gid=gid, **DOT)


def _floor(cell: Curve, column: str) -> list[float]:
    """Return the floor of the adversarial loss in a list, if the column is that of an adversarial classifier."""
    number = column.removeprefix("loss_")
    adversarial = number.isdigit() and cell.letters[int(number) - 1] == "n" and cell.num_classes > 1
    return [adversarial_floor(cell.num_classes)] if adversarial else []
