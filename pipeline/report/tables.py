"""What `compare` says in tables: a row a cell, for machines and for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.differences import CENTRED_BOX, Comparison

# Columns of table.md, in order, with their titles; a metric that no cell has takes no column.
HEADLINE = {
    "accuracy_top1": "Accuracy",
    "gt_known_loc": "GT-known Loc",
    "top1_loc": "Top-1 Loc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
}
FURTHER = {
    "accuracy_top5": "Top-5 accuracy",
    "top5_loc": "Top-5 Loc",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2_30": "V2 at IoU 0.3",
    "max_box_acc_v2_50": "V2 at IoU 0.5",
    "max_box_acc_v2_70": "V2 at IoU 0.7",
    "coverage": "Coverage",
    "overlap": "Overlap",
    "deletion": "Deletion",
    "insertion": "Insertion",
    "average_drop": "Average drop",
    "average_increase": "Average increase",
    "loss": "Loss",
}
LOWER = ("deletion", "average_drop")  # less is better, as of a loss
UNRANKED = ("coverage", "overlap")  # neither more nor less is better


@dataclass(frozen=True)
class Entry:
    """One cell's row: facts such as its recipe, metrics (fractions and losses, finite), and their intervals.

    `erasing` says of each classifier in turn what its region adds to those before it (`added`) and, where boxes exist,
    the share of the object that it covers (`object_share`); see `acol.metrics.quality`.
    """

    cell: str
    facts: Mapping[str, str | int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    erasing: Sequence[Mapping[str, float]] = ()

    @property
    def group(self) -> str:
        """What the seeds of one experiment share: the cell's name without a seed."""
        return f"{self.facts['backbone']}-{self.facts['recipe']}"


def over_seeds(entries: Sequence[Entry]) -> list[Entry]:
    """Return a row a group, in order: the mean of each metric that all its seeds have, named after the group."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    rows = []
    for name, group in groups.items():
        shared = [metric for metric in group[0].metrics if all(metric in entry.metrics for entry in group)]
        means = {metric: float(np.mean([entry.metrics[metric] for entry in group])) for metric in shared}
        rows.append(Entry(name, group[0].facts, means, {}))
    return rows


def metric_names(entries: Sequence[Entry]) -> list[str]:
    """Return every metric that some cell has: the known ones in the table's order, then the others by name."""
    present = {metric for entry in entries for metric in entry.metrics}
    known = [metric for metric in (*HEADLINE, *FURTHER) if metric in present]
    return known + sorted(present - set(known))


