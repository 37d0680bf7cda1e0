"""K classifiers' maps together: their fusion, and what was erased before each classifier."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from acol.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

Maps = TypeVar("Maps", npt.NDArray[np.floating], "Tensor")


def fused(cams: Maps, recipe: Recipe) -> Maps:
    """Element-wise maximum of the `p` classifiers' maps: (K, ...) -> (...) (Zhang et al. 2018, section 3.3).

    An `n` classifier's map never counts. `cams` are an array or a tensor.
    """
    chosen = cams[list(recipe.complementary)]
    return np.asarray(chosen.max(axis=0)) if isinstance(chosen, np.ndarray) else chosen.amax(0)


def erased_before(cams: npt.NDArray[np.floating], deltas: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Where features were erased before each of K classifiers: (K, h, w), the union of CAM > delta over earlier ones.

    cams (K, h, w) in [0, 1], deltas K-1 thresholds (Zhang et al. 2018, section 3.3). The first has no erased features.
    """
    taken = np.zeros(cams.shape, dtype=bool)
    for step, delta in enumerate(deltas):
        taken[step + 1] = taken[step] | (cams[step] > delta)
    return taken
