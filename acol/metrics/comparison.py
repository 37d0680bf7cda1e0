"""Is one cell better than another? Paired differences on the same images, and what it would take to see one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri  # the normal distribution and its inverse
from scipy.stats import t as student

from acol.errors import InputError
from acol.metrics.arrays import Array
from acol.metrics.intervals import Interval, wilson
from acol.metrics.scored import MaxScore, Score

_TINY = 1e-9  # equal sums may differ by rounding


@dataclass(frozen=True)
class Difference:
    """A's score minus B's with its interval [low, high]; `p` two-sided against no difference; `real`: p < 1 - level.

    `error` is the standard error of the difference. `whole` is the number of images if each adds -1, 0 or 1, else 0.
    """

    difference: float
    low: float
    high: float
    p: float
    real: bool
    error: float = 0.0
    whole: int = 0


def compare(a: Sequence[Score], b: Sequence[Score], level: float = 0.95) -> Difference:
    """Compare two cells by their scores, one for each of S seeds, of the same images in the same order.

    The interval holds every difference that the test does not reject, so that the two cannot disagree. One seed: both
    are over images, for these two trained models. That the N images' differences x have the mean d is rejected if
    `|sum(x - d)| > z sqrt(sum((x - d)^2) + s^2)`: the test by random signs, which is McNemar's for right and wrong
    answers. The s^2 stands for one more image that differs as much as an image can (s = 1; of other values than shares:
    as much as any did), so that N images which agree do not prove that all do. Where each image adds -1, 0 or 1, a
    difference of d needs at least d N such images, so the interval also holds Wilson's of d as a share.

    Several seeds: both are over images and trainings, see `over_seeds`.

    Raises `InputError` for unequal numbers of seeds or images, or none.

    >>> right, too = np.tile([1, 1, 1, 0], 50), np.tile([1, 0, 1, 0], 50)
    >>> found = compare([MeanScore(right)], [MeanScore(too)])
    >>> found.difference, found.real
    (0.25, True)
    """
    each = [(x.contributions, y.contributions) for x, y in zip(a, b, strict=False)]
    if len(a) != len(b) or len({len(values) for pair in each for values in pair}) != 1:
        raise InputError("compare: give both cells' scores of the same images and seeds")
    differences = np.stack([x - y for x, y in each])  # (S, N)
    shares = all(isinstance(score, MaxScore) or score.shares or score.yes_or_no for score in (*a, *b))
    step = 1.0 if shares and len(a) == 1 else float(np.abs(differences.mean(axis=0)).max()) or 1.0
    mean, error, half_of, p = _over_both(differences, step) if len(a) > 1 else _over_images(differences[0], step)
    count = differences.shape[1]
    surest = 2.0 ** (1 - count)  # no test of N images can be surer than that of their signs
    p, half = max(surest, p), half_of(1 - level) if 1 - level > surest else np.inf
    low, high, whole = mean - half, mean + half, bool(np.isin(differences, (-1, 0, 1)).all())
    if whole:
        reach = wilson(min(1.0, abs(mean)), count, level).high
        low = min(low, -reach) if mean <= 0 else low
        high = max(high, reach) if mean >= 0 else high
    if shares:
        low, high = max(low, -1.0), min(high, 1.0)
    return Difference(mean, low, high, p, p < 1 - level, error, count if whole else 0)


def over_seeds(scores: Sequence[Score], level: float = 0.95) -> Interval:
    """Return the mean of the scores of two or more seeds with its interval over images and trainings.

    Images and trainings are crossed random effects. The interval is made by the modified large-sample method (Graybill
    & Wang 1980): half its width is the root of the sum of two squares, Student's half width over the S trainings, and
    that over the N images without what the first holds already. A bootstrap over two to five trainings would be far too
    narrow: it cannot draw a training that was not made.

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
    mean, _, half_of, _ = _over_both(values, float(np.abs(values - values.mean()).max()) or 1.0)
    half = half_of(1 - level)
    return Interval(mean, mean - half, mean + half)


