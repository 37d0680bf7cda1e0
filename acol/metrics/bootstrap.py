"""The bootstrap: which images a resample holds (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).

A resample of N images is a vector of weights that counts how often each was drawn. So all resamples of a score are one
matrix product.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from acol.metrics.arrays import Array

CHUNK = 2**23  # weights drawn at a time: bounds the memory


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
