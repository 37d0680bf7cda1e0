"""Which cell is the best, by which rule, and how certain that is, in words for the user of the pipeline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from acol.metrics.comparison import smallest_difference, times_needed
from pipeline.report.cells import Entry, over_seeds
from pipeline.report.differences import Comparison
from pipeline.report.metrics import about

Sureness = Literal["clear", "likely", "open"]
GRID_ORDER = "the grid's order"
_HOPELESS = 1000  # times as much data: nobody collects that


def best_cell(entries: Sequence[Entry], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best cell: the first metric of `by` decides, a tie goes to the next, and finally to the grid's order.

    A metric that no cell has is skipped. A cell without a metric that others have is last in it. Returns the cell (None
    if no cell has any of the metrics), the rule in words, the cell's values, and the metric that decided (None if there
    is only one cell).
    """
    used = [metric for metric in by if any(metric in entry.metrics for entry in entries)]
    if not used:
        return {"cell": None, "rule": _rule(by, used), "values": {}, "decided_by": None}
    left, decided_by = list(entries), GRID_ORDER if len(entries) > 1 else None
    for metric in used:
        scores = [_score(entry, metric) for entry in left]
        still = [entry for entry, score in zip(left, scores, strict=True) if score == max(scores)]
        if len(left) > 1 and len(still) == 1:
            decided_by = metric
        left = still
    values = {metric: left[0].metrics[metric] for metric in used if metric in left[0].metrics}
    return {"cell": left[0].cell, "rule": _rule(by, used), "values": values, "decided_by": decided_by}


