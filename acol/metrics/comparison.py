"""Whether one cell is better than another: paired differences on the same images, and how many images show one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit  # the normal distribution, its inverse, and Student's inverse

from acol.errors import InputError
from acol.metrics.arrays import Array
from acol.metrics.intervals import Interval, wilson
from acol.metrics.scored import MaxScore, Score

_TINY = 1e-9  # equal sums may differ by rounding


@dataclass(frozen=True)
class Difference:
    """The score of A minus that of B, and how sure the difference is.

    Attributes:
        difference: of the scores.
        low, high: its confidence interval.
        p: the two-sided p-value of the test that there is no difference.
        real: whether the difference is significant, p < 1 - level.
        error: the standard error of the difference.
        whole: the number of images if the difference is -1, 0 or 1 for each of them, else 0.
    """

    difference: float
    low: float
    high: float
    p: float
    real: bool
    error: float = 0.0
    whole: int = 0


AnyDifference = TypeVar("AnyDifference", bound=Difference)


def compare(a: Sequence[Score], b: Sequence[Score], level: float = 0.95) -> Difference:
    """Compare two cells by their scores of the same images.

    The interval contains exactly the differences that the test does not reject, so that both always agree.

    With one seed, test and interval are about images, for these two trained models. Let x be the differences of the N
    images. A mean difference of d is rejected if `|sum(x - d)| > z sqrt(sum((x - d)^2) + s^2)`. This is the sign-flip
    test; for right and wrong answers it is McNemar's test. The term s^2 stands for one more image with the largest
    possible difference (s = 1; for values that are no shares, the largest difference seen), so that N images which
    agree do not prove that all images do. If the difference of each image is -1, 0 or 1, a mean of d needs at least d N
    images that differ, so the interval also contains Wilson's interval of d as a share.

    With several seeds, test and interval are about images and trainings (`over_seeds`).

    Args:
        a, b: for each cell, one score per seed, all of the same images in the same order.
        level: of the interval, in (0, 1) (default: 0.95).

    Raises `InputError` for unequal numbers of seeds or images, or none.

    >>> a, b = MeanScore(np.tile([1, 1, 1, 0], 50)), MeanScore(np.tile([1, 0, 1, 0], 50))
    >>> result = compare([a], [b])
    >>> result.difference, result.real
    (0.25, True)
    """
    each = [(x.contributions, y.contributions) for x, y in zip(a, b, strict=False)]
    if len(a) != len(b) or len({len(values) for pair in each for values in pair}) != 1:
        raise InputError("compare: give both cells' scores of the same images and seeds")
    differences = np.stack([x - y for x, y in each])  # (S, N)
    # How large the difference of one more image can be: at most 1 between shares of a single seed.
    shares = _are_shares((*a, *b))
    step = 1.0 if shares and len(a) == 1 else float(np.abs(differences.mean(axis=0)).max()) or 1.0
    test = _over_images_and_trainings(differences, step) if len(a) > 1 else _over_images(differences[0], step)
    mean, error, half_width, p = test
    count = differences.shape[1]
    least = 2.0 ** (1 - count)  # the smallest p-value that the signs of N differences can have
    p, half = max(least, p), half_width(1 - level) if 1 - level > least else np.inf
    low, high, whole = mean - half, mean + half, bool(np.isin(differences, (-1, 0, 1)).all())
    # A mean difference of d needs at least d N images that differ.
    if whole:
        reach = wilson(min(1.0, abs(mean)), count, level).high
        low = min(low, -reach) if mean <= 0 else low
        high = max(high, reach) if mean >= 0 else high
    if shares:
        low, high = max(low, -1.0), min(high, 1.0)
    return Difference(mean, low, high, p, p < 1 - level, error, count if whole else 0)


def over_seeds(scores: Sequence[Score], level: float = 0.95) -> Interval:
    """Return the mean of the scores of two or more seeds with its interval over images and trainings.

    Images and trainings are crossed random effects. The interval is that of the modified large-sample method (Graybill
    & Wang 1980). Half of its width is the root of a sum of two squares: Student's half width over the S trainings, and
    that over the N images, without the part that the first already contains. A bootstrap over two to five trainings
    would be far too narrow, since it cannot draw a training that was not made.

    Args:
        scores: one per seed, all of the same images in the same order.
        level: of the interval, in (0, 1) (default: 0.95).

    Raises `InputError` for fewer than two seeds, or unequal numbers of images.

    >>> over_seeds([MeanScore(np.array([1, 1, 1, 0])), MeanScore(np.array([1, 0, 1, 0]))]).value
    0.625
    """
    each = [score.contributions for score in scores]
    if len(each) < 2 or len({len(values) for values in each}) != 1:
        raise InputError("over_seeds: give the scores of two or more seeds on the same images")
    values = np.stack(each)
    if np.isin(values, (0, 1)).all() and np.ptp(values) == 0:
        return wilson(float(values[0, 0]), values.shape[1], level)
    mean, _, half_width, _ = _over_images_and_trainings(values, float(np.abs(values - values.mean()).max()) or 1.0)
    low, high = mean - half_width(1 - level), mean + half_width(1 - level)
    return Interval(mean, max(low, 0.0), min(high, 1.0)) if _are_shares(scores) else Interval(mean, low, high)


def holm(comparisons: Sequence[AnyDifference], level: float = 0.95, tests: int | None = None) -> list[AnyDifference]:
    """Return differences with `p` and `real` corrected for the number of comparisons (Holm 1979); the intervals stay.

    Args:
        comparisons: of `compare`.
        level: that of their intervals, in (0, 1) (default: 0.95).
        tests: the number of comparisons that were made, if it is larger than that of `comparisons`, such as when only
            those of the best cell are given (default: None, there are no others).

    >>> difference = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> [corrected.real for corrected in holm([difference, difference])]
    [True, True]
    """
    count = max(len(comparisons), tests or 0)
    corrected = [0.0] * len(comparisons)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)):
        running = max(running, min(1.0, (count - rank) * comparisons[i].p))
        corrected[i] = running
    return [replace(c, p=p, real=p < 1 - level) for c, p in zip(comparisons, corrected, strict=True)]


def smallest_difference(result: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that as many images and trainings would show as significant with probability `power`.

    If the difference of each image is -1, 0 or 1, the variance of a mean difference d of N images is at least
    d (1 - d) / N, however well the images agree.

    Args:
        result: of `compare`, for these images and trainings.
        power: in (0, 1) (default: 0.8).
        level: of the interval, in (0, 1) (default: 0.95).

    >>> result = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> round(smallest_difference(result), 2)
    0.14
    """
    z = float(ndtri((1 + level) / 2) + ndtri(power))
    return max(z * result.error, z * z / (result.whole + z * z) if result.whole else 0.0)


