"""How sure a number is: bootstrap intervals over images, and comparisons of two cells on the same images.

Efron & Tibshirani, An Introduction to the Bootstrap (1993): percentile interval chapter 13, BCa chapter 14. A resample
of N images is a vector of weights, how often each was drawn; so all resamples of a score are one matrix product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from acol.errors import InputError
from acol.metrics.boxes import as_array

Array = np.ndarray[Any, Any]
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
    x = _finite(values, "values", 1)
    means = np.concatenate([weights @ x for weights in _weights(len(x), resamples, seed)]) / len(x)
    value = float(x.mean())
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and x.min() < x.max():
        d = x - value
        acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)  # the jackknife's, in closed form for a mean
        slack = 1e-12 * np.abs(x).max()
        share = ((means < value - slack).mean() + (means <= value + slack).mean()) / 2
        bias = norm.ppf(np.clip(share, 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
        z = bias + norm.ppf(tails)
        tails = norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(means, tails)
    return Interval(value, float(low), float(high))


def max_interval(
    curves: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return MaxBoxAccV2 of per-image curves (N, T) and its percentile interval; tau is chosen anew in each resample.

    With `iou=(0.5,)` it is MaxBoxAcc's. Raises `InputError` without images, or for values that are not finite.
    """
    x = _finite(curves, "curves", 2)
    scores = _max_scores(x, iou, resamples, seed)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(_max_score(x, iou, np.ones((1, len(x)), np.float32))[0]), float(low), float(high))


def compare_means(a: ArrayLike, b: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Difference:
    """Compare two cells by their per-image values on the same images: (N,), or (S, N) over the same S seeds.

    With several seeds the bootstrap is hierarchical: it draws seeds, then images. Raises `InputError` for unequal
    shapes, no values, or values that are not finite.
    """
    x, y = (_finite(values, name, None) for values, name in ((a, "a"), (b, "b")))
    _same_shape(x, y, (1, 2))
    d = np.atleast_2d(x - y)
    resampled = np.concatenate([weights @ d.T for weights in _weights(d.shape[1], resamples, seed)]) / d.shape[1]
    return _difference(float(d.mean()), _over_seeds(resampled, seed), level)


def compare_max(
    a: ArrayLike, b: ArrayLike, iou: Sequence[float] = IOU, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Difference:
    """Compare the MaxBoxAccV2 of two cells by their curves on the same images: (N, T), or (S, N, T) over S seeds.

    Each cell's tau is chosen anew in each resample. Seeds and errors are as in `compare_means`.
    """
    x, y = (_finite(values, name, None) for values, name in ((a, "a"), (b, "b")))
    _same_shape(x, y, (2, 3))
    x, y = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:])
    once = np.ones((1, x.shape[1]), np.float32)
    difference = np.mean([_max_score(p, iou, once) - _max_score(q, iou, once) for p, q in zip(x, y, strict=True)])
    resampled = np.stack(
        [
            _max_scores(p, iou, resamples, seed) - _max_scores(q, iou, resamples, seed)
            for p, q in zip(x, y, strict=True)
        ],
        axis=1,
    )
    return _difference(float(difference), _over_seeds(resampled, seed), level)


def holm(comparisons: Sequence[Difference], level: float = 0.95) -> list[Difference]:
    """Correct the p-values, and what is real, for the number of comparisons made (Holm 1979); intervals stay."""
    corrected = [0.0] * len(comparisons)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)):
        running = max(running, min(1.0, (len(comparisons) - rank) * comparisons[i].p))
        corrected[i] = running
    return [replace(c, p=p, real=p < 1 - level) for c, p in zip(comparisons, corrected, strict=True)]


def _weights(images: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (B, N) float32 in parts: how often each of N images was drawn in each resample."""
    rng = np.random.default_rng(seed)
    part = max(1, CHUNK // images)
    for start in range(0, resamples, part):
        count = min(part, resamples - start)
        drawn = rng.integers(0, images, (count, images)) + images * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.float32)


def _max_score(curves: Array, iou: Sequence[float], weights: Array) -> Array:
    """Return MaxBoxAccV2 (B,) of curves (N, T) under weights (B, N)."""
    best = [(weights @ (curves >= threshold).astype(np.float32)).max(axis=1) for threshold in iou]  # whole numbers
    score: Array = np.stack(best).mean(axis=0, dtype=np.float64) / len(curves)
    return score


def _max_scores(curves: Array, iou: Sequence[float], resamples: int, seed: int) -> Array:
    return np.concatenate([_max_score(curves, iou, weights) for weights in _weights(len(curves), resamples, seed)])


def _over_seeds(resampled: Array, seed: int) -> Array:
    """Draw seeds for each resample and average theirs: (B, S) -> (B,)."""
    drawn = np.random.default_rng([seed, 1]).integers(0, resampled.shape[1], resampled.shape)
    mean: Array = np.take_along_axis(resampled, drawn, axis=1).mean(axis=1)
    return mean


def _difference(difference: float, resampled: Array, level: float) -> Difference:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    tiny = 1e-9  # equal sums may differ by rounding
    extreme = min((resampled <= tiny).sum(), (resampled >= -tiny).sum())
    p = min(1.0, 2 * (int(extreme) + 1) / (len(resampled) + 1))
    return Difference(difference, float(low), float(high), p, p < 1 - level)


def _finite(values: ArrayLike, name: str, dimensions: int | None) -> Array:
    x = as_array(values).astype(np.float64)
    if x.size == 0 or (dimensions is not None and x.ndim != dimensions):
        raise InputError(f"{name}: have shape {x.shape}; give at least one image's values, images first")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: hold a value that is not finite; leave images without a value out")
    return x


def _same_shape(x: Array, y: Array, dimensions: tuple[int, int]) -> None:
    if x.shape != y.shape or x.ndim not in dimensions:
        raise InputError(f"a, b: shapes {x.shape} and {y.shape}; give both cells' values of the same images and seeds")
