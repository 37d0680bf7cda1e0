"""Which cell is the best, by which rule, and how certain that is, in words for the user."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from acol.metrics.comparison import smallest_difference, times_needed
from pipeline.report.cells import Loaded, means_over_seeds
from pipeline.report.differences import Comparison
from pipeline.report.metrics import about

UNLEARNT = {  # what each baseline is, in words for everybody
    "centred_box": "a box in the middle of every photograph",
    "imagenet_cam": "the same backbone without this training",
    "norm": "how strong the features of that backbone are, which knows no class",
    "majority_class": "the most frequent class for every photograph",
}
GRID_ORDER = "the grid's order"
_HOPELESS = 1000  # times as much data: nobody collects that


def best_cell(cells: Mapping[str, Mapping[str, float]], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best cell by its metrics. The first of `by` decides; a tie goes to the next, then to the first cell.

    A metric that no cell has is skipped. A cell without a metric that others have is last in it. Returns the cell (None
    if no cell has any of the metrics), the rule in words, the cell's values, and the metric that decided (None if there
    is only one cell).
    """
    used = [metric for metric in by if any(metric in metrics for metrics in cells.values())]
    if not used:
        return {"cell": None, "rule": _rule(by, used), "values": {}, "decided_by": None}
    tied, decided_by = list(cells), GRID_ORDER if len(cells) > 1 else None
    for metric in used:
        highest = max(rank(cells[name], metric) for name in tied)
        best = [name for name in tied if rank(cells[name], metric) == highest]
        if len(tied) > 1 and len(best) == 1:
            decided_by = metric
        tied = best
    values = {metric: cells[tied[0]][metric] for metric in used if metric in cells[tied[0]]}
    return {"cell": tied[0], "rule": _rule(by, used), "values": values, "decided_by": decided_by}


