"""Are the probabilities right? Calibration error, and the temperature that mends it (Guo et al., ICML 2017)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from acol.errors import InputError
from acol.metrics.arrays import as_array

BINS = 15
_RANGE = (0.05, 20.0)  # of temperatures: with few images the best one may be 0 or infinite


def calibration_error(probabilities: ArrayLike, correct: ArrayLike) -> float:
    """Return the expected calibration error in [0, 1] of N answers: 0 is best (section 2, equation 3).

    `probabilities` (N,) in [0, 1] are those of the classes named, `correct` (N,) says which were right. Answers are put
    into `BINS` equal ranges of probability; the error is the mean distance between probability and share of right ones.

    Raises `InputError` without answers, or for unequal lengths.
    """
    confidence, right = as_array(probabilities).astype(np.float64), as_array(correct).astype(np.float64)
    if confidence.shape != right.shape or confidence.size == 0:
        raise InputError(f"probabilities: shape {confidence.shape} for answers of {right.shape}; give one for each")
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(place, right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(right))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature by which logits (N, C) are divided so that labels (N,) are likeliest (section 4.2).

    In [0.05, 20]; 1 without images. It changes no answer, only how sure the probabilities are.
    """
    x, truth = as_array(logits).astype(np.float64), as_array(labels).astype(np.int64)
    if not len(x):
        return 1.0

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(x / np.exp(log_temperature), axis=1)[np.arange(len(x)), truth].mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x))