def best_over_seeds(entries: Sequence[Entry], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best experiment by its mean over seeds, then its best cell. Returns the same as `best_cell`."""
    groups = over_seeds(entries)
    if len(groups) == len(entries):
        return best_cell(entries, by)
    best = best_cell(groups, by)
    if best["cell"] is None:
        return best
    winner = best_cell([entry for entry in entries if entry.group == best["cell"]], by)
    return {**best, "cell": winner["cell"], "rule": f"by the mean over seeds: {best['rule']}"}


def _rule(by: Sequence[str], used: Sequence[str]) -> str:
    titles = {metric: about(metric).title for metric in by}
    passed_over = " or ".join(titles[metric] for metric in by if metric not in used)
    if not used:
        return f"no cell has {passed_over}"
    wanted = ["lowest" if about(metric).better == "lower" else "highest" for metric in used]
    rule = ", then ".join(f"{word} {titles[metric]}" for word, metric in zip(wanted, used, strict=True))
    rule += f", then {GRID_ORDER}"
    return f"{rule}; no cell has {passed_over}" if passed_over else rule


def _score(entry: Entry, metric: str) -> float:
    value = entry.metrics.get(metric, math.nan)
    return -math.inf if math.isnan(value) else about(metric).rank(value)


@dataclass(frozen=True)
class Verdict:
    """A headline, the reason for it, and how certain it is: a sentence each."""

    headline: str
    because: str
    sure: Sequence[str]


def sureness(comparison: Comparison) -> Sureness:
    """How certain a difference is: significant after the correction, only without it, or not at all."""
    result = comparison.result
    if result.real:
        return "clear"
    return "likely" if result.low > 0 or result.high < 0 else "open"


def verdict(
    entries: Sequence[Entry], best: Mapping[str, Any], comparisons: Sequence[Comparison], tests: int
) -> Verdict:
    """Say which cell is best (`best` as in best.json), by which metric, and how it differs from the others.

    `tests` is the number of test images. The differences are in the first metric of the rule that was compared, or else
    in the first compared metric.
    """
    winner = next((entry for entry in entries if entry.cell == best["cell"]), None)
    if winner is None:
        return Verdict("No cell is the best", f"The cells cannot be ranked: {best['rule']}.", [])
    below, notes = best.get("below", ()), best.get("notes", ())
    if len(entries) == 1:
        only = "This page compares cells once the grid has several."
        return Verdict(_headline(winner.cell, "is the only cell", below), only, [*_unbeaten(below), *notes])
    groups = {entry.group for entry in entries}
    seeds = len(entries) > len(groups)
    name = winner.group if seeds else winner.cell
    maps = sorted({str(entry.facts.get("map", "cam")) for entry in entries if entry.group == winner.group})
    if maps != ["cam"]:  # each seed has chosen its own
        name += f" with the map{'s' if len(maps) > 1 else ''} {_list(maps)}"
    own = [comparison for comparison in comparisons if comparison.a == winner.group and not comparison.baseline]
    metric = leading_metric(best, own)
    leads = [comparison for comparison in own if comparison.metric == metric]
    sure = [*_unbeaten(below), *_sure(leads, tests), *notes]
    return Verdict(_headline(name, _win(leads), below), _because(winner, best, seeds), sure)


def _headline(name: str, win: str, below: Sequence[Mapping[str, Any]]) -> str:
    """What the winner does, and first of all what it does not: beat a prediction that has learnt nothing here."""
    if not below:
        return f"{name} {win}"
    worse = [row["title"] for row in below if row["value"] <= row["baseline_value"]]
    how, titles = ("No better", worse) if worse else ("Not clearly better", [row["title"] for row in below])
    return f"{how} than the {_list(titles)}: {name} {win}"


def _unbeaten(below: Sequence[Mapping[str, Any]]) -> list[str]:
    sentences = []
    for row in below:
        metric = about(row["metric"])
        mine, theirs = metric.with_unit(row["value"]), metric.with_unit(row["baseline_value"])
        sentences.append(
            f"Its {metric.title} of {mine} is not significantly above that of the {row['title']}, {theirs}: training "
            "may have brought nothing that counts in this metric."
        )
    return sentences


def _win(leads: Sequence[Comparison]) -> str:
    ahead = {sureness(comparison) if comparison.result.difference > 0 else "open" for comparison in leads}
    if "open" in ahead:
        return "leads, but others may be as good"
    if "likely" in ahead:
        return "is probably the best"
    return "is clearly the best" if ahead else "is the best"


def _because(winner: Entry, best: Mapping[str, Any], seeds: bool) -> str:
    key, value = next(iter(best["values"].items()))
    metric = about(key)
    direction = "lowest" if metric.better == "lower" else "highest"
    averaged = ", averaged over its seeds" if seeds else ""
    text = f"It has the {direction} {metric.title}{averaged}: {metric.with_unit(value)}"
    if not seeds and key in winner.intervals:
        low, high = winner.intervals[key]
        text += f" (95 % interval: {metric.text(low)} to {metric.with_unit(high)})"
    text += "."
    if metric.meaning:
        text += f" {metric.title} is {metric.meaning}."
    if best["decided_by"] not in (key, None):
        decided = best["decided_by"]
        reason = about(decided).title if decided in best["values"] else decided
        text += f" Other cells have the same value; {reason} decided."
    return f"{text} The best of its seeds is {winner.cell}." if seeds else text


def _sure(leads: Sequence[Comparison], tests: int) -> list[str]:
    """Sentences on the differences, all of one metric, between the best group and the others."""
    if not leads:
        return []
    title = about(leads[0].metric).title
    names: dict[str, list[str]] = {"clear": [], "likely": [], "open": [], "worse": []}
    for comparison in leads:
        certain = sureness(comparison)
        worse = comparison.result.difference < 0 and certain != "open"
        names["worse" if worse else certain].append(comparison.b)
    sentences = {
        "clear": "In {title} it is clearly better than {names}.",
        "likely": "It is probably better than {names}: the difference would be significant alone, but it is not after "
        "the correction for the number of comparisons.",
        "open": "It cannot be told apart from {names}: the difference may be chance.",
        "worse": "In {title} it is worse than {names}.",
    }
    said = [text.format(title=title, names=_list(names[kind])) for kind, text in sentences.items() if names[kind]]
    undecided = [comparison for comparison in leads if sureness(comparison) == "open"]
    if undecided:
        said.append(_needed(min(undecided, key=lambda comparison: abs(comparison.result.difference)), tests))
    return [*said, _scope(max(comparison.seeds for comparison in leads))]


def _scope(seeds: int) -> str:
    """What the conclusion is about, and what so few trainings cannot tell."""
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


def _needed(closest: Comparison, tests: int) -> str:
    """How much it would take to tell the two best apart."""
    found, several = closest.result, closest.seeds > 1
    times = times_needed(found)
    if times <= 1 or times > _HOPELESS:
        least = 100 * smallest_difference(found)
        return (
            f"{tests} test images{f' and {closest.seeds} seeds' if several else ''} would show a true difference from "
            f"{closest.b} of {least:.1f} points or more in four of five cases; the one seen is "
            f"{100 * found.difference:+.1f}."
        )
    wanted = (
        f"{times:.1f} times as many test images and seeds" if several else f"about {times * tests:,.0f} test images"
    )
    return (
        f"To tell it from {closest.b}, if the true difference is the {100 * found.difference:+.1f} points seen here, "
        f"{wanted} would be needed (for a power of 80 %); there are {tests} images"
        f"{f' and {closest.seeds} seeds' if several else ''}."
    )


def leading_metric(best: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str | None:
    """The metric whose differences are shown first: the first of the rule that was compared, or else any."""
    compared = [comparison.metric for comparison in comparisons]
    return next((metric for metric in [*best["values"], *compared] if metric in compared), None)


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
