"""Which differences between the cells are real: paired tests over the test images, and over seeds.

The questions are: does the best cell beat each of the others, does a recipe beat plain CAM (`p`) on the same backbone,
and does it beat the centred box? Their number grows linearly with the cells; all pairs would grow quadratically.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from acol.metrics.comparison import Difference, compare, holm, over_seeds
from acol.metrics.intervals import Interval
from acol.metrics.scored import Score
from pipeline.report.metrics import METRICS

PLAIN = "p"
# The scores of each group, which is a backbone and a head over its seeds: by the group's name, the seed and the metric.
Groups = Mapping[str, Mapping[int, Mapping[str, Score]]]


@dataclass(frozen=True)
class Baseline:
    """What a cell must beat (`pipeline.report.baselines`): its scores are compared, all its metrics stand in tables.

    `backbone` is the one whose cells it concerns, None for all.
    """

    key: str
    title: str
    scores: Mapping[str, Score]
    metrics: Mapping[str, float] = field(default_factory=dict)
    backbone: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """Its metrics, by key."""
        return {name: score.value for name, score in self.scores.items()} | dict(self.metrics)


@dataclass(frozen=True)
class Comparison:
    """The score of `a` minus that of `b` in `metric`, over `seeds` pairs of seeds.

    `of_a` and `of_b` are the two scores, means over the seeds; `baseline` is the key of `b`, if it is a baseline.
    """

    a: str
    b: str
    metric: str
    seeds: int
    result: Difference
    of_a: float = 0.0
    of_b: float = 0.0
    baseline: str | None = None

    def row(self) -> dict[str, str | int | float | bool]:
        """Return the row of differences.csv."""
        pair: dict[str, str | int | float | bool] = {"a": self.a, "b": self.b, "metric": self.metric}
        found = {name: getattr(self.result, name) for name in ("difference", "low", "high", "p", "real")}
        return pair | {"seeds": self.seeds} | found


def scores_of(images: pd.DataFrame, curves: np.ndarray | None) -> dict[str, Score]:
    """Return the scores of an images.csv by metric and, where there are boxes, of its IoU curves (N, T).

    An image without boxes has no part in the scores of boxes.
    """
    made = {metric.key: metric.score(images, curves) for metric in METRICS.values() if metric.score}
    return {key: score for key, score in made.items() if score is not None}


def compare_cells(groups: Groups, best: str | None, baselines: Sequence[Baseline]) -> list[Comparison]:
    """Compare the group `best` with every other, every group with its backbone's plain CAM and with the baselines.

    Two groups are compared on the seeds that both have, or, if there are none, on equally many of each. A difference is
    real if p < 0.05 after Holm's correction. It counts the comparisons returned and, since the best was chosen on the
    same images, all pairs that it was chosen from.
    """
    comparisons = []
    for a, b in _pairs(best, groups):
        seeds = paired_seeds(groups[a], groups[b])
        comparisons += _compare(a, b, [(groups[a][s], groups[b][t]) for s, t in seeds])
    for baseline in baselines:
        for name, group in groups.items():
            if baseline.backbone in (None, _backbone(name)):
                pairs = [(scores, baseline.scores) for scores in group.values()]
                comparisons += _compare(name, baseline.title, pairs, baseline.key)
    metrics = len({comparison.metric for comparison in comparisons})
    unmade = metrics * (len(groups) - 1) * (len(groups) - 2) // 2 if best is not None else 0
    corrected = holm([comparison.result for comparison in comparisons], tests=len(comparisons) + unmade)
    return [replace(comparison, result=result) for comparison, result in zip(comparisons, corrected, strict=True)]


def unbeaten(comparisons: Sequence[Comparison], group: str | None) -> list[dict[str, str | float]]:
    """Return the baselines that a group is not significantly better than, with both scores, ready for best.json."""
    return [
        {"baseline": c.baseline, "title": c.b, "metric": c.metric, "value": c.of_a, "baseline_value": c.of_b}
        for c in comparisons
        if c.baseline is not None and c.a == group and not (c.result.real and c.result.difference > 0)
    ]


def over_trainings(groups: Groups) -> dict[str, dict[str, Interval]]:
    """Return each score's mean and interval over images and trainings, by group and metric, of two or more seeds."""
    found = {}
    for name, group in groups.items():
        if len(group) > 1:
            first, *others = group.values()
            shared = [metric for metric in first if all(metric in other for other in others)]
            found[name] = {metric: over_seeds([scores[metric] for scores in group.values()]) for metric in shared}
    return found


def paired_seeds(a: Iterable[int], b: Iterable[int]) -> list[tuple[int, int]]:
    """Return the seeds that two groups are compared on: those that both have, or else equally many of each."""
    common = sorted({*a} & {*b})
    return [(s, s) for s in common] or list(zip(sorted(a), sorted(b), strict=False))


def _backbone(group: str) -> str:
    return group.partition("-")[0]  # its name has no "-"


def _pairs(best: str | None, groups: Groups) -> Iterable[tuple[str, str]]:
    """The best with every other, then every other with its plain CAM where the best is not that."""
    if best is not None:
        yield from ((best, name) for name in groups if name != best)
    for name in groups:
        plain = f"{_backbone(name)}-{PLAIN}"
        if plain in groups and name not in (plain, best) and plain != best:
            yield name, plain


def _compare(
    a: str, b: str, pairs: Sequence[tuple[Mapping[str, Score], Mapping[str, Score]]], baseline: str | None = None
) -> list[Comparison]:
    found = []
    for metric in pairs[0][0]:
        if all(metric in x and metric in y for x, y in pairs):
            mine, theirs = ([scores[metric] for scores in side] for side in zip(*pairs, strict=True))
            ours, other = (float(np.mean([score.value for score in side])) for side in (mine, theirs))
            found.append(Comparison(a, b, metric, len(pairs), compare(mine, theirs), ours, other, baseline))
    return found
