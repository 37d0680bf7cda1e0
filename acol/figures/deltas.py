"""A score against delta for each recipe: points with intervals, and horizontal lines for recipes that erase nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from matplotlib.axes import Axes

from acol.figures.text import MUTED
from acol.figures.training_curves import Look

# The dashes of the baselines' lines, by CSS's name and in matplotlib's form. More than two would look alike.
MARKS = {"dashed": (0, (4, 3)), "dotted": (0, (1, 2))}


@dataclass(frozen=True)
class Point:
    """One cell's score at its first delta, with its interval; fractions."""

    delta: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Family:
    """One backbone and recipe over its deltas and seeds; `levels` are the scores of a recipe without delta.

    `joined`: a line connects the means over seeds; for recipes with a single delta.
    """

    points: Sequence[Point] = ()
    levels: Sequence[float] = ()
    joined: bool = True


def draw_deltas(axes: Axes, families: Sequence[Family], baselines: Sequence[float], looks: Sequence[Look]) -> None:
    """Draw the families, in percent. A grey level line is a baseline (`MARKS`), a dotted one a recipe without delta.

    Points of several families at the same delta are drawn side by side, so that no interval hides another.
    """
    deltas = sorted({point.delta for family in families for point in family.points})
    beside = 0.012 * max(deltas[-1] - deltas[0], 0.2)
    at = {delta: [n for n, f in enumerate(families) if any(p.delta == delta for p in f.points)] for delta in deltas}
    for number, (family, look) in enumerate(zip(families, looks, strict=True)):
        place = {d: d + beside * (at[d].index(number) - (len(at[d]) - 1) / 2) for d in deltas if number in at[d]}
        _draw_family(axes, family, place, look)
    for baseline, dash in zip(baselines, MARKS.values(), strict=False):
        axes.axhline(100 * baseline, color=MUTED, linewidth=1.3, linestyle=dash)
    axes.set_xticks(deltas)
    axes.set_xlim(max(0, deltas[0] - 0.08), min(1, deltas[-1] + 0.08))
    axes.set_xlabel("delta (the first, if there are several)")


def _draw_family(axes: Axes, family: Family, place: dict[float, float], look: Look) -> None:
    colour, dash = look
    if family.levels:
        axes.axhline(100 * mean(family.levels), color=colour, linewidth=1.8, linestyle=":")
    if family.joined and family.points:
        means = [mean(point.value for point in family.points if point.delta == delta) for delta in place]
        axes.plot([*place.values()], [100 * value for value in means], color=colour, linewidth=1.8, linestyle=dash)
    for point in family.points:
        x = place[point.delta]
        axes.vlines(x, 100 * point.low, 100 * point.high, color=colour, linewidth=1.4)
        axes.plot([x], [100 * point.value], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