def holm(comparisons: Sequence[Difference], level: float = 0.95, tests: int | None = None) -> list[Difference]:
    """Return differences with p-values, and what is real, corrected for their number (Holm 1979); intervals stay.

    `level` in (0, 1) is that of the intervals (default 0.95). `tests` is the number of comparisons made, if only some
    of them are given, such as only those of the best cell.

    >>> found = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> [corrected.real for corrected in holm([found, found])]
    [True, True]
    """
    count = max(len(comparisons), tests or 0)
    corrected = [0.0] * len(comparisons)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)):
        running = max(running, min(1.0, (count - rank) * comparisons[i].p))
        corrected[i] = running
    return [replace(c, p=p, real=p < 1 - level) for c, p in zip(comparisons, corrected, strict=True)]


def smallest_difference(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that as many images and trainings would show as significant with `power`.

    `found` is what they showed; `power` in (0, 1) is the wanted probability, `level` that of the interval. Where each
    of N images adds -1, 0 or 1, a difference of d has a variance of at least d (1 - d) / N, however well the images
    seen agree.

    >>> found = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> round(smallest_difference(found), 2)
    0.14
    """
    z = float(ndtri((1 + level) / 2) + ndtri(power))
    return max(z * found.error, z * z / (found.whole + z * z) if found.whole else 0.0)


def times_needed(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return how many times the images, and trainings if several were compared, a difference of this size needs.

    The error falls with the square root of their number. Infinite for a difference of 0. Arguments are those of
    `smallest_difference`.

    >>> found = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> times_needed(found) < 1  # fewer images were enough
    True
    """
    z, size = float(ndtri((1 + level) / 2) + ndtri(power)), abs(found.difference)
    if size == 0:
        return float("inf")
    return max((z * found.error / size) ** 2, z * z * (1 / size - 1) / found.whole if found.whole else 0.0)


class _Mean(NamedTuple):
    """A mean, its standard error, half the width of the interval that leaves alpha outside, and p of a mean of 0."""

    value: float
    error: float
    half: Callable[[float], float]
    p: float


def _over_images(values: Array, step: float) -> _Mean:
    """Test N images' differences (N,) by random signs; `step` is the size of one that was not seen."""
    count = len(values)
    error = float(np.sqrt((values.var() + step**2 / count) / count))

    def half(alpha: float) -> float:
        z = float(ndtri(1 - alpha / 2))
        return float(z * error / np.sqrt(1 - z * z / count)) if z * z < count else np.inf  # too few images

    z = float(abs(values.sum()) / np.sqrt((values**2).sum() + step**2))
    return _Mean(float(values.mean()), error, half, 2 * float(ndtr(-z)))


def _over_both(values: Array, step: float) -> _Mean:
    """Test values (S, N) of S trainings on N images; `step` is the size of an image's deviation that was not seen."""
    seeds, images = values.shape
    mean, of_images, of_seeds = float(values.mean()), values.mean(axis=0), values.mean(axis=1)
    left = values - of_images - of_seeds[:, None] + mean  # neither the image's effect nor the training's
    noise = float((left**2).sum()) / max((seeds - 1) * (images - 1), 1) / images / seeds
    variance = float(of_images.var(ddof=1)) / images if images > 1 else 0.0
    over_images = (max(0.0, variance - noise) + (step / images) ** 2) ** 0.5
    over_trainings = (float(of_seeds.var(ddof=1)) / seeds) ** 0.5

    def half(alpha: float) -> float:
        trainings = student.isf(alpha / 2, seeds - 1) * over_trainings
        return float(np.hypot(trainings, student.isf(alpha / 2, max(images - 1, 1)) * over_images))

    p, least = 1.0, 1e-15
    if abs(mean) > _TINY:  # the alpha of the interval that just touches 0
        p = least if half(least) < abs(mean) else float(brentq(lambda alpha: half(alpha) - abs(mean), least, 1))
    return _Mean(mean, float(np.hypot(over_trainings, over_images)), half, p)
