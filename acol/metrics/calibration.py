"""Whether probabilities are right: the calibration error, and a calibration that is fitted to validation images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array

if TYPE_CHECKING:
    from acol.metrics.intervals import Interval  # imports SciPy, which a served model does not need

BINS = 15
TOLERANCE = 0.1  # probabilities count as calibrated if the upper end of the error's interval is at most this
_RANGE = (0.05, 20.0)  # of temperatures
_LEAST_SHARE = 1e-3  # of the softmax in the mixture, so that the order of the classes always stays


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities: the softmax of logits / `temperature` is mixed with equal probabilities.

    The defaults leave the softmax of the logits as it is.

    Args:
        temperature: above 0 (default: 1).
        most: in (0, 1] (default: 1), the largest probability that the validation images support. The mixture is such
            that no probability is larger.
        images: the number of validation images (default: 0).
        calibrated: whether these show that the probabilities are right within `TOLERANCE` (default: False).

    >>> Calibration(most=0.68).bounded(np.array([0.9, 0.1])).round(2)
    array([0.64, 0.36])
    """

    temperature: float = 1.0
    most: float = 1.0
    images: int = 0
    calibrated: bool = False

    def bounded(self, softmax: Any) -> Any:
        """Return the mixture for the softmax (..., C) of logits / `temperature`, an array of NumPy or torch."""
        equal = 1 / softmax.shape[-1]
        share = max((self.most - equal) / (1 - equal), _LEAST_SHARE) if equal < 1 else 1.0
        return share * softmax + (1 - share) * equal


def calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> "Interval":
    """Return the expected calibration error of N answers, in [0, 1], with its interval (Guo et al. 2017, equation 3).

    Answers are put into `BINS` equal ranges of probability. The error is the mean distance between the probability and
    the share of right answers in a range; 0 is best. It is too large if a range has few answers, and the bootstrap
    estimates by how much. The interval is Student's around the error without this bias, and at least as wide as
    Wilson's interval of the share of right answers.

    Args:
        probabilities: (N,) in [0, 1], those of the predicted classes.
        correct: (N,) bool, whether the predictions are right.
        level: of the interval, in (0, 1) (default: 0.95).
        resamples, seed: how many bootstrap resamples are drawn (default: 1000), and their seed.

    Raises `InputError` if there are no answers, or for unequal lengths.

    >>> calibration_error([0.9, 0.9], [True, False]).value
    0.4
    """
    from acol.metrics.intervals import Interval, student_quantile, wilson
    from acol.metrics.scored import resampled_weights

    confidence, right = as_array(probabilities).astype(np.float64), as_array(correct).astype(np.float64)
    if confidence.shape != right.shape or confidence.size == 0:
        raise InputError(f"probabilities: shape {confidence.shape} for answers of {right.shape}; give one for each")
    count, bins = len(right), np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.zeros((count, BINS))
    gaps[np.arange(count), bins] = right - confidence
    value = float(np.abs(gaps.sum(axis=0)).sum() / count)
    drawn = np.concatenate([np.abs(w @ gaps).sum(axis=1) / count for w in resampled_weights(count, resamples, seed)])
    # The mean of the resamples exceeds the error by its bias; remove this from the centre of the interval.
    share = wilson(float(right.mean()), count, level)
    half = max(student_quantile(count, level) * float(drawn.std()), share.value - share.low, share.high - share.value)
    centre = 2 * value - float(drawn.mean())
    return Interval(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def fit_calibration(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Return the calibration with which the labels of validation images are most likely.

    It changes no prediction, only how large the probabilities are. The largest one, `most`, is the lower end of
    Wilson's interval of the share of right answers among the k images with the highest probabilities; k is chosen so
    that this is largest. With 8 images that are all right it is 0.68. The temperature (Guo et al. 2017, section 4.2) is
    in [0.05, 20]. Its logarithm has a standard normal prior. If all images are right, the most likely temperature would
    be 0 without the prior, which keeps it near 1.

    Args:
        logits: (N, C) of the first classifier; N may be 0, which gives the default calibration.
        labels: (N,) whole numbers in [0, C).

    >>> calibration = fit_calibration([[9.0, 0.0]] * 8, [0] * 8)  # eight of eight are right
    >>> round(calibration.most, 2), calibration.images
    (0.68, 8)
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    from acol.metrics.intervals import wilson

    x, truth = as_array(logits).astype(np.float64), as_array(labels).astype(np.int64)
    count = len(x)
    if not count:
        return Calibration()
    correct = x.argmax(axis=1) == truth
    # Only the ends of runs of right answers need to be tried as k, since every other k supports less.
    surest = correct[np.argsort(-softmax(x, axis=1).max(axis=1), kind="stable")]
    ends = np.flatnonzero(surest & ~np.append(surest[1:], False)) + 1
    most = max((wilson(float(surest[:k].mean()), k).low for k in ends.tolist()), default=0.0)

    # The most likely temperature, with its prior.
    def probabilities(log_temperature: float) -> Array:
        bounded: Array = Calibration(most=most).bounded(softmax(x / np.exp(log_temperature), axis=1))
        return bounded

    def loss(log_temperature: float) -> float:
        label_probabilities = probabilities(log_temperature)[np.arange(count), truth]
        return float(log_temperature**2 / 2 - np.log(np.maximum(label_probabilities, 1e-300)).sum())

    best = float(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x)
    calibrated = calibration_error(probabilities(best).max(axis=1), correct).high <= TOLERANCE
    return Calibration(float(np.exp(best)), most, count, calibrated)
