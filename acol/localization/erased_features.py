"""Which features were erased before each classifier. The file is apart so that pictures depend on no score."""

from collections.abc import Sequence

import numpy as np


def erased_before(cams: np.ndarray, deltas: Sequence[float]) -> np.ndarray:
    """Return where features were erased before each of K classifiers, (K, h, w) bool.

    This is the union of CAM > delta over the earlier classifiers (Zhang et al. 2018, section 3.3); before the first,
    nothing is erased. `cams` (K, h, w) are in [0, 1], `deltas` the K-1 thresholds.
    """
    erased = np.zeros(cams.shape, dtype=bool)
    for step, delta in enumerate(deltas):
        erased[step + 1] = erased[step] | (cams[step] > delta)
    return erased
