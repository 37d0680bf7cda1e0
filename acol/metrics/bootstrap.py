"""Bootstrap intervals of scores over images, and comparisons of two cells on the same images.

Efron & Tibshirani, An Introduction to the Bootstrap (1993): percentile interval chapter 13, BCa chapter 14. A resample
of N images is a vector of weights that counts how often each was drawn. So all resamples of a score are one matrix
product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri  # the normal distribution and its inverse

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array

IOU = (0.3, 0.5, 0.7)
CHUNK = 2**23  # weights drawn at a time: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A score and its confidence interval [low, high]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A's score minus B's with its interval [low, high]; `p` two-sided against no difference; `real`: p < 1 - level."""

    difference: float
    low: float
    high: float
    p: float
    real: bool


@dataclass(frozen=True)
class Resampled:
    """A score of N images, and of each of B resamples of them (B,); the same seed draws the same resamples."""

    value: float
    images: int
    resamples: Array


def mean_interval(
    values: ArrayLike,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the mean of per-image values (N,) (0/1 or floats) and its bootstrap interval.

    Raises `InputError` without values, or if one is not finite.
    """
    score = resample_mean(values, resamples, seed)
    x, value, means = as_array(values).astype(np.float64), score.value, score.resamples
    tails = _tails(level)
    if method == "bca" and x.min() < x.max():
        d = x - value
        acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)  # the jackknife's, in closed form for a mean
        slack = 1e-12 * np.abs(x).max()
        share = ((means < value - slack).mean() + (means <= value + slack).mean()) / 2
        bias = ndtri(np.clip(share, 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
        z = bias + ndtri(tails)
        tails = ndtr(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, tails).tolist()
    return Interval(value, low, high)


def max_interval(
    curves: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return MaxBoxAccV2 of per-image curves (N, T) and its percentile interval; tau is chosen again in each resample.

    With `iou=(0.5,)` it is MaxBoxAcc's. Raises `InputError` without images, or for values that are not finite.
    """
    score = resample_max(curves, iou, resamples, seed)
    return percentile_interval(score.value, score.resamples, level)


def percentile_interval(value: float, resamples: Array, level: float) -> Interval:
    """Return a score with the interval between the percentiles of its resamples (B,) that leaves 1 - level outside."""
    low, high = np.quantile(resamples, _tails(level)).tolist()
    return Interval(value, low, high)


def _tails(level: float) -> Array:
    return np.array([(1 - level) / 2, (1 + level) / 2])


def resample_mean(values: ArrayLike, resamples: int = 1000, seed: int = 0) -> Resampled:
    """Resample the mean of per-image values (N,). Raises `InputError` as `mean_interval` does."""
    x = _finite(values, "values", 1)
    means = np.concatenate([weights @ x for weights in resampled_weights(len(x), resamples, seed)]) / len(x)
    return Resampled(float(x.mean()), len(x), means)


def resample_max(curves: ArrayLike, iou: Sequence[float] = IOU, resamples: int = 1000, seed: int = 0) -> Resampled:
    """Resample MaxBoxAccV2 of per-image curves (N, T). Raises `InputError` as `max_interval` does."""
    x = _finite(curves, "curves", 2)
    scores = np.concatenate([_max_score(x, iou, weights) for weights in resampled_weights(len(x), resamples, seed)])
    return Resampled(float(_max_score(x, iou, np.ones((1, len(x)), np.float32))[0]), len(x), scores)


def compare(a: Sequence[Resampled], b: Sequence[Resampled], level: float = 0.95, seed: int = 0) -> Difference:
    """Compare two cells by a score of each of S seeds, all resampled alike on the same images in the same order.

    With several seeds the bootstrap is hierarchical: it draws images, then seeds. Raises `InputError` for unequal
    numbers of seeds, images or resamples, or none.
    """
    shapes = {(score.images, len(score.resamples)) for score in (*a, *b)}
    if len(a) != len(b) or len(shapes) != 1:
        raise InputError("compare: give both cells' scores of the same images, seeds and numbers of resamples")
    difference = float(np.mean([x.value - y.value for x, y in zip(a, b, strict=True)]))
    resampled = np.stack([x.resamples - y.resamples for x, y in zip(a, b, strict=True)], axis=1)  # (B, S)
    drawn = np.random.default_rng([seed, 1]).integers(0, len(a), resampled.shape)
    means = np.take_along_axis(resampled, drawn, axis=1).mean(axis=1)
    interval = percentile_interval(difference, means, level)
    p = _p_value(difference, float(means.std(ddof=1)), a[0].images)
    return Difference(difference, interval.low, interval.high, p, p < 1 - level)


def _p_value(difference: float, error: float, images: int) -> float:
    """Two-sided, by the normal distribution with the bootstrap's standard error.

    Counting the resamples on the wrong side cannot give less than 1 / their number, which is too coarse to correct for
    many comparisons. The result is at least 2 ** (1 - images), the least p-value of a sign-flip test of these images.
    """
    tiny = 1e-9  # equal sums may differ by rounding
    if abs(difference) <= tiny:
        return 1.0
    return max(2 * float(ndtr(-abs(difference) / max(error, tiny))), 2.0 ** (1 - images))


def holm(comparisons: Sequence[Difference], level: float = 0.95, tests: int | None = None) -> list[Difference]:
    """Correct the p-values, and what is real, for the number of comparisons made (Holm 1979); intervals stay.

    `tests` is the number of comparisons made, if only some of them are given, such as only those of the best cell.
    """
    count = max(len(comparisons), tests or 0)
    corrected = [0.0] * len(comparisons)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)):
        running = max(running, min(1.0, (count - rank) * comparisons[i].p))
        corrected[i] = running
    return [replace(c, p=p, real=p < 1 - level) for c, p in zip(comparisons, corrected, strict=True)]


def resampled_weights(images: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (B, N) float32 in parts: how often each of N images was drawn in each resample."""
    part = max(1, CHUNK // images)
    if resamples <= part:
        yield _only_weights(images, resamples, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, part):
        yield _drawn(rng, images, min(part, resamples - start))


@lru_cache(maxsize=1)  # one evaluation asks some twenty times for the same
def _only_weights(images: int, resamples: int, seed: int) -> Array:
    return _drawn(np.random.default_rng(seed), images, resamples)


def _drawn(rng: np.random.Generator, images: int, resamples: int) -> Array:
    drawn = rng.integers(0, images, (resamples, images)) + images * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float32)


def _max_score(curves: Array, iou: Sequence[float], weights: Array) -> Array:
    """Return MaxBoxAccV2 (B,) of curves (N, T) under weights (B, N)."""
    best = [(weights @ (curves >= threshold).astype(np.float32)).max(axis=1) for threshold in iou]  # whole numbers
    score: Array = np.stack(best).mean(axis=0, dtype=np.float64) / len(curves)
    return score


def _finite(values: ArrayLike, name: str, dimensions: int) -> Array:
    x = as_array(values).astype(np.float64)
    if x.size == 0 or x.ndim != dimensions:
        raise InputError(f"{name}: have shape {x.shape}; give the values of at least one image, images first")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: hold a value that is not finite; leave out images without a value")
    return x
