"""Confidence intervals of scores. docs/report.md says how often each contains the truth (benchmarks/coverage.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit  # the normal distribution, its inverse, and Student's inverse

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
    """Return the mean of one value per image and its confidence interval.

    If all values are 0 or 1, it is Wilson's interval (1927), since that of a bootstrap is too narrow near 0 and 1. For
    other values it is the bootstrap's BCa interval (Efron & Tibshirani 1993, chapter 14) with the tails of Student's
    distribution, since a resample of few images varies too little (Hesterberg 2015, section 4.3). Equal values, or a
    single one, do not show how much others vary; in [0, 1] they get Wilson's interval, which belongs to the largest
    spread that values with this mean can have.

    Args:
        values: (N,) floats.
        level: of the interval, in (0, 1) (default: 0.95).
        resamples, seed: how many bootstrap resamples are drawn (default: 2000), and their seed.

    Raises `InputError` if there are no values, or if one is not finite.

    >>> interval = mean_interval([1, 1, 1, 0] * 50)
    >>> f"{interval.value} [{interval.low:.2f}, {interval.high:.2f}]"
    '0.75 [0.69, 0.80]'
    """
    score = MeanScore(values)  # type: ignore[arg-type]
    x, count = score.values, len(score.values)
    if score.is_proportion or (np.ptp(x) == 0 and 0 <= x[0] <= 1):
        return wilson(score.value, count, level)
    if np.ptp(x) == 0:  # equal values outside of [0, 1]: as if one more image had 0
        half = student_quantile(count, level) * abs(score.value) / count
        return Interval(score.value, score.value - half, score.value + half)
    return _bca(score, level, resamples, seed)


def wilson(share: float, count: float, level: float = 0.95) -> Interval:
    """Return a share of `count` items with Wilson's score interval."""
    z = float(ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Rounding must not exclude the share itself: the interval of 60 of 60 reaches up to 1.
    return Interval(share, min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half))))


def balanced_interval(right: ArrayLike, labels: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of the accuracies of the classes, with its interval.

    The interval is Wilson's for the effective number of images: that of classes of equal size whose mean varies as much
    (Kish 1965). The variance of each class is estimated as if it had 4 more images with the mean accuracy, since a few
    images that are all right would show none.

    Args:
        right: (N,) bool, whether the answers are right.
        labels: (N,), the true classes.
        level: of the interval, in (0, 1) (default: 0.95).
    """
    classes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)[1:]
    shares = np.bincount(classes, np.asarray(right, float)) / counts
    value = float(shares.mean())
    likely = (counts * shares + 4 * value) / (counts + 4)
    spread, equal = (likely * (1 - likely) / counts).sum(), float(likely.mean() * (1 - likely.mean()))
    effective = equal / spread if spread else 1 / (1 / counts).sum()
    return wilson(value, len(counts) ** 2 * effective, level)


def max_interval(
    curves: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return MaxBoxAccV2 and its confidence interval, which is corrected for the bias of a maximum.

    The best taus are chosen on the images that are scored, so the score is too high on average. The bootstrap estimates
    by how much: resamples choose their taus anew, and exceed the score (`corrected_interval`). The spread is that of
    the contributions of the images at the best taus. The score itself stays that of the protocol.

    Args:
        curves: (N, T), the IoU of each image at each tau, of `box_iou_curves`.
        iou: IoU thresholds in (0, 1] (default: 0.3, 0.5, 0.7). With (0.5,), and curves of the largest contours, the
            score is MaxBoxAcc.
        level: of the interval, in (0, 1) (default: 0.95).
        resamples, seed: how many bootstrap resamples are drawn (default: 1000), and their seed.

    Raises `InputError` if there are no images, or for values that are not finite.

    >>> max_interval(np.array([[0.2, 0.6], [0.6, 0.7]]), iou=(0.5,)).value
    1.0
    """
    score = MaxScore(curves, iou)  # type: ignore[arg-type]
    count = len(score.curves)
    resampled = [score.resampled(weights) for weights in resampled_weights(count, resamples, seed)]
    spread = float(score.contributions.std())
    least = count**-0.5 if spread else 0.0  # as if one more image were wrong
    return corrected_interval(score.value, np.concatenate(resampled), max(spread, least), count, level)


def corrected_interval(value: float, resamples: Array, spread: float, count: int, level: float) -> Interval:
    """Return a score in [0, 1] with Student's interval around the score without its bias.

    A score that makes a choice on the images that it scores is too high. Its resamples exceed it in turn, on average by
    two thirds of that bias: they choose among fewer different images, and the score is already too high. If no image
    differs from the others, the interval is Wilson's.

    Args:
        value: the score.
        resamples: (B,), the scores of bootstrap resamples.
        spread: the standard deviation of the contributions of the images.
        count: the number of images.
        level: of the interval, in (0, 1).
    """
    if count < 2 or spread == 0:
        return wilson(value, count, level)
    centre = value - 1.5 * (float(resamples.mean()) - value)
    half = student_quantile(count, level) * spread / float(np.sqrt(count - 1))
    return Interval(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def student_quantile(count: int, level: float) -> float:
    """Return half the width of the interval of a mean of `count` values, in standard errors."""
    return float(stdtrit(max(count - 1, 1), (1 + level) / 2))


def _bca(score: MeanScore, level: float, resamples: int, seed: int) -> Interval:
    """Return the BCa interval of a mean, with the tails of Student's distribution."""
    x, value = score.values, score.value
    means = np.concatenate([weights @ x for weights in resampled_weights(len(x), resamples, seed)]) / len(x)
    d = x - value
    acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)  # by the jackknife, in closed form for a mean
    # The share of resamples below the score; equal ones, up to rounding, count half.
    slack = 1e-12 * np.abs(x).max()
    share = ((means < value - slack).mean() + (means <= value + slack).mean()) / 2
    bias = ndtri(np.clip(share, 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
    z = bias + np.array([-1, 1]) * student_quantile(len(x), level) * np.sqrt(len(x) / (len(x) - 1))
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z))).tolist()
    return Interval(value, low, high)
