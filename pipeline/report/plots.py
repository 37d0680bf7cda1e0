"""The plots of the page: the trainings, and each score against delta, as SVG and with the main facts in words.

The SVG becomes markup of the page, so it must not contain names from users. It uses the page's font and colours, light
or dark: the page's style defines the variables --ink, --muted, --line, --card and --series-0 to --series-9.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from acol.figures.text import EDGE, GRID, INK, MUTED, SERIES, house_style
from acol.figures.training_curves import DASHES, DOT, LOCALIZATION, SHARES, Curve, Look, draw_plot, look, plot_columns
from pipeline.params import Cell
from pipeline.report.cells import Loaded, cells_by
from pipeline.report.metrics import HEADLINE, METRICS, Metric

MARKS = {"dashed": (0, (4, 3)), "dotted": (0, (1, 2))}  # lines of baselines by their CSS names; more would look alike
_VARIABLES = {INK: "--ink", MUTED: "--muted", EDGE: "--line", GRID: "--line", "#ffffff": "--card"}
_VARIABLES |= {colour: f"--series-{number}" for number, colour in enumerate(SERIES)}
# Sizes in points of a plot that is 4 inches wide. A phone shows it 340 pixels wide, and no text below 12 pixels.
_LARGE = {"xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "axes.labelsize": 10.5}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # so that the bytes depend only on the plot
# A plot as the template needs it: key, title, remark, svg and facts in words; a plot against delta also has a legend.
Plot = dict[str, Any]


def family_places(cells: Sequence[Loaded]) -> list[tuple[int, int]]:
    """Return for each cell the number of its family, which is its colour in every plot, and its number in the family.

    A family is what `_family_name` says.
    """
    names = [_family_name(cell.cell) for cell in cells]
    families = list(dict.fromkeys(names))
    return [(families.index(name), names[:number].count(name)) for number, name in enumerate(names)]


def curve_plots(cells: Sequence[Loaded]) -> list[Plot]:
    """Draw each part of the trainings by epoch. Returns no plot if there is a single epoch: a point is no curve."""
    if max(len(cell.curve.history) for cell in cells) < 2:
        return []
    curves, looks = [cell.curve for cell in cells], [look(*place) for place in family_places(cells)]
    return [_curve_plot(cells, curves, looks, title, column) for title, column in plot_columns(curves)]


def _curve_plot(
    cells: Sequence[Loaded], curves: Sequence[Curve], looks: Sequence[Look], title: str, column: str
) -> Plot:
    cut: list[float | None] = []  # the highest value, if the axis leaves it out
    svg = inline_svg(column.replace("_", "-"), lambda axes: cut.append(draw_plot(axes, curves, column, looks)))
    remark = "" if cut[0] is None else f"cut off: the highest value is {cut[0]:.0f}"
    kept = [f"{cell.cell.name} {text}" for cell in cells if (text := _kept(cell, column)) is not None]
    splits = "validation" if column == LOCALIZATION else "training and validation"
    facts = f"{title} by epoch, {splits}. Validation at the epoch that was kept: {', '.join(kept)}."
    title, facts = (text[0].upper() + text[1:] for text in (title, facts))
    return {"key": column, "title": title, "remark": remark, "svg": svg, "facts": facts}


def _kept(cell: Loaded, column: str) -> str | None:
    """Return the validation's value at the epoch that was kept, as text; None if it was not measured."""
    history = cell.curve.history
    for value in history[history["epoch"] == cell.curve.best_epoch].get(f"val_{column}", ()):
        return f"{100 * value:.1f} %" if column in SHARES else f"{value:.3f}"
    return None


def delta_plots(cells: Sequence[Loaded], baselines: Mapping[str, Mapping[str, float]], first: str | None) -> list[Plot]:
    """Draw each headline metric against delta; `first` is the key of the one that is shown at first.

    Returns no plot if the recipes have fewer than two different first deltas.
    """
    erasing = [cell for cell in cells if cell.cell.recipe.deltas]
    if len({cell.cell.recipe.deltas[0] for cell in erasing}) < 2:
        return []
    keys = [key for key in HEADLINE if any(key in cell.metrics for cell in erasing)]
    leading = first if first in keys else next(iter(keys), None)
    marks = {key: {name: scores[key] for name, scores in baselines.items() if key in scores} for key in keys}
    return [_delta_plot(cells, METRICS[key], marks[key], key == leading) for key in keys]


def _delta_plot(cells: Sequence[Loaded], metric: Metric, marks: Mapping[str, float], first: bool) -> Plot:
    scored = [cell for cell in cells if metric.key in cell.metrics]
    families = cells_by(scored, lambda cell: _family_name(cell.cell))
    low, high = _limits(scored, metric.key)
    drawn = [name for name, value in marks.items() if low <= 100 * value <= high][: len(MARKS)]
    beyond = [f"{name}: {metric.with_unit(value)}" for name, value in marks.items() if name not in drawn]

    def draw(axes: Axes) -> None:
        draw_deltas(axes, [*families.values()], metric.key, [marks[name] for name in drawn])
        axes.set_ylim(low, high)
        axes.set_ylabel(f"{metric.title}, %")

    # A line of the legend has a name, the name of its colour in the page's style, and how it is dashed.
    legend = [_legend_line(name, group, number) for number, (name, group) in enumerate(families.items())]
    legend += [{"name": name, "colour": "muted", "dash": mark} for name, mark in zip(drawn, MARKS, strict=False)]
    facts = [f"{name}: {_scores(group, metric)}" for name, group in families.items()]
    facts += [f"{name}: {metric.with_unit(value)}" for name, value in marks.items()]
    return {
        "key": metric.key,
        "title": metric.title,
        "remark": f"Not in the chart: {'; '.join(beyond)}." if beyond else "",
        "svg": inline_svg(f"delta-{metric.key.replace('_', '-')}", draw),
        "facts": f"{metric.title} against delta. {'; '.join(facts)}.",
        "legend": legend,
        "first": first,
    }


