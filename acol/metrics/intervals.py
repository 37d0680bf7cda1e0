"""Confidence intervals of scores. docs/report.md says how often each holds the truth (benchmarks/coverage.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri  # the normal distribution and its inverse
from scipy.stats import t as student

from acol.metrics.arrays import Array
from acol.metrics.bootstrap import resampled_weights
from acol.metrics.scored import IOU, MaxScore, MeanScore


@dataclass(frozen=True)
class Interval:
    """A score and its confidence interval [low, high]."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of per-image values (N,) and its interval.

    Of a proportion, whose values are all 0 or 1, it is Wilson's (1927): a bootstrap's is too narrow near 0 and 1. Of
    other values it is the bootstrap's BCa (Efron & Tibshirani 1993, chapter 14).

    Raises `InputError` without values, or if one is not finite.
    """
    score = MeanScore(values)  # type: ignore[arg-type]
    return wilson(score.value, len(score.values), level) if score.yes_or_no else _bca(score, level, resamples, seed)


def wilson(share: float, count: float, level: float = 0.95) -> Interval:
    """Return a proportion of `count` things, and Wilson's score interval."""
    z = float(ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Wilson's interval holds the share itself, which rounding must not change: 60 of 60 reach up to 1.
    return Interval(share, min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half))))


def max_interval(
    curves: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return MaxBoxAccV2 of per-image curves (N, T) and its interval, corrected for the bias of a maximum.

    The best thresholds are chosen on the images that are scored, so the score is too high on average. The bootstrap
    estimates by how much: resamples, which choose again, exceed the score by about as much as the score exceeds the
    truth. The interval is Student's around the corrected score, with the spread of the images' contributions at the
    best thresholds. The score itself stays that of the protocol.

    With `iou=(0.5,)` it is MaxBoxAcc's. Raises `InputError` without images, or for values that are not finite.
    """
    score = MaxScore(curves, iou)  # type: ignore[arg-type]
    each, count = score.contributions, len(score.curves)
    if count < 2 or np.ptp(each) == 0:
        return wilson(score.value, count, level)
    resampled = [score.resampled(weights) for weights in resampled_weights(count, resamples, seed)]
    bias = float(np.concatenate(resampled).mean()) - score.value
    half = float(student.ppf((1 + level) / 2, count - 1) * each.std(ddof=1) / np.sqrt(count))
    centre = score.value - bias
    return Interval(score.value, max(0.0, centre - half), min(1.0, centre + half))


def percentile_interval(value: float, resamples: Array, level: float) -> Interval:
    """Return a score with the interval between the percentiles of its resamples (B,) that leaves 1 - level outside."""
    low, high = np.quantile(resamples, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(value, low, high)


def _bca(score: MeanScore, level: float, resamples: int, seed: int) -> Interval:
    x, value = score.values, score.value
    means = np.concatenate([weights @ x for weights in resampled_weights(len(x), resamples, seed)]) / len(x)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if x.min() < x.max():
        d = x - value
        acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)  # the jackknife's, in closed form for a mean
        slack = 1e-12 * np.abs(x).max()
        share = ((means < value - slack).mean() + (means <= value + slack).mean()) / 2
        bias = ndtri(np.clip(share, 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
        z = bias + ndtri(tails)
        tails = ndtr(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, tails).tolist()
    return Interval(value, low, high)
