"""Confidence intervals of scores. docs/report.md says how often each holds the truth (benchmarks/coverage.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri  # the normal distribution and its inverse
from scipy.stats import t as student

from acol.metrics.arrays import Array
from acol.metrics.boxes import IOU
from acol.metrics.scored import MaxScore, MeanScore, resampled_weights


@dataclass(frozen=True)
class Interval:
    """A score and its confidence interval [low, high]."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of per-image values (N,) and its interval.

    Of a proportion, whose values are all 0 or 1, it is Wilson's (1927): a bootstrap's is too narrow near 0 and 1. Of
    other values it is the bootstrap's BCa (Efron & Tibshirani 1993, chapter 14), with the tails of Student's
    distribution, since a resample of few images varies too little (Hesterberg 2015, section 4.3). Equal values, or one,
    do not say how far others are: in [0, 1] they have Wilson's, which is that of the largest spread with such a mean.

    `level` in (0, 1) is that of the interval; `resamples` bootstraps are drawn with `seed`.

    Raises `InputError` without values, or if one is not finite.

    >>> interval = mean_interval([1, 1, 1, 0] * 50)
    >>> f"{interval.value} [{interval.low:.2f}, {interval.high:.2f}]"
    '0.75 [0.69, 0.80]'
    """
    score = MeanScore(values)  # type: ignore[arg-type]
    x, count = score.values, len(score.values)
    if score.yes_or_no or (np.ptp(x) == 0 and 0 <= x[0] <= 1):
        return wilson(score.value, count, level)
    if np.ptp(x) == 0:  # as if one more image had 0
        half = student_quantile(count, level) * abs(score.value) / count
        return Interval(score.value, score.value - half, score.value + half)
    return _bca(score, level, resamples, seed)


def wilson(share: float, count: float, level: float = 0.95) -> Interval:
    """Return a proportion of `count` things, and Wilson's score interval."""
    z = float(ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Wilson's interval holds the share itself, which rounding must not change: 60 of 60 reach up to 1.
    return Interval(share, min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half))))


def balanced_interval(right: ArrayLike, labels: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of the classes' accuracies, of images that are `right` (N,) or not, of classes `labels` (N,).

    Its interval is Wilson's, of as many images of equal classes as vary by as much (Kish 1965). By how much each class
    varies is estimated as if it had 4 more images like all others, since a few that are all right do not vary.
    """
    its, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)[1:]
    shares = np.bincount(its, np.asarray(right, float)) / counts
    value = float(shares.mean())
    likely = (counts * shares + 4 * value) / (counts + 4)
    spread, equal = (likely * (1 - likely) / counts).sum(), float(likely.mean() * (1 - likely.mean()))
    effective = equal / spread if spread else 1 / (1 / counts).sum()
    return wilson(value, len(counts) ** 2 * effective, level)


def max_interval(
    curves: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return MaxBoxAccV2 of per-image curves (N, T) and its interval, corrected for the bias of a maximum.

    The best thresholds are chosen on the images that are scored, so the score is too high on average. The bootstrap
    estimates by how much: resamples, which choose again, exceed the score, see `corrected_interval`. The spread is that
    of the images' contributions at the best thresholds. The score itself stays that of the protocol.

    `level` in (0, 1) is that of the interval; `resamples` bootstraps are drawn with `seed`. With `iou=(0.5,)` it is
    MaxBoxAcc's. Raises `InputError` without images, or for values that are not finite.

    >>> max_interval(np.array([[0.2, 0.6], [0.6, 0.7]]), iou=(0.5,)).value
    1.0
    """
    score = MaxScore(curves, iou)  # type: ignore[arg-type]
    count = len(score.curves)
    resampled = [score.resampled(weights) for weights in resampled_weights(count, resamples, seed)]
    spread = float(score.contributions.std())
    least = count**-0.5 if spread else 0.0  # as if one image more were wrong
    return corrected_interval(score.value, np.concatenate(resampled), max(spread, least), count, level)


def corrected_interval(value: float, resamples: Array, spread: float, count: int, level: float) -> Interval:
    """Return a score in [0, 1] of `count` images with Student's interval around the score less its bias.

    `spread` is the standard deviation of what an image contributes. A score that chooses on the images that it scores
    is too high, and its `resamples` (B,) exceed it, but by a third less on average: they choose among fewer different
    images, from a score that is too high already. Wilson's interval where no image differs.
    """
    if count < 2 or spread == 0:
        return wilson(value, count, level)
    centre = value - 1.5 * (float(resamples.mean()) - value)
    half = student_quantile(count, level) * spread / float(np.sqrt(count - 1))
    return Interval(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def student_quantile(count: int, level: float) -> float:
    """Return how many standard errors of a mean of `count` values are half the width of its interval."""
    return float(student.ppf((1 + level) / 2, max(count - 1, 1)))


def _bca(score: MeanScore, level: float, resamples: int, seed: int) -> Interval:
    x, value = score.values, score.value
    means = np.concatenate([weights @ x for weights in resampled_weights(len(x), resamples, seed)]) / len(x)
    d = x - value
    acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)  # the jackknife's, in closed form for a mean
    slack = 1e-12 * np.abs(x).max()
    share = ((means < value - slack).mean() + (means <= value + slack).mean()) / 2
    bias = ndtri(np.clip(share, 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
    z = bias + np.array([-1, 1]) * student_quantile(len(x), level) * np.sqrt(len(x) / (len(x) - 1))
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z))).tolist()
    return Interval(value, low, high)