def _limits(cells: Sequence[Loaded], key: str) -> tuple[float, float]:
    """Return the limits of the axis in percent. Baselines do not count: a far one would flatten the cells."""
    values = [bound for cell in cells for bound in (cell.metrics[key], *cell.intervals.get(key, ()))]
    room = 0.08 * max(max(values) - min(values), 0.02)
    return 100 * max(min(values) - room, 0), 100 * min(max(values) + room, 1)


def _family_name(cell: Cell) -> str:
    """Return the backbone, the recipe's letters and the head's words: what cells of different deltas share."""
    words = str(cell.head.without_seed).removeprefix(str(cell.recipe)).replace("-", " ")
    return f"{cell.backbone} {cell.recipe.letters}{words}"


def _legend_line(name: str, cells: Sequence[Loaded], number: int) -> dict[str, str]:
    erases = bool(cells[0].cell.recipe.deltas)
    dash = "solid" if erases and look(number)[1] == DASHES[0] else "dotted"
    label = name if erases else f"{name} (no erasing)"
    return {"name": label, "colour": f"series-{number % len(SERIES)}", "dash": dash}


def _scores(cells: Sequence[Loaded], metric: Metric) -> str:
    """Return the scores of a family in words; of several seeds it is the mean."""
    scores = []
    for deltas, group in cells_by(cells, lambda cell: cell.cell.recipe.deltas).items():
        where = f"at {' and '.join(f'{delta:g}' for delta in deltas)}" if deltas else "without erasing"
        scores.append(f"{metric.with_unit(mean(cell.metrics[metric.key] for cell in group))} {where}")
    return ", ".join(scores)


def draw_deltas(axes: Axes, families: Sequence[Sequence[Loaded]], key: str, baselines: Sequence[float]) -> None:
    """Draw a metric of families of cells, in percent: at each first delta the cells' points with their intervals.

    Grey horizontal lines are baselines (`MARKS`), dotted ones the means of families without delta. Points of several
    families at the same delta are drawn side by side, so that no interval hides another.
    """
    by_delta = [cells_by(family, lambda cell: next(iter(cell.cell.recipe.deltas), None)) for family in families]
    deltas = sorted({delta for family in by_delta for delta in family if delta is not None})
    step = 0.02 * max(deltas[-1] - deltas[0], 0.2)  # between families that have the same delta
    sharing = {delta: [number for number, family in enumerate(by_delta) if delta in family] for delta in deltas}
    for number, family in enumerate(by_delta):
        colour, dash = look(number)
        means = {delta: 100 * mean(cell.metrics[key] for cell in cells) for delta, cells in family.items()}
        # A family without delta is a horizontal line.
        if None in family:
            axes.axhline(means[None], color=colour, linewidth=1.8, linestyle=":")
            continue
        place: dict[float | None, float] = {
            d: d + step * (sharing[d].index(number) - (len(sharing[d]) - 1) / 2) for d in deltas if d in family
        }
        # Where recipes have several deltas, the first is not all that differs, so no line joins the dots.
        if len(families[number][0].cell.recipe.deltas) == 1:
            line = [means[delta] for delta in place]
            axes.plot([*place.values()], line, color=colour, linewidth=1.8, linestyle=dash)
        # Each cell is a dot with its interval.
        for delta, cell in ((delta, cell) for delta, cells in family.items() for cell in cells):
            value = cell.metrics[key]
            low, high = cell.intervals.get(key, (value, value))
            axes.vlines(place[delta], 100 * low, 100 * high, color=colour, linewidth=1.4)
            axes.plot([place[delta]], [100 * value], color=colour, **DOT)
    for baseline, mark in zip(baselines, MARKS.values(), strict=False):
        axes.axhline(100 * baseline, color=MUTED, linewidth=1.3, linestyle=mark)
    axes.set_xticks(deltas)
    axes.set_xlim(max(0, deltas[0] - 0.08), min(1, deltas[-1] + 0.08))
    axes.set_xlabel("delta (the first, if there are several)")


def inline_svg(name: str, draw: Callable[[Axes], None]) -> str:
    """Return what `draw` draws on axes, as SVG.

    Ids begin with `name`, so that one page can hold several plots. The group ids `cell-n` become classes. `draw` must
    not write names from users, since its text becomes markup of the page.
    """
    written = io.StringIO()
    with house_style(), rc_context({"svg.hashsalt": name, "svg.fonttype": "none", **_LARGE}):
        figure = Figure(figsize=(4, 2.8), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))
        draw(figure.add_subplot())
        FigureCanvasSVG(figure)
        figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    text = written.getvalue()
    text = '<svg aria-hidden="true"' + text[text.index("<svg") + 4 :]  # the page says in words what it shows
    text = re.sub(r' (?:width|height)="[^"]*"', "", text, count=2)  # those of the whole plot, which come first
    text = re.sub(r'id="(cell-\d+)"', r'class="\1"', text)
    text = re.sub(r'id="(?=[^"])', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's font
    variables = {colour: f"var({variable})" for colour, variable in _VARIABLES.items()}
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: variables.get(match[0], match[0]), text)
