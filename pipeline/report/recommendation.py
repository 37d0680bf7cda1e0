"""The page's first screen: which model to take, how good it is, where it fails, and the command that uses it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline import places
from pipeline.pictures import from_worst_to_best
from pipeline.report.cells import Loaded, by_group
from pipeline.report.differences import Comparison, unbeaten
from pipeline.report.verdict import UNLEARNT, rank
from pipeline.results import right_boxes

CHEAPER = 0.9  # of the best cell's size: an equally good cell below this is taken instead
PICTURES = 3  # typical photographs, and as many of the worst
_COSTS = {"size_mb": "{:.1f} MB", "train_seconds": "trained in {:,.0f} s", "ms_per_image": "{:.1f} ms a photograph"}


def recommend(
    cells: Sequence[Loaded], best: Mapping[str, Any], comparisons: Sequence[Comparison]
) -> dict[str, Any] | None:
    """Return the cell to take, in sentences, with the paths of its typical and its worst photographs.

    It is the best cell of best.json. If a cell of another group is smaller, and no compared metric shows a difference
    between the two, it is that one. Returns None if no cell is the best.
    """
    first = next((cell for cell in cells if cell.cell.name == best["cell"]), None)
    if first is None:
        return None
    # The best cell of each group that is not clearly different from the best group; the smallest of them is taken.
    rows = [row for row in comparisons if row.a == first.cell.group and not row.baseline]
    different = {row.b for row in rows if row.sureness != "open"}
    groups, leading = by_group(cells), next(iter(best["values"]))
    names = [name for name in dict.fromkeys(row.b for row in rows) if name not in different]
    equals = [first, *(max(groups[name], key=lambda cell: rank(cell.metrics, leading)) for name in names)]
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
    """Say of how many photographs the class and the box are right."""
    text = f"Right on {int(images['correct'].sum())} of {len(images)} test photographs"
    boxed = right_boxes(images)
    if boxed.empty:
        return f"{text}."
    where = "" if len(boxed) == len(images) else " that have a true one"
    fits = f"{int(boxed.sum())} of {len(boxed)}{where}"
    return f"{text}. The box fits in {fits}: half or more is in common with the true box."


def _why(taken: Loaded, best: Loaded, equals: int) -> str:
    """Say why this cell is taken, if others may be as good."""
    if taken is not best:
        share = f"{_size(taken) / _size(best):.0%}"
        return f"{best.cell.name} scores highest, but they cannot be told apart, and this one has {share} of its size."
    if equals > 1:
        return "Others may be as good, but none of them is much smaller."
    return ""


def _weakest(images: pd.DataFrame) -> str:
    """Say which class has the lowest accuracy, and for which class it is most often taken."""
    right = images.groupby("label")["correct"].agg(["sum", "count"])
    label = (right["sum"] / right["count"]).idxmin()
    of_class = images[images["label"] == label]
    mistaken = Counter(sorted(of_class.loc[of_class["correct"] == 0, "predicted"])).most_common(1)
    if not mistaken:
        return "It names every class rightly."
    ((other, times),) = mistaken
    counts = f"{int(of_class['correct'].sum())} of {len(of_class)} right"
    return f"Weakest class: {label}, {counts}. It is most often taken for {other} ({times})."
