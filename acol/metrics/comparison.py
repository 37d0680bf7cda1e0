"""Is one cell better than another? Paired differences on the same images, over one training or several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr  # the normal distribution
from scipy.stats import binom
from scipy.stats import t as student

from acol.errors import InputError
from acol.metrics.arrays import Array
from acol.metrics.intervals import Interval
from acol.metrics.scored import MaxScore, MeanScore, Score

PERMUTATIONS = 1000
_TINY = 1e-9  # equal sums may differ by rounding


@dataclass(frozen=True)
class Difference:
    """A's score minus B's with its interval [low, high]; `p` two-sided against no difference; `real`: p < 1 - level.

    `error` is the standard error of the difference.
    """

    difference: float
    low: float
    high: float
    p: float
    real: bool
    error: float = 0.0


def compare(a: Sequence[Score], b: Sequence[Score], level: float = 0.95, seed: int = 0) -> Difference:
    """Compare two cells by their scores, one for each of S seeds, of the same images in the same order.

    One seed: the interval and the test are over images, for these two trained models. Right or wrong answers: the mid-p
    version of McNemar's exact test (Fagerland et al. 2013), and the interval of Agresti & Min (2005). A maximum over
    thresholds: a permutation test, which swaps the two cells' curves image by image and takes the best thresholds
    anew; other means, and maxima over unlike thresholds: the paired t-test. The interval is Student's.

    Several seeds: both are over images and trainings, see `over_seeds`.

    Raises `InputError` for unequal numbers of seeds or images, or none.
    """
    each = [(x.contributions, y.contributions) for x, y in zip(a, b, strict=False)]
    if len(a) != len(b) or len({len(values) for pair in each for values in pair}) != 1:
        raise InputError("compare: give both cells' scores of the same images and seeds")
    differences = np.stack([x - y for x, y in each])  # (S, N)
    if len(a) > 1:
        return _over_trainings(differences, level)
    count = differences.shape[1]
    difference = float(differences.mean())
    error = float(differences[0].std(ddof=1) / np.sqrt(count)) if count > 1 else 1.0
    one, other = a[0], b[0]
    if isinstance(one, MeanScore) and isinstance(other, MeanScore) and one.yes_or_no and other.yes_or_no:
        interval, p = _agresti_min(differences[0], level), _mcnemar(differences[0])
    else:
        half = float(student.ppf((1 + level) / 2, max(count - 1, 1))) * error
        interval = Interval(difference, difference - half, difference + half)
        if isinstance(one, MaxScore) and isinstance(other, MaxScore) and one.curves.shape == other.curves.shape:
            p = 2 * float(ndtr(-abs(difference) / max(_swapped(one, other, seed), _TINY)))
        else:
            p = 2 * float(student.sf(abs(difference) / max(error, _TINY), max(count - 1, 1)))
        # No test of N images can be surer than that of their signs.
        p = 1.0 if abs(difference) <= _TINY else max(p, 2.0 ** (1 - count))
    return Difference(difference, interval.low, interval.high, p, p < 1 - level, error)


def over_seeds(scores: Sequence[Score], level: float = 0.95) -> Interval:
    """Return the mean of the scores of two or more seeds with its interval over images and trainings.

    Images and trainings are crossed random effects. The interval is made by the modified large-sample method (Graybill
    & Wang 1980): half its width is the root of the sum of two squares, Student's half width over the S trainings, and
    that over the N images without what the first holds already. A bootstrap over two to five trainings would be far too
    narrow: it cannot draw a training that was not made.

    Raises `InputError` for fewer than two seeds, or unequal numbers of images.
    """
    each = [score.contributions for score in scores]
    if len(each) < 2 or len({len(values) for values in each}) != 1:
        raise InputError("over_seeds: give the scores of two or more seeds on the same images")
    spread = _Spread.of(np.stack(each))
    half = spread.half(1 - level)
    return Interval(spread.mean, spread.mean - half, spread.mean + half)


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


@dataclass(frozen=True)
class _Spread:
    """The mean of values of S trainings on N images, and its standard errors over both."""

    mean: float
    over_trainings: float
    over_images: float
    trainings: int
    images: int

    @classmethod
    def of(cls, values: Array) -> "_Spread":
        """Take values (S, N)."""
        seeds, images = values.shape
        mean, of_images, of_seeds = float(values.mean()), values.mean(axis=0), values.mean(axis=1)
        left = values - of_images - of_seeds[:, None] + mean  # neither the image's effect nor the training's
        noise = float((left**2).sum()) / max((seeds - 1) * (images - 1), 1) / images / seeds
        over_images = float(of_images.var(ddof=1)) / images if images > 1 else 0.0
        over_trainings = float(of_seeds.var(ddof=1)) / seeds
        return cls(mean, over_trainings**0.5, max(0.0, over_images - noise) ** 0.5, seeds, images)

    @property
    def error(self) -> float:
        return float(np.hypot(self.over_trainings, self.over_images))

    def half(self, alpha: float) -> float:
        """Half the width of the interval that leaves `alpha` outside."""
        over_trainings = student.isf(alpha / 2, self.trainings - 1) * self.over_trainings
        over_images = student.isf(alpha / 2, max(self.images - 1, 1)) * self.over_images
        return float(np.hypot(over_trainings, over_images))

    def p_value(self) -> float:
        """The alpha of the interval that just touches 0."""
        size = abs(self.mean)
        if size <= _TINY:
            return 1.0
        least = 1e-15
        return least if self.half(least) < size else float(brentq(lambda alpha: self.half(alpha) - size, least, 1))


def _over_trainings(differences: Array, level: float) -> Difference:
    """Compare by the differences (S, N) of several seeds."""
    spread = _Spread.of(differences)
    p, half = max(spread.p_value(), 2.0 ** (1 - differences.shape[1])), spread.half(1 - level)
    return Difference(spread.mean, spread.mean - half, spread.mean + half, p, p < 1 - level, spread.error)


def _mcnemar(differences: Array) -> float:
    """The two-sided mid-p value of differences (N,) in {-1, 0, 1}."""
    fewer = int(min((differences > 0).sum(), (differences < 0).sum()))
    unequal = int((differences != 0).sum())
    if not unequal:
        return 1.0
    return min(1.0, float(2 * binom.cdf(fewer, unequal, 0.5) - binom.pmf(fewer, unequal, 0.5)))


def _agresti_min(differences: Array, level: float) -> Interval:
    """The interval of a paired difference of proportions: half an image is added to each kind of pair."""
    count = len(differences) + 2
    more, fewer = float((differences > 0).sum()) + 0.5, float((differences < 0).sum()) + 0.5
    centre = (more - fewer) / count
    error = np.sqrt(max(more + fewer - (more - fewer) ** 2 / count, 0.0)) / count
    half = float(student.ppf((1 + level) / 2, np.inf) * error)
    return Interval(float(differences.mean()), max(-1.0, centre - half), min(1.0, centre + half))


def _swapped(a: MaxScore, b: MaxScore, seed: int) -> float:
    """The standard error of a difference of maxima if neither cell were better: their curves swapped at random.

    The share of permutations with a larger difference cannot be below 1 / their number, which is too coarse to correct
    for many comparisons; so their spread is used, with the normal distribution.
    """
    swaps = _swaps(len(a.curves), seed)
    total = np.zeros(len(swaps))
    for mine, theirs in zip(a.hits, b.hits, strict=True):
        moved = swaps @ (theirs - mine)
        total += (mine.sum(axis=0) + moved).max(axis=1).astype(np.float64)
        total -= (theirs.sum(axis=0) - moved).max(axis=1)
    found = total / (len(a.hits) * len(a.curves))
    return float(np.sqrt((found**2).mean()))


@lru_cache(maxsize=1)  # the same for all comparisons of a grid
def _swaps(images: int, seed: int) -> Array:
    return (np.random.default_rng([seed, images]).random((PERMUTATIONS, images)) < 0.5).astype(np.float32)
