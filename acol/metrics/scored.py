"""A score of N images and the contribution of each image to it, for intervals and comparisons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from acol.metrics.arrays import Array, finite_values
from acol.metrics.boxes import IOU

CHUNK = 2**23  # the number of weights that are drawn at a time, which limits the memory


@dataclass(frozen=True, eq=False)
class MeanScore:
    """A score that is the mean of one value per image.

    Args:
        values: (N,), 0 or 1, or floats.
        shares: whether the values of this score are always in [0, 1] (default: False). It is not needed for values that
            are all 0 or 1.

    Raises `InputError` if there are no values, and for a value that is not finite.

    >>> MeanScore(np.array([1, 0, 1, 1])).value
    0.75
    """

    values: Array
    shares: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", finite_values(self.values, "values", 1))

    @property
    def value(self) -> float:
        """The score."""
        return float(self.values.mean())

    @property
    def contributions(self) -> Array:
        """The contributions of the images (N,), whose mean is the score."""
        return self.values

    @property
    def is_proportion(self) -> bool:
        """Whether every value is 0 or 1."""
        return bool(np.isin(self.values, (0, 1)).all())


@dataclass(frozen=True, eq=False)
class MaxScore:
    """The score MaxBoxAccV2: the mean over IoU thresholds of the accuracy at the best of T taus.

    Args:
        curves: (N, T), the IoU of each image at each tau, of `box_iou_curves`.
        iou: IoU thresholds in (0, 1] (default: 0.3, 0.5, 0.7). With (0.5,), and curves of the largest contours, the
            score is MaxBoxAcc.

    Raises `InputError` if there are no images, and for values that are not finite.

    >>> MaxScore(np.array([[0.2, 0.6], [0.4, 0.3]]), iou=(0.5,)).value
    0.5
    """

    curves: Array
    iou: Sequence[float] = IOU

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", finite_values(self.curves, "curves", 2))

    @cached_property
    def hits(self) -> Array:
        """Whether the box of each image is right at each tau: (len(iou), N, T), 0 or 1."""
        return np.stack([self.curves >= threshold for threshold in self.iou]).astype(np.float32)

    @property
    def value(self) -> float:
        """The score."""
        return float(self.contributions.mean())

    @cached_property
    def contributions(self) -> Array:
        """The contributions of the images (N,) at the taus that are best for all; their mean is the score."""
        best = self.hits.sum(axis=1).argmax(axis=1)
        chosen = np.stack([hits[:, tau] for hits, tau in zip(self.hits, best, strict=True)])
        mean: Array = chosen.mean(axis=0, dtype=np.float64)
        return mean

    def resampled(self, weights: Array) -> Array:
        """Return the scores (B,) of resamples, given by weights (B, N); each resample has its own best taus."""
        best = [(weights @ hits).max(axis=1) for hits in self.hits]  # whole numbers, so float32 is exact
        scores: Array = np.stack(best).mean(axis=0, dtype=np.float64) / len(self.curves)
        return scores


Score = MeanScore | MaxScore


def resampled_weights(images: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield, in parts (B, N) float32, how often each of N images was drawn in each bootstrap resample.

    With these weights the scores of all resamples are one matrix product (Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993).
    """
    part = max(1, CHUNK // images)
    if resamples <= part:
        yield _single_part(images, resamples, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, part):
        yield _draw(rng, images, min(part, resamples - start))


@lru_cache(maxsize=1)  # an evaluation needs the same weights about twenty times
def _single_part(images: int, resamples: int, seed: int) -> Array:
    return _draw(np.random.default_rng(seed), images, resamples)


def _draw(rng: np.random.Generator, images: int, resamples: int) -> Array:
    """Draw `images` images with replacement for each resample; return how often each was drawn."""
    drawn = rng.integers(0, images, (resamples, images)) + images * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float32)
