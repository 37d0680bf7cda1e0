"""Which differences between the cells are real: paired bootstraps over the test images, and over seeds.

The questions are: does the best cell beat each of the others, does a recipe beat plain CAM (`p`) on the same backbone,
and does it beat the centred box? Their number grows linearly with the cells; all pairs would grow quadratically.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from acol.metrics.comparison import Difference, compare, holm
from acol.metrics.scored import MaxScore, MeanScore, Score
from pipeline.params import Cell

CENTRED_BOX = "centred box"
PLAIN = "p"


@dataclass(frozen=True)
class Scored:
    """One cell's scores by metric."""

    cell: Cell
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Comparison:
    """The score of `a` minus that of `b` in `metric`, over `seeds` pairs of seeds."""

    a: str
    b: str
    metric: str
    seeds: int
    result: Difference

    def row(self) -> dict[str, str | int | float | bool]:
        """Return the row of differences.csv."""
        result = self.result
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "seeds": self.seeds,
            "difference": result.difference,
            "low": result.low,
            "high": result.high,
            "p": result.p,
            "real": result.real,
        }


def scores_of(images: pd.DataFrame, curves: np.ndarray | None) -> dict[str, Score]:
    """Return the scores of an images.csv by metric and, where there are boxes, of its IoU curves (N, T)."""
    right = images["correct"].to_numpy() == 1
    scores: dict[str, Score] = {"accuracy_top1": MeanScore(right)}
    if curves is not None:
        located = images["iou"].to_numpy() >= 0.5
        scores["top1_loc"] = MeanScore(right & located)
        scores["max_box_acc_v2"] = MaxScore(curves)
    return scores


def compare_cells(cells: Sequence[Scored], best: str | None, centred_box: Score | None, seed: int) -> list[Comparison]:
    """Compare the group `best` with every other, every group with its backbone's plain CAM and with the centred box.

    A group is a backbone and a recipe over its seeds. Two groups are compared on the seeds that both have, or, if there
    are none, on equally many of each. A difference is real if p < 0.05 after Holm's correction. It counts the
    comparisons returned and, since the best was chosen on the same images, all pairs that it was chosen from.
    """
    groups: dict[str, dict[int, Scored]] = {}
    for scored in cells:
        groups.setdefault(scored.cell.group, {})[scored.cell.seed] = scored
    comparisons = []
    for a, b in _pairs(best, groups):
        seeds = paired_seeds(groups[a], groups[b])
        comparisons += _compare(a, b, [(groups[a][s].scores, groups[b][t].scores) for s, t in seeds], seed)
    if centred_box is not None:
        baseline = {"max_box_acc_v2": centred_box}
        for name, group in groups.items():
            comparisons += _compare(name, CENTRED_BOX, [(scored.scores, baseline) for scored in group.values()], seed)
    metrics = len({comparison.metric for comparison in comparisons})
    unmade = metrics * (len(groups) - 1) * (len(groups) - 2) // 2 if best is not None else 0
    corrected = holm([comparison.result for comparison in comparisons], tests=len(comparisons) + unmade)
    return [replace(comparison, result=result) for comparison, result in zip(comparisons, corrected, strict=True)]


def paired_seeds(a: Mapping[int, Scored], b: Mapping[int, Scored]) -> list[tuple[int, int]]:
    """Return the seeds that two groups are compared on: those that both have, or else equally many of each."""
    common = sorted(a.keys() & b.keys())
    return [(s, s) for s in common] or list(zip(sorted(a), sorted(b), strict=False))


def _pairs(best: str | None, groups: Mapping[str, Mapping[int, Scored]]) -> Iterable[tuple[str, str]]:
    """The best with every other, then every other with its plain CAM where the best is not that."""
    if best is not None:
        yield from ((best, name) for name in groups if name != best)
    for name, group in groups.items():
        backbone = next(iter(group.values())).cell.backbone
        plain = f"{backbone}-{PLAIN}"
        if plain in groups and name not in (plain, best) and plain != best:
            yield name, plain


def _compare(
    a: str, b: str, pairs: Sequence[tuple[Mapping[str, Score], Mapping[str, Score]]], seed: int
) -> list[Comparison]:
    metrics = [metric for metric in pairs[0][0] if all(metric in x and metric in y for x, y in pairs)]
    return [
        Comparison(a, b, m, len(pairs), compare([x[m] for x, _ in pairs], [y[m] for _, y in pairs], seed=seed))
        for m in metrics
    ]