def table(entries: Sequence[Entry], baseline: Mapping[str, float]) -> pd.DataFrame:
    """Return a row a cell: facts, metrics, and {metric}_low and {metric}_high; the last row is the centred box."""
    metrics = metric_names(entries)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        row: dict[str, Any] = {"cell": entry.cell, **entry.facts, **entry.metrics}
        for metric, (low, high) in entry.intervals.items():
            row |= {f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    if baseline:
        rows.append({"cell": CENTRED_BOX, **{metric: baseline[metric] for metric in metrics if metric in baseline}})
    facts = list(dict.fromkeys(fact for entry in entries for fact in entry.facts))
    bounds = [f"{metric}_{end}" for metric in metrics for end in ("low", "high")]
    used = {column for row in rows for column in row}
    frame = pd.DataFrame(rows, columns=["cell", *facts, *metrics, *(bound for bound in bounds if bound in used)])
    for fact in facts:  # the baseline has none: whole numbers stay whole
        if pd.api.types.is_numeric_dtype(frame[fact]):
            frame[fact] = frame[fact].astype("Int64")
    return frame


def markdown(
    entries: Sequence[Entry],
    baseline: Mapping[str, float],
    best: Mapping[str, Any],
    comparisons: Sequence[Comparison],
    missing: Mapping[str, str],
) -> str:
    """Return the tables for people: percent with one decimal, the best of a column in bold, what is left out."""
    metrics = metric_names(entries)
    parts = ["# Comparison of the cells\n"]
    if best["cell"] is not None:
        parts.append(f"Best: **{_cell_text(best['cell'])}** ({best['rule']}).\n")
    else:
        parts.append(f"No best cell: {best['rule']}.\n")
    headline = [metric for metric in metrics if metric in HEADLINE]
    parts.append(_metrics_table(entries, baseline, headline, intervals=True))
    if any(metric in entry.intervals for entry in entries for metric in headline):
        parts.append("Percent, with the bootstrap confidence interval in brackets; bold: the best of a column.\n")
    else:
        parts.append("Percent; bold: the best of a column.\n")
    groups = over_seeds(entries)
    if len(groups) < len(entries):
        shared = [metric for metric in metric_names(groups) if metric in HEADLINE]
        parts += [
            "## Means over seeds\n",
            f"Seeds: {_seed_counts(entries)}.\n",
            _metrics_table(groups, baseline, shared, intervals=False),
        ]
    if comparisons:
        parts += ["## Which differences are real\n", *_differences(comparisons)]
    further = [metric for metric in metrics if metric not in HEADLINE]
    if further:
        parts += ["## Further metrics\n", _metrics_table(entries, baseline, further, intervals=False)]
    if any(len(entry.erasing) > 1 for entry in entries):
        parts += ["## What erasing did\n", *_erasing(entries)]
    if missing:
        parts.append("## Left out\n")
        parts.append("\n".join(f"- {_cell_text(cell)}: {_cell_text(why)}" for cell, why in missing.items()) + "\n")
    return "\n".join(parts)


def _seed_counts(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.group for entry in entries)
    return ", ".join(f"{_cell_text(group)} {count}" for group, count in counts.items())


def _erasing(entries: Sequence[Entry]) -> list[str]:
    titles = {"object_share": "{} covers of the object", "added": "{} adds"}
    columns = [
        (k, key)
        for k in range(max(len(entry.erasing) for entry in entries))
        for key in titles
        if any(k < len(entry.erasing) and key in entry.erasing[k] for entry in entries) and (k, key) != (0, "added")
    ]
    rows = []
    for entry in entries:
        values = [entry.erasing[k].get(key) if k < len(entry.erasing) else None for k, key in columns]
        rows.append([_cell_text(entry.cell), *(_number("", value) for value in values)])
    return [
        _markdown_table(["Cell", *(titles[key].format(f"Classifier {k + 1}") for k, key in columns)], rows),
        "Percent, of each classifier's region above the recipe's lowest delta (0.5 for a single classifier): how much "
        "of the object's box it covers, and its new part as a share of all found so far.\n",
    ]


def _differences(comparisons: Sequence[Comparison]) -> list[str]:
    pairs: dict[tuple[str, str], dict[str, Comparison]] = {}
    for comparison in comparisons:
        pairs.setdefault((comparison.a, comparison.b), {})[comparison.metric] = comparison
    metrics = [metric for metric in HEADLINE if any(metric in pair for pair in pairs.values())]
    rows = []
    for (a, b), pair in pairs.items():
        values = [_difference(pair[metric]) if metric in pair else "-" for metric in metrics]
        rows.append([f"{_cell_text(a)} - {_cell_text(b)}", *values])
    several = all(comparison.seeds > 1 for comparison in comparisons)
    scope = (
        "Of recipes, over their seeds." if several else "Of these trained models; of recipes, only with several seeds."
    )
    return [
        _markdown_table(["Difference", *(HEADLINE[metric] for metric in metrics)], rows),
        "Percentage points, with the interval of a paired bootstrap over the test images (and seeds) in brackets; "
        f"bold: real, p < 0.05 after Holm's correction. {scope}\n",
    ]


def _difference(comparison: Comparison) -> str:
    result = comparison.result
    text = f"{100 * result.difference:+.1f}"
    return f"{f'**{text}**' if result.real else text} [{100 * result.low:.1f}, {100 * result.high:.1f}]"


def _metrics_table(
    entries: Sequence[Entry], baseline: Mapping[str, float], metrics: Sequence[str], intervals: bool
) -> str:
    titles = {**HEADLINE, **FURTHER}
    best = {metric: _best_value(entries, metric) for metric in metrics}
    rows = []
    for entry in entries:
        row = [_cell_text(entry.cell)]
        for metric in metrics:
            text = _number(metric, entry.metrics.get(metric))
            if metric in entry.metrics and entry.metrics[metric] == best[metric]:
                text = f"**{text}**"
            if intervals and metric in entry.metrics and metric in entry.intervals:
                low, high = (_number(metric, bound) for bound in entry.intervals[metric])
                text += f" [{low}, {high}]"
            row.append(text)
        rows.append(row)
    if any(metric in baseline for metric in metrics):
        rows.append([f"*{CENTRED_BOX}*", *(_number(metric, baseline.get(metric)) for metric in metrics)])
    return _markdown_table(
        ["Cell", *(titles.get(metric, _cell_text(metric.replace("_", " "))) for metric in metrics)], rows
    )


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others, which are numbers, to the right."""
    alignment = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, alignment, *rows))


def _best_value(entries: Sequence[Entry], metric: str) -> float | None:
    """The value that stands out in a table: None where a column has no better and worse, or all are equal."""
    values = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
    if metric not in {**HEADLINE, **FURTHER} or metric in UNRANKED or _is_loss(metric) or max(values) == min(values):
        return None
    return min(values) if lower_is_better(metric) else max(values)


def lower_is_better(metric: str) -> bool:
    """Whether a lower value of the metric is better."""
    return _is_loss(metric) or metric in LOWER


def _is_loss(metric: str) -> bool:
    return metric == "loss" or metric.startswith("loss_")


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if _is_loss(metric) else f"{100 * value:.1f}"


def _cell_text(text: str) -> str:
    """A name or message as plain text within a Markdown table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
