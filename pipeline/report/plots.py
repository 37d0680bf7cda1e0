"""The plots of the page: the trainings, and each score against delta, as SVG with the main facts in words beside it.

The SVG is markup of the page, so it contains no names from users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from matplotlib.axes import Axes

from acol.figures.deltas import MARKS, Family, Point, draw_deltas
from acol.figures.svg import DASHES, inline_svg, look
from acol.figures.text import SERIES
from acol.figures.training_curves import LOCALIZATION, SHARES, draw_part, parts
from pipeline.params import Cell
from pipeline.report.cells import Loaded
from pipeline.report.metrics import HEADLINE, METRICS, Metric


@dataclass(frozen=True)
class Key:
    """One line of a plot's legend: a name, the number of its colour (None: the baseline's) and how it is dashed."""

    name: str
    colour: int | None
    dash: str


@dataclass(frozen=True)
class Plot:
    """One plot: its heading with a remark, its SVG, the facts that it shows in words, and its legend."""

    key: str
    title: str
    remark: str
    svg: str
    facts: str
    legend: Sequence[Key] = ()
    first: bool = False


# --- the trainings -----------------------------------------------------------------------------------------------


def curve_plots(cells: Sequence[Loaded]) -> list[Plot]:
    """Draw each part of the trainings by epoch."""
    return [_curve_plot(cells, title, column) for title, column in parts([cell.curve for cell in cells])]


def _curve_plot(cells: Sequence[Loaded], title: str, column: str) -> Plot:
    highest = None

    def draw(axes: Axes) -> None:
        nonlocal highest
        highest = draw_part(axes, [cell.curve for cell in cells], column, [look(n) for n in range(len(cells))])

    svg = inline_svg(column.replace("_", "-"), draw)
    remark = "" if highest is None else f"cut off: the highest value is {highest:.0f}"
    kept = [f"{cell.cell.name} {text}" for cell in cells if (text := _kept(cell, column)) is not None]
    shown = "validation" if column == LOCALIZATION else "training and validation"
    facts = f"{title} by epoch, {shown}. Validation at the epoch that was kept: {', '.join(kept)}."
    return Plot(column, title[0].upper() + title[1:], remark, svg, facts[0].upper() + facts[1:])


def _kept(cell: Loaded, column: str) -> str | None:
    history = cell.curve.history
    if f"val_{column}" not in history:
        return None
    values = history.loc[history["epoch"] == cell.curve.best_epoch, f"val_{column}"]
    if values.empty:
        return None
    return f"{100 * values.iloc[0]:.1f} %" if column in SHARES else f"{values.iloc[0]:.3f}"


# --- scores against delta ----------------------------------------------------------------------------------------


def delta_plots(cells: Sequence[Loaded], baselines: Mapping[str, Mapping[str, float]], first: str | None) -> list[Plot]:
    """Draw each headline metric against delta; `first` is the key of the one that is shown at first.

    Empty where no recipe has a delta.
    """
    erasing = [cell for cell in cells if cell.cell.recipe.deltas]
    keys = [key for key in HEADLINE if any(key in cell.entry.metrics for cell in erasing)]
    shown = first if first in keys else next(iter(keys), None)
    marks = {key: {name: scores[key] for name, scores in baselines.items() if key in scores} for key in keys}
    return [_delta_plot(cells, METRICS[key], marks[key], key == shown) for key in keys]


def _delta_plot(cells: Sequence[Loaded], metric: Metric, marks: Mapping[str, float], first: bool) -> Plot:
    families: dict[str, list[Loaded]] = {}
    for cell in cells:
        if metric.key in cell.entry.metrics:
            families.setdefault(_family_name(cell.cell), []).append(cell)

    def draw(axes: Axes) -> None:
        drawn = [_family(group, metric.key) for group in families.values()]
        draw_deltas(axes, drawn, [*marks.values()], [look(number) for number in range(len(drawn))])
        axes.set_ylabel(f"{metric.title}, %")

    svg = inline_svg(f"delta-{metric.key.replace('_', '-')}", draw, width=5.4, height=2.9)
    legend = [_key(name, group, number) for number, (name, group) in enumerate(families.items())]
    facts = [f"{name}: {_scores(group, metric)}" for name, group in families.items()]
    legend += [Key(name, None, mark) for name, mark in zip(marks, MARKS, strict=False)]
    facts += [f"{name}: {metric.with_unit(value)}" for name, value in marks.items()]
    words = f"{metric.title} against delta. {'; '.join(facts)}."
    return Plot(metric.key, metric.title, "", svg, words, legend, first)


def _family_name(cell: Cell) -> str:
    """The backbone, the recipe's letters and the head's words: what the cells of different deltas share."""
    words = str(cell.head.without_seed).removeprefix(str(cell.recipe)).replace("-", " ")
    return f"{cell.backbone} {cell.recipe.letters}{words}"


def _family(cells: Sequence[Loaded], key: str) -> Family:
    if not cells[0].cell.recipe.deltas:
        return Family(levels=[cell.entry.metrics[key] for cell in cells])
    points = []
    for cell in cells:
        value = cell.entry.metrics[key]
        points.append(Point(cell.cell.recipe.deltas[0], value, *cell.entry.intervals.get(key, (value, value))))
    return Family(points, joined=len(cells[0].cell.recipe.deltas) == 1)  # else the first delta is not all that differs


def _key(name: str, cells: Sequence[Loaded], number: int) -> Key:
    erases = bool(cells[0].cell.recipe.deltas)
    solid = look(number)[1] == DASHES[0]
    return Key(
        name if erases else f"{name} (no erasing)", number % len(SERIES), "solid" if erases and solid else "dotted"
    )


def _scores(cells: Sequence[Loaded], metric: Metric) -> str:
    """Return a family's scores in words; of several seeds the mean."""
    groups: dict[str, list[float]] = {}
    for cell in cells:
        deltas = " and ".join(f"{delta:g}" for delta in cell.cell.recipe.deltas)
        groups.setdefault(f" at {deltas}" if deltas else " without erasing", []).append(cell.entry.metrics[metric.key])
    return ", ".join(f"{metric.with_unit(mean(values))}{where}" for where, values in groups.items())
