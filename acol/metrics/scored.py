"""A score of N images together with what each image contributes to it, for intervals and comparisons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from acol.metrics.arrays import Array, finite
from acol.metrics.boxes import IOU

CHUNK = 2**23  # weights drawn at a time: bounds the memory


@dataclass(frozen=True, eq=False)
class MeanScore:
    """The mean of per-image `values` (N,), 0/1 or floats. Raises `InputError` without values, or for one not finite.

    `shares` says that a value of this score is in [0, 1] always; where all are 0 or 1 that goes without saying.

    >>> MeanScore(np.array([1, 0, 1, 1])).value
    0.75
    """

    values: Array
    shares: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", finite(self.values, "values", 1))

    @property
    def value(self) -> float:
        """The score."""
        return float(self.values.mean())

    @property
    def contributions(self) -> Array:
        """What each image contributes (N,); their mean is the score."""
        return self.values

    @property
    def yes_or_no(self) -> bool:
        """Whether every value is 0 or 1, so that the score is a proportion."""
        return bool(np.isin(self.values, (0, 1)).all())


@dataclass(frozen=True, eq=False)
class MaxScore:
    """MaxBoxAccV2 of per-image IoU `curves` (N, T): the mean over `iou` of the best accuracy of all T thresholds.

    With `iou=(0.5,)` it is MaxBoxAcc's. Raises `InputError` without images, or for values that are not finite.

    >>> MaxScore(np.array([[0.2, 0.6], [0.4, 0.3]]), iou=(0.5,)).value
    0.5
    """

    curves: Array
    iou: Sequence[float] = IOU

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", finite(self.curves, "curves", 2))

    @cached_property
    def hits(self) -> Array:
        """Whether each image's box is right (len(iou), N, T), 0 or 1."""
        return np.stack([self.curves >= threshold for threshold in self.iou]).astype(np.float32)

    @property
    def value(self) -> float:
        """The score."""
        return float(self.contributions.mean())

    @cached_property
    def contributions(self) -> Array:
        """What each image contributes (N,) at the thresholds that are best for all; their mean is the score."""
        best = self.hits.sum(axis=1).argmax(axis=1)
        chosen = np.stack([hits[:, tau] for hits, tau in zip(self.hits, best, strict=True)])
        mean: Array = chosen.mean(axis=0, dtype=np.float64)
        return mean

    def resampled(self, weights: Array) -> Array:
        """Return the score (B,) of resamples, given by weights (B, N); each has its own best thresholds."""
        best = [(weights @ hits).max(axis=1) for hits in self.hits]  # whole numbers
        scores: Array = np.stack(best).mean(axis=0, dtype=np.float64) / len(self.curves)
        return scores


Score = MeanScore | MaxScore


def resampled_weights(images: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (B, N) float32 in parts: how often each of N images was drawn in each bootstrap resample.

    So all resamples of a score are one matrix product (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).
    """
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
