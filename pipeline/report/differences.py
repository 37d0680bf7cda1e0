"""Which differences between the cells are real: paired tests over the test images, and over seeds.

The questions are: does the best cell beat each of the others, does a recipe beat plain CAM (`p`) on the same backbone,
and does it beat the baselines? Their number grows linearly with the cells. That of all pairs would grow quadratically.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from acol.metrics.comparison import Difference, compare, holm, over_seeds
from acol.metrics.intervals import Interval
from acol.metrics.scored import Score
from pipeline.report.metrics import METRICS

PLAIN = "p"
COLUMNS = ("a", "b", "metric", "seeds", "difference", "low", "high", "p", "real")  # of differences.csv
# Scores by group, seed and metric. A group is a backbone with a head; its cells differ only in their seeds.
Groups = Mapping[str, Mapping[int, Mapping[str, Score]]]


@dataclass(frozen=True)
class Baseline:
    """What a cell must beat (`pipeline.report.baselines`).

    `scores` are compared with those of cells; `metrics` are further ones, which only stand in tables. `backbone` is the
    one whose cells must beat it; None means the cells of all backbones.
    """

    key: str
    title: str
    scores: Mapping[str, Score]
    metrics: Mapping[str, float] = field(default_factory=dict)
    backbone: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """All metrics of the baseline, by key."""
        return {name: score.value for name, score in self.scores.items()} | dict(self.metrics)


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """The score of `a` minus that of `b` in `metric`, on `images` test images, over `seeds` pairs of seeds.

    `of_a` and `of_b` are the two scores, as means over the seeds. `baseline` is the key of `b` if that is a baseline.
    """

    a: str
    b: str
    metric: str
    images: int
    seeds: int
    of_a: float = 0.0
    of_b: float = 0.0
    baseline: str | None = None

    @property
    def better(self) -> bool:
        """Whether `a` is significantly better than `b`."""
        return self.real and self.difference > 0

    @property
    def sureness(self) -> Literal["clear", "likely", "open"]:
        """How certain the difference is: significant after the correction, only before it, or not at all."""
        return "clear" if self.real else "likely" if self.low > 0 or self.high < 0 else "open"

    def row(self) -> dict[str, str | int | float | bool]:
        """Return the row of differences.csv."""
        return {column: getattr(self, column) for column in COLUMNS}


def scores_of(images: pd.DataFrame, curves: np.ndarray | None) -> dict[str, Score]:
    """Return the scores by metric, from the rows of images.csv and the images' IoU curves (N, T).

    `curves` is None if no test image has a box. An image without boxes does not count in the scores of boxes.
    """
    scores = {metric.key: metric.score(images, curves) for metric in METRICS.values() if metric.score}
    return {key: score for key, score in scores.items() if score is not None}


def compare_cells(groups: Groups, best: str | None, baselines: Sequence[Baseline]) -> list[Comparison]:
    """Compare the group `best` with every other, and every group with its backbone's plain CAM and with the baselines.

    Two groups are compared on the seeds that both have or, if there are none, on equally many seeds of each. A
    difference is real if p < 0.05 after Holm's correction. The correction counts all comparisons that are returned. The
    best was chosen on the same images, so it also counts all pairs among which it was chosen.
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
    # The pairs of groups without the best, in each metric, are counted though they are not compared.
    metrics = len({comparison.metric for comparison in comparisons})
    other_pairs = metrics * (len(groups) - 1) * (len(groups) - 2) // 2 if best is not None else 0
    return holm(comparisons, tests=len(comparisons) + other_pairs)


def unbeaten(comparisons: Sequence[Comparison], group: str | None) -> list[dict[str, str | float]]:
    """Return the baselines that a group does not significantly beat, with both scores, as best.json has them."""
    return [
        {"baseline": c.baseline, "title": c.b, "metric": c.metric, "value": c.of_a, "baseline_value": c.of_b}
        for c in comparisons
        if c.baseline is not None and c.a == group and not c.better
    ]


def over_trainings(groups: Groups) -> dict[str, dict[str, Interval]]:
    """Return the mean of each score with its interval over images and trainings, by group and metric.

    Groups of a single seed are left out.
    """
    intervals = {}
    for name, group in groups.items():
        if len(group) > 1:
            first, *rest = group.values()
            shared = [metric for metric in first if all(metric in scores for scores in rest)]
            intervals[name] = {metric: over_seeds([scores[metric] for scores in group.values()]) for metric in shared}
    return intervals


def paired_seeds(a: Iterable[int], b: Iterable[int]) -> list[tuple[int, int]]:
    """Return the pairs of seeds on which two groups are compared: the common seeds, or else equally many of each."""
    common = sorted({*a} & {*b})
    return [(s, s) for s in common] or list(zip(sorted(a), sorted(b), strict=False))


def _backbone(group: str) -> str:
    return group.partition("-")[0]  # a backbone's name has no "-"


def _pairs(best: str | None, groups: Groups) -> Iterable[tuple[str, str]]:
    """Yield the best with every other group, then every other with its plain CAM, unless that is the best."""
    if best is not None:
        yield from ((best, name) for name in groups if name != best)
    for name in groups:
        plain = f"{_backbone(name)}-{PLAIN}"
        if plain in groups and name not in (plain, best) and plain != best:
            yield name, plain


def _compare(
    a: str, b: str, pairs: Sequence[tuple[Mapping[str, Score], Mapping[str, Score]]], baseline: str | None = None
) -> list[Comparison]:
    """Compare `a` with `b` in each metric that both have; each pair holds the scores of both for one seed."""
    comparisons = []
    for metric in pairs[0][0]:
        if all(metric in x and metric in y for x, y in pairs):
            of_a, of_b = ([scores[metric] for scores in side] for side in zip(*pairs, strict=True))
            mean_a, mean_b = (float(np.mean([score.value for score in side])) for side in (of_a, of_b))
            comparison = Comparison(
                **vars(compare(of_a, of_b)),
                a=a,
                b=b,
                metric=metric,
                images=len(of_a[0].contributions),
                seeds=len(pairs),
                of_a=mean_a,
                of_b=mean_b,
                baseline=baseline,
            )
            comparisons.append(comparison)
    return comparisons
