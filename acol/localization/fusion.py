"""What was erased before each of K classifiers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def erased_before(cams: npt.NDArray[np.floating], deltas: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Where features were erased before each of K classifiers: (K, h, w), the union of CAM > delta over earlier ones.

    cams (K, h, w) in [0, 1], deltas K-1 thresholds (Zhang et al. 2018, section 3.3). The first has no erased features.
    """
    taken = np.zeros(cams.shape, dtype=bool)
    for step, delta in enumerate(deltas):
        taken[step + 1] = taken[step] | (cams[step] > delta)
    return taken