def best_over_seeds(cells: Sequence[Loaded], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best group by its mean over seeds, and then its best cell. Returns the same as `best_cell`."""
    groups = means_over_seeds(cells)
    best = best_cell(groups, by)
    seeds = {cell.cell.name: cell.metrics for cell in cells if cell.cell.group == best["cell"]}
    averaged = "by the mean over seeds: " if seeds and len(groups) < len(cells) else ""
    return {**best, "cell": best_cell(seeds, by)["cell"], "rule": averaged + best["rule"]}


def _rule(by: Sequence[str], used: Sequence[str]) -> str:
    """Return in words how the best was chosen by the metrics `used`, and which metrics of `by` no cell has."""
    skipped = " or ".join(about(metric).title for metric in by if metric not in used)
    if not used:
        return f"no cell has {skipped}"
    steps = [f"{'lowest' if about(metric).better == 'lower' else 'highest'} {about(metric).title}" for metric in used]
    rule = ", then ".join([*steps, GRID_ORDER])
    return f"{rule}; no cell has {skipped}" if skipped else rule


def rank(metrics: Mapping[str, float], metric: str) -> float:
    """Return a number that is higher for a better value of a metric, and the lowest if there is no value."""
    return about(metric).rank(metrics[metric]) if metric in metrics else -math.inf


def how_sure(cells: Sequence[Loaded], best: Mapping[str, Any], comparisons: Sequence[Comparison]) -> list[str]:
    """Return sentences on why `best` (as in best.json) is the best cell, and how certain that is.

    The sentences are about the metric of `leading_metric`.
    """
    winner = next((cell for cell in cells if cell.cell.name == best["cell"]), None)
    if winner is None:
        return [f"The cells cannot be ranked: {best['rule']}.", *best.get("notes", ())]
    own = [comparison for comparison in comparisons if comparison.a == winner.cell.group]
    to_cells = [comparison for comparison in own if not comparison.baseline]
    metric = leading_metric(best, to_cells)
    leads = [comparison for comparison in to_cells if comparison.metric == metric]
    seeds = len(cells) > len({cell.cell.group for cell in cells})
    baselines = _baselines([row for row in own if row.baseline])
    return [_because(winner, best, seeds), *_sure(leads), *baselines, *best.get("notes", ())]


def _baselines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a sentence on the baselines that the winner significantly beats, and one on the others.

    There may be several baselines of one kind, such as the maps of one untrained backbone. Then the highest one that is
    not beaten stands for all; if all are beaten, the highest one.
    """
    hardest: dict[str, Comparison] = {}  # by kind
    for row in sorted(comparisons, key=lambda row: row.of_b):
        if not row.better or hardest.get(str(row.baseline), row).better:
            hardest[str(row.baseline)] = row
    named: dict[bool, list[str]] = {True: [], False: []}
    for kind in (kind for kind in UNLEARNT if kind in hardest):
        row = hardest[kind]
        named[row.better].append(
            f"{UNLEARNT[kind]} ({about(row.metric).title} {about(row.metric).with_unit(row.of_b)})"
        )
    sentences = [f"It is clearly above {in_words(named[True])}."] if named[True] else []
    if named[False]:
        text = f"It is not significantly above {in_words(named[False])}"
        sentences.append(f"{text}: there, training may have brought nothing that counts.")
    return sentences


def _because(winner: Loaded, best: Mapping[str, Any], seeds: bool) -> str:
    """Say which score makes the winner the best, what that score is, and what decided a tie."""
    key, value = next(iter(best["values"].items()))
    metric = about(key)
    name = winner.cell.group if seeds else winner.cell.name
    averaged = ", averaged over its seeds" if seeds else ""
    if best["decided_by"] is None:
        text = f"{name} is the only {'recipe' if seeds else 'cell'}, so nothing is compared. "
        text += f"Its {metric.title}{averaged}{',' if seeds else ''} is {metric.with_unit(value)}"
    else:
        direction = "lowest" if metric.better == "lower" else "highest"
        text = f"{name} has the {direction} {metric.title}{averaged}: {metric.with_unit(value)}"
    if not seeds and key in winner.intervals:
        low, high = winner.intervals[key]
        text += f" (95 % interval: {metric.text(low)} to {metric.with_unit(high)})"
    text += f". {metric.title} is {metric.meaning}." if metric.meaning else "."
    if best["decided_by"] not in (key, None):
        decided = best["decided_by"]
        reason = about(decided).title if decided in best["values"] else decided
        text += f" Other cells have the same value; {reason} decided."
    return f"{text} The best of its seeds is {winner.cell.name}." if seeds else text


def _sure(leads: Sequence[Comparison]) -> list[str]:
    """Return sentences on the differences between the best group and the others, all in one metric."""
    if not leads:
        return []
    title = about(leads[0].metric).title
    names: dict[str, list[str]] = {"clear": [], "likely": [], "open": [], "worse": []}
    for comparison in leads:
        worse = comparison.difference < 0 and comparison.sureness != "open"
        names["worse" if worse else comparison.sureness].append(comparison.b)
    sentences = {
        "clear": "In {title} it is clearly better than {names}.",
        "likely": "It is probably better than {names}: the difference would be significant alone, but it is not after "
        "the correction for the number of comparisons.",
        "open": "It cannot be told apart from {names}: the difference may be chance.",
        "worse": "In {title} it is worse than {names}.",
    }
    parts = [text.format(title=title, names=in_words(names[kind])) for kind, text in sentences.items() if names[kind]]
    undecided = [comparison for comparison in leads if comparison.sureness == "open"]
    if undecided:
        parts.append(_needed(min(undecided, key=lambda comparison: abs(comparison.difference))))
    return [*parts, _scope(max(comparison.seeds for comparison in leads))]


def _scope(seeds: int) -> str:
    """Say whether the conclusion is about models or recipes, and what so few trainings cannot show."""
    if seeds == 1:
        return (
            "Each recipe was trained once, so this holds for these trained models only. "
            "To compare the recipes, train each with several seeds."
        )
    about_recipes = f"This is about the recipes, not only these models: each was trained with {seeds} seeds."
    if seeds > 3:
        return about_recipes
    return (
        f"{about_recipes} How much trainings differ can hardly be known from {seeds}: the intervals are wide, and a "
        "smaller difference than they show cannot be excluded."
    )


def _needed(closest: Comparison) -> str:
    """Say how many images or seeds would show which of the two best is better."""
    times, several = times_needed(closest), closest.seeds > 1
    images = "test images" if closest.metric == "accuracy_top1" else "test images with boxes"
    if times <= 1 or times > _HOPELESS:
        least = 100 * smallest_difference(closest)
        return (
            f"{closest.images} {images}{f' and {closest.seeds} seeds' if several else ''} would show a true difference "
            f"from {closest.b} of {least:.1f} points or more in four of five cases; the one seen is "
            f"{100 * closest.difference:+.1f}."
        )
    wanted = (
        f"{times:.1f} times as many {images} and seeds" if several else f"about {times * closest.images:,.0f} {images}"
    )
    return (
        f"To tell it from {closest.b}, if the true difference is the {100 * closest.difference:+.1f} points seen here, "
        f"{wanted} would be needed (for a power of 80 %); there are {closest.images}"
        f"{f' and {closest.seeds} seeds' if several else ''}."
    )


def leading_metric(best: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str | None:
    """Return the metric whose differences are shown first: the first of the rule that was compared, or else any."""
    compared = [comparison.metric for comparison in comparisons]
    return next((metric for metric in [*best["values"], *compared] if metric in compared), None)


def in_words(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
