"""The rule by which one cell is the best."""

import math
from collections.abc import Sequence
from typing import Any

from pipeline.report.cells import Entry, over_seeds
from pipeline.report.metrics import about

GRID_ORDER = "the grid's order"


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
