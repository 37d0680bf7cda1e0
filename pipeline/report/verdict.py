"""Which cell wins and how sure that is, in words for the user of the pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.report.differences import CENTRED_BOX, Comparison
from pipeline.report.tables import FURTHER, HEADLINE, Entry, lower_is_better

Sureness = Literal["clear", "likely", "open"]

MEANING = {
    "accuracy_top1": "the share of photographs of which the model names the right class",
    "gt_known_loc": "told the class, the share of photographs whose box meets the true one well (IoU of at least 0.5)",
    "top1_loc": "the share of photographs with both the right class and a box that meets the true one well",
    "max_box_acc_v2": "how often the box is right, averaged over a lax, a middling and a strict demand (IoU 0.3, 0.5 "
    "and 0.7), at the best threshold of each",
    "pxap": "how well the map's pixels pick out the object's, over all thresholds",
    "accuracy_top5": "the share of photographs whose class is among the five most probable",
    "top5_loc": "the class among the five most probable, and a box that meets the true one well",
    "max_box_acc": "as V2 at IoU 0.5, but with the largest region's box alone",
    "max_box_acc_v2_30": "how often the box is right where an IoU of 0.3 will do",
    "max_box_acc_v2_50": "how often the box is right where the IoU must be 0.5",
    "max_box_acc_v2_70": "how often the box is right where the IoU must be 0.7",
    "coverage": "how much of the photograph the map covers; neither more nor less is better",
    "overlap": "how much the classifiers look at the same place; neither more nor less is better",
    "deletion": "how probable the class stays while the map's hottest parts are taken away; lower is better",
    "insertion": "how probable the class becomes while the map's hottest parts are put in; higher is better",
    "average_drop": "how much of its probability the class loses where only the map's part is shown; lower is better",
    "average_increase": "how often the class becomes more probable where only the map's part is shown",
    "loss": "the training's goal on the test photographs, of all classifiers together; recipes differ in it by nature",
}


@dataclass(frozen=True)
class Verdict:
    """A headline, why, and how sure that is: a sentence each."""

    headline: str
    because: str
    sure: Sequence[str]


def title(metric: str) -> str:
    """Return what people call a metric."""
    return {**HEADLINE, **FURTHER}.get(metric, metric.replace("_", " "))


def is_percent(metric: str) -> bool:
    """Whether a metric is a fraction, shown as percent; losses are not."""
    return metric != "loss" and not metric.startswith("loss_")


def number(metric: str, value: float) -> str:
    """Return a metric's value for people: percent with one decimal, or a loss with three."""
    return f"{100 * value:.1f} %" if is_percent(metric) else f"{value:.3f}"


def sureness(comparison: Comparison) -> Sureness:
    """How sure a difference is: real after the correction, real on its own alone, or perhaps none."""
    result = comparison.result
    if result.real:
        return "clear"
    return "likely" if result.low > 0 or result.high < 0 else "open"


def verdict(entries: Sequence[Entry], best: Mapping[str, Any], comparisons: Sequence[Comparison]) -> Verdict:
    """Say which cell is best (`best` as in best.json), by what, and of which others it can be told apart.

    How sure that is, is said of the first metric of the rule, or else of the first that was compared.
    """
    winner = next((entry for entry in entries if entry.cell == best["cell"]), None)
    if winner is None:
        return Verdict("No cell wins", f"There is nothing to choose by: {best['rule']}.", [])
    if len(entries) == 1:
        return Verdict(f"{winner.cell} is the only cell", "With more cells in the grid, this page compares them.", [])
    groups = {entry.group for entry in entries}
    seeds = len(entries) > len(groups)
    name = winner.group if seeds else winner.cell
    own = [comparison for comparison in comparisons if comparison.a == winner.group and comparison.b != CENTRED_BOX]
    metric = leading_metric(best, own)
    leads = [comparison for comparison in own if comparison.metric == metric]
    return Verdict(f"{name} {_win(leads)}", _because(winner, best, seeds), _sure(leads))


def _win(leads: Sequence[Comparison]) -> str:
    ahead = {sureness(comparison) if comparison.result.difference > 0 else "open" for comparison in leads}
    if "open" in ahead:
        return "leads, but others may be as good"
    return "clearly wins" if ahead == {"clear"} else "wins"


def _because(winner: Entry, best: Mapping[str, Any], seeds: bool) -> str:
    metric, value = next(iter(best["values"].items()))
    direction = "lowest" if lower_is_better(metric) else "highest"
    text = f"It has the {direction} {title(metric)}{' on average over its seeds' if seeds else ''}"
    text += f", {number(metric, value)}"
    if not seeds and metric in winner.intervals:
        low, high = (number(metric, bound) for bound in winner.intervals[metric])
        text += f" (95 % certain: between {low.removesuffix(' %')} and {high})"
    if metric in MEANING:
        text += f": {MEANING[metric]}"
    text += "."
    if best["decided_by"] not in (metric, None):
        decided = best["decided_by"]
        text += f" Others have as much; {title(decided) if decided in best['values'] else decided} decided."
    return f"{text} The best of its seeds is {winner.cell}." if seeds else text


def _sure(leads: Sequence[Comparison]) -> list[str]:
    """Sentences on the differences, all of one metric, between the best group and the others."""
    if not leads:
        return []
    metric = leads[0].metric
    others: dict[Sureness, list[str]] = {"clear": [], "likely": [], "open": []}
    worse: list[str] = []
    for comparison in leads:
        certain = sureness(comparison)
        behind = comparison.result.difference < 0 and certain != "open"
        (worse if behind else others[certain]).append(comparison.b)
    sentences = []
    if others["clear"]:
        sentences.append(f"In {title(metric)} it clearly beats {_list(others['clear'])}.")
    if others["likely"]:
        sentences.append(
            f"It probably beats {_list(others['likely'])}: chance rarely makes such a lead, "
            "but with as many comparisons as were made here it can."
        )
    if others["open"]:
        few = "it" if len(others["open"]) == 1 else "they"
        sentences.append(
            f"It cannot be told apart from {_list(others['open'])}: on other photographs {few} might well win."
        )
    if worse:
        sentences.append(f"In {title(metric)} it is behind {_list(worse)}.")
    if all(comparison.seeds == 1 for comparison in leads):
        sentences.append(
            "Each recipe was trained once, so this is about these trained models; "
            "to learn which recipe is better, train it with several seeds."
        )
    return sentences


def leading_metric(best: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str | None:
    """The metric that differences are told in first: the first that chose the best and was compared, or else any."""
    compared = [comparison.metric for comparison in comparisons]
    return next((metric for metric in [*best["values"], *compared] if metric in compared), None)


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
