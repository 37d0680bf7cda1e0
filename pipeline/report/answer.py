"""The page's first screen: which model to take, how good it is, where it fails, and the command that uses it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline import places
from pipeline.pictures import from_worst_to_best
from pipeline.report.cells import Loaded, grouped
from pipeline.report.differences import Comparison, unbeaten
from pipeline.report.verdict import UNLEARNT, rank, sureness
from pipeline.results import right_boxes

CHEAPER = 0.9  # of the best cell's size: less is worth to be taken, if nothing else tells the two apart
PICTURES = 3  # typical ones, and as many of the worst
_COSTS = {"size_mb": "{:.1f} MB", "train_seconds": "trained in {:,.0f} s", "ms_per_image": "{:.1f} ms a photograph"}


def answer(
    cells: Sequence[Loaded], best: Mapping[str, Any], comparisons: Sequence[Comparison]
) -> dict[str, Any] | None:
    """Return the cell to take, in sentences, with the paths of its typical and its worst photographs.

    It is the best, as in best.json, or one of other groups that no compared metric tells apart from it, if it is
    smaller. None if no cell is the best.
    """
    first = next((cell for cell in cells if cell.cell.name == best["cell"]), None)
    if first is None:
        return None
    rows = [row for row in comparisons if row.a == first.cell.group and not row.baseline]
    told, leading = {row.b for row in rows if sureness(row) != "open"}, next(iter(best["values"]))
    groups, others = grouped(cells, lambda cell: cell.cell.group), dict.fromkeys(row.b for row in rows)
    equals = [first]
    equals += [max(groups[name], key=lambda cell: rank(cell.metrics, leading)) for name in others if name not in told]
    taken = min(equals, key=_size)
    if not _size(taken) < CHEAPER * _size(first):
        taken = first
    ranked = from_worst_to_best(taken.images)
    rest = ranked[PICTURES:]
    return {
        "cell": taken.cell.name,
        "map": taken.facts["map"],
        "model": (places.model(taken.cell.name) / "best.pt").as_posix(),
        "right": _right(taken.images),
        "why": _why(taken, first, len(equals)),
        "cost": ", ".join(form.format(taken.metrics[key]) for key, form in _COSTS.items() if key in taken.metrics),
        "weakest": _weakest(taken.images),
        # A warning for each baseline that the cell is not significantly above.
        "careful": [
            f"Its {'boxes' if metric == 'max_box_acc_v2' else 'answers'} are no clear gain over {UNLEARNT[kind]}."
            for kind, metric in {
                str(row["baseline"]): row["metric"] for row in unbeaten(comparisons, taken.cell.group)
            }.items()
        ],
        "typical": [rest[len(rest) * quarter // 4] for quarter in (1, 2, 3)] if len(rest) > PICTURES else rest,
        "worst": ranked[:PICTURES],
    }


def _size(cell: Loaded) -> float:
    return cell.metrics.get("size_mb", float("inf"))


def _right(images: pd.DataFrame) -> str:
    """How many photographs are right, in counts."""
    text = f"Right on {int(images['correct'].sum())} of {len(images)} test photographs"
    boxed = right_boxes(images)
    if boxed.empty:
        return f"{text}."
    where = "" if len(boxed) == len(images) else " that have a true one"
    fits = f"{int(boxed.sum())} of {len(boxed)}{where}"
    return f"{text}. The box fits in {fits}: half or more is in common with the true box."


def _why(taken: Loaded, best: Loaded, equals: int) -> str:
    if taken is not best:
        share = f"{_size(taken) / _size(best):.0%}"
        return f"{best.cell.name} scores highest, but they cannot be told apart, and this one has {share} of its size."
    if equals > 1:
        return "Others may be as good, but none of them is much smaller."
    return ""


def _weakest(images: pd.DataFrame) -> str:
    """The class that is named rightly least often, and what it is taken for."""
    right = images.groupby("label")["correct"].agg(["sum", "count"])
    label = (right["sum"] / right["count"]).idxmin()
    its = images[images["label"] == label]
    named = Counter(sorted(its.loc[its["correct"] == 0, "predicted"])).most_common(1)
    if not named:
        return "It names every class rightly."
    ((other, times),) = named
    right_ones = f"{int(its['correct'].sum())} of {len(its)} right"
    return f"Weakest class: {label}, {right_ones}. It is most often taken for {other} ({times})."
