"""Are the probabilities right? Calibration error, and what mends it as far as the validation images can show."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array

if TYPE_CHECKING:
    from acol.metrics.intervals import Interval  # imports scipy, which a served model does without

BINS = 15
SHOWN = 0.1  # probabilities count as calibrated if the validation images show an error of at most that
_RANGE = (0.05, 20.0)  # of temperatures
_LEAST = 1e-3  # of a share: a model whose answers are wrong still names its likeliest class


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities: softmax of logits / `temperature`, mixed with even ones up to `most`.

    `most` in (0, 1] is the largest probability that the `images` validation images support. `calibrated`: whether they
    show that the probabilities are right within `SHOWN`. The default leaves the network's own probabilities.

    >>> Calibration(most=0.68).bounded(np.array([0.9, 0.1])).round(2)
    array([0.64, 0.36])
    """

    temperature: float = 1.0
    most: float = 1.0
    images: int = 0
    calibrated: bool = False

    def bounded(self, softmax: Any) -> Any:
        """Mix the softmax (..., C) of logits / `temperature`, of numpy or torch; the order of the classes stays."""
        even = 1 / softmax.shape[-1]
        share = max((self.most - even) / (1 - even), _LEAST) if even < 1 else 1.0
        return share * softmax + (1 - share) * even


def calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> "Interval":
    """Return the expected calibration error in [0, 1] of N answers with its interval (Guo et al. 2017, equation 3).

    `probabilities` (N,) in [0, 1] are those of the classes named, `correct` (N,) says which were right. Answers are put
    into `BINS` equal ranges of probability; the error is the mean distance between probability and share of right ones.
    0 is best. Few answers in a range make it too large; the bootstrap says by how much. The interval is Student's
    around the error less that, and no narrower than Wilson's of the share of right answers.

    Raises `InputError` without answers, or for unequal lengths.

    >>> calibration_error([0.9, 0.9], [True, False]).value
    0.4
    """
    from acol.metrics.intervals import Interval, student_quantile, wilson
    from acol.metrics.scored import resampled_weights

    confidence, right = as_array(probabilities).astype(np.float64), as_array(correct).astype(np.float64)
    if confidence.shape != right.shape or confidence.size == 0:
        raise InputError(f"probabilities: shape {confidence.shape} for answers of {right.shape}; give one for each")
    count, place = len(right), np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.zeros((count, BINS))
    gaps[np.arange(count), place] = right - confidence
    value = float(np.abs(gaps.sum(axis=0)).sum() / count)
    drawn = np.concatenate([np.abs(w @ gaps).sum(axis=1) / count for w in resampled_weights(count, resamples, seed)])
    share = wilson(float(right.mean()), count, level)
    half = max(student_quantile(count, level) * float(drawn.std()), share.value - share.low, share.high - share.value)
    centre = 2 * value - float(drawn.mean())
    return Interval(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def fit_calibration(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Return the calibration by which labels (N,) of validation images with logits (N, C) are likeliest.

    It changes no answer, only how sure the probabilities are. Their largest is Wilson's lower end of the share of right
    answers among the surest k images, for the k that supports most: of 8 images that are all right 0.68. The
    temperature (section 4.2) is in [0.05, 20]; its logarithm has a standard normal prior, so that images which are all
    right, and would be likeliest at 0, leave it near 1. Without images it is the default.

    >>> found = fit_calibration([[9.0, 0.0]] * 8, [0] * 8)  # eight of eight are right
    >>> round(found.most, 2), found.images
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
    surest = correct[np.argsort(-softmax(x, axis=1).max(axis=1), kind="stable")]
    ends = np.flatnonzero(surest & ~np.append(surest[1:], False)) + 1  # of rows of right answers: others support less
    most = max((wilson(float(surest[:k].mean()), k).low for k in ends.tolist()), default=0.0)

    def probabilities(log_temperature: float) -> Array:
        found: Array = Calibration(most=most).bounded(softmax(x / np.exp(log_temperature), axis=1))
        return found

    def loss(log_temperature: float) -> float:
        of_truth = probabilities(log_temperature)[np.arange(count), truth]
        return float(log_temperature**2 / 2 - np.log(np.maximum(of_truth, 1e-300)).sum())

    best = float(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x)
    shown = calibration_error(probabilities(best).max(axis=1), correct).high <= SHOWN
    return Calibration(float(np.exp(best)), most, count, shown)