def times_needed(result: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the factor by which images (and trainings, if there are several) must grow to show this difference.

    The error falls with the square root of their number. The factor is infinite for a difference of 0. Arguments are
    those of `smallest_difference`.

    >>> result = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> times_needed(result) < 1  # fewer images would be enough
    True
    """
    z, size = float(ndtri((1 + level) / 2) + ndtri(power)), abs(result.difference)
    if size == 0:
        return float("inf")
    return max((z * result.error / size) ** 2, z * z * (1 / size - 1) / result.whole if result.whole else 0.0)


def _are_shares(scores: Sequence[Score]) -> bool:
    """Whether all values of some scores are in [0, 1]."""
    return all(isinstance(score, MaxScore) or score.shares or score.is_proportion for score in scores)


class _Mean(NamedTuple):
    """A mean with its interval and test."""

    value: float
    error: float  # the standard error
    half_width: Callable[[float], float]  # half the width of the interval of level 1 - alpha, by alpha
    p: float  # of the test that the mean is 0


def _over_images(values: Array, step: float) -> _Mean:
    """Test the differences of N images (N,) by sign flips; `step` is the size of that of one more image."""
    count = len(values)
    error = float(np.sqrt((values.var() + step**2 / count) / count))

    def half(alpha: float) -> float:
        z = float(ndtri(1 - alpha / 2))
        return float(z * error / np.sqrt(1 - z * z / count)) if z * z < count else np.inf  # too few images

    z = float(abs(values.sum()) / np.sqrt((values**2).sum() + step**2))
    return _Mean(float(values.mean()), error, half, 2 * float(ndtr(-z)))


def _over_images_and_trainings(values: Array, step: float) -> _Mean:
    """Test values (S, N) of S trainings on N images; `step` is the size of the deviation of one more image."""
    seeds, images = values.shape
    mean, of_images, of_seeds = float(values.mean()), values.mean(axis=0), values.mean(axis=1)
    # The variance that is left after the effects of images and trainings is part of both of these; count it once.
    residuals = values - of_images - of_seeds[:, None] + mean
    noise = float((residuals**2).sum()) / max((seeds - 1) * (images - 1), 1) / images / seeds
    variance = float(of_images.var(ddof=1)) / images if images > 1 else 0.0
    over_images = (max(0.0, variance - noise) + (step / images) ** 2) ** 0.5
    over_trainings = (float(of_seeds.var(ddof=1)) / seeds) ** 0.5

    def half(alpha: float) -> float:
        # Both quantiles are negative, but `hypot` squares them.
        of_trainings, of_images = (stdtrit(max(count - 1, 1), alpha / 2) for count in (seeds, images))
        return float(np.hypot(of_trainings * over_trainings, of_images * over_images))

    p, least = 1.0, 1e-15
    if abs(mean) > _TINY:  # p is the alpha of the interval that just reaches 0
        p = least if half(least) < abs(mean) else float(brentq(lambda alpha: half(alpha) - abs(mean), least, 1))
    return _Mean(mean, float(np.hypot(over_trainings, over_images)), half, p)
