"""A score of N images together with what each image contributes to it, for intervals and comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array
from acol.metrics.boxes import IOU


@dataclass(frozen=True, eq=False)
class MeanScore:
    """The mean of per-image `values` (N,), 0/1 or floats. Raises `InputError` without values, or for one not finite.

    >>> MeanScore(np.array([1, 0, 1, 1])).value
    0.75
    """

    values: Array

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


def finite(values: ArrayLike, name: str, dimensions: int) -> Array:
    """Return values as float64. Raises `InputError` without values, for another shape, or for one not finite."""
    x = as_array(values).astype(np.float64)
    if x.size == 0 or x.ndim != dimensions:
        raise InputError(f"{name}: have shape {x.shape}; give the values of at least one image, images first")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: hold a value that is not finite; leave out images without a value")
    return x
