"""What K classifiers' maps say together: their fusion, and what each one's predecessors erased before it looked."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from acol.recipe import Recipe


def fused(cams: npt.NDArray[np.floating], recipe: Recipe) -> npt.NDArray[np.floating]:
    """Element-wise maximum of the `p` classifiers' maps: (K, ...) -> (...) (Zhang et al. 2018, section 3.3)."""
    return np.asarray(cams[list(recipe.complementary)].max(axis=0))


def erased_before(cams: npt.NDArray[np.floating], deltas: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Where each of K classifiers found features erased: (K, h, w), the union over its predecessors of CAM > delta.

    cams (K, h, w) in [0, 1], deltas K-1 thresholds (Zhang et al. 2018, section 3.3). The first finds all.
    """
    taken = np.zeros(cams.shape, dtype=bool)
    for step, delta in enumerate(deltas):
        taken[step + 1] = taken[step] | (cams[step] > delta)
    return taken
