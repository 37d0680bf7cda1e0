"""Localization scores from masks: PxAP and the pIoU curve, from two histograms of pixel scores.

The source is Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1. All
pixels of the data set are pooled. As in wsolevaluation, scores are binned at the thresholds 0, 1/T, ..., 1, so that
memory does not grow with the data. PxAP is then exactly the average precision of the scores rounded down to their bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array, check_range
from acol.metrics.curves import taus_of
from acol.metrics.intervals import Interval, corrected_interval
from acol.metrics.scored import resampled_weights

BACKGROUND, OBJECT, IGNORED = 0, 1, 255  # the values of a mask


@dataclass(frozen=True)
class MaskResult:
    """Scores in [0, 1] of all pixels together. At a tau, the predicted pixels are those with a score >= tau.

    Attributes:
        pxap: the area under the precision-recall curve.
        peak_piou: the maximum of `piou`.
        best_tau: the tau of this maximum; of equal ones the first.
        piou: (T + 1,), the IoU of the predicted pixels and the object pixels.
        precision, recall: (T + 1,).
        taus: (T + 1,), from 0 to 1.
    """

    pxap: float
    peak_piou: float
    best_tau: float
    piou: Array
    precision: Array
    recall: Array
    taus: Array


def pixel_counts(score_maps: ArrayLike, masks: ArrayLike, thresholds: int = 1000) -> Array:
    """Count the pixels of each image by truth and score; all scores from masks follow from sums of these counts.

    Args:
        score_maps: (N, H, W) in [0, 1].
        masks: (N, H, W) of 0 (background), 1 (object) and 255 (ignored).
        thresholds: the number T of bins below a score of 1, at least 1 (default: 1000).

    Returns (N, 2, T + 1) int64: background and object pixels by bin. The last bin has the scores of exactly 1.
    Raises `InputError` for unequal shapes, maps outside [0, 1] and other mask values.

    >>> pixel_counts(np.array([[[0.9, 0.1, 1.0]]]), np.array([[[1, 0, 1]]]), thresholds=2)
    array([[[1, 0, 0],
            [0, 1, 1]]])
    """
    maps, truth = as_array(score_maps).astype(np.float64), as_array(masks)
    taus = _edges(thresholds)
    if maps.ndim != 3 or maps.shape != truth.shape:
        raise InputError(f"masks: shape {truth.shape} for maps of {maps.shape}; both are (images, height, width)")
    check_range(maps, "score_maps")
    if not np.isin(truth, (BACKGROUND, OBJECT, IGNORED)).all():
        raise InputError("masks: hold values other than 0 (background), 1 (object) and 255 (ignored); convert them")
    counts = [_count(score_map, mask, taus) for score_map, mask in zip(maps, truth, strict=True)]
    return np.array(counts, np.int64).reshape(-1, 2, len(taus))


def pxap_of(counts: Array) -> Array:
    """Return PxAP (...) from `pixel_counts` (..., 2, T + 1), of single images or of a sum; 0 without an object pixel.

    >>> pxap_of(pixel_counts(np.array([[[0.9, 0.1]], [[0.9, 0.1]]]), np.array([[[1, 0]], [[0, 1]]]))).tolist()
    [1.0, 0.5]
    """
    return _scores(counts)[0]


def pixel_intervals(
    counts: Array, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[Interval, Interval]:
    """Return PxAP and the peak pIoU with their intervals over the images.

    Both are `acol.metrics.intervals.corrected_interval` with the spread of bootstrap resamples. Each resample chooses
    the threshold of its pIoU anew.

    Args:
        counts: (N, 2, T + 1), of `pixel_counts`.
        level: of the intervals, in (0, 1) (default: 0.95).
        resamples, seed: how many bootstrap resamples are drawn (default: 1000), and their seed.

    Raises `InputError` if there is no object pixel.

    >>> pxap, peak_piou = pixel_intervals(pixel_counts(np.array([[[0.9, 0.1]]]), np.array([[[1, 0]]])))
    >>> pxap.value, peak_piou.value
    (1.0, 1.0)
    """
    count, result = len(counts), _result(counts.sum(axis=0), _edges(counts.shape[-1] - 1))
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    drawn = []
    for weights in resampled_weights(count, resamples, seed):
        pxap, piou, *_ = _scores((weights @ flat).reshape(-1, *counts.shape[1:]))
        drawn.append([pxap, piou.max(axis=-1)])
    scores = zip((result.pxap, result.peak_piou), np.concatenate(drawn, axis=1), strict=True)
    pxap_interval, piou_interval = (
        corrected_interval(value, resampled, resampled.std() * np.sqrt(count), count, level)
        for value, resampled in scores
    )
    return pxap_interval, piou_interval


def _edges(thresholds: int) -> Array:
    return np.append(taus_of(thresholds), 1.0)


def _count(score_map: Array, mask: Array, taus: Array) -> Array:
    """Return the histograms of the scores of background and object pixels, (2, T + 1)."""
    edges = np.append(taus, np.inf)
    bins = (score_map * (len(taus) - 1)).astype(np.int64)
    # The product is rounded, and so are the edges: correct the bin by comparison.
    bins -= edges[bins] > score_map
    bins += edges[bins + 1] <= score_map
    return np.stack([np.bincount(bins[mask == value], minlength=len(taus)) for value in (BACKGROUND, OBJECT)])


def _scores(counts: Array) -> tuple[Array, Array, Array, Array]:
    """Return PxAP (...), and pIoU, precision and recall (..., T) from the highest tau down, of counts (..., 2, T)."""
    predicted = counts[..., ::-1].cumsum(axis=-1)  # with a score >= tau
    false, true = predicted[..., 0, :], predicted[..., 1, :]
    objects = np.maximum(true[..., -1:], 1)
    precision = true / np.maximum(true + false, 1)
    recall = true / objects
    pxap = (precision * np.diff(recall, prepend=0, axis=-1)).sum(axis=-1)
    return pxap, true / (objects + false), precision, recall


def _result(counts: Array, taus: Array) -> MaskResult:
    if counts[OBJECT].sum() == 0:
        raise InputError("PxAP: no object pixel; give at least one mask that holds the value 1")
    pxap, *curves = _scores(counts)
    piou, precision, recall = (curve[::-1] for curve in curves)
    return MaskResult(float(pxap), float(piou.max()), float(taus[piou.argmax()]), piou, precision, recall, taus)


class PxAP:
    """Pixel average precision of localization maps, and the pIoU curve, over all pixels of a data set.

    The source is Choe et al. (CVPR 2020, arXiv 2001.07437), section 4.1.

    Args:
        thresholds: the number T of bins of scores below 1, at least 1 (default: 1000).

    Raises `InputError` for another number of bins, and `update` as `pixel_counts`.

    >>> metric = PxAP()
    >>> metric.update(np.array([[[0.9, 0.6, 0.1]]]), np.array([[[1, 0, 255]]]))
    >>> metric.compute().pxap
    1.0
    """

    def __init__(self, thresholds: int = 1000) -> None:
        self.thresholds, self.taus = thresholds, _edges(thresholds)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.counts = np.zeros((2, len(self.taus)), np.int64)

    def update(self, score_maps: ArrayLike, masks: ArrayLike) -> None:
        """Add images; arguments and errors are those of `pixel_counts`."""
        self.update_counts(pixel_counts(score_maps, masks, self.thresholds))

    def update_counts(self, counts: Array) -> None:
        """Add images by their `pixel_counts` (N, 2, T + 1)."""
        self.counts += counts.sum(axis=0)

    def compute(self) -> MaskResult:
        """Return PxAP and the curves over all images so far. Raises `InputError` if there is no object pixel."""
        return _result(self.counts, self.taus)
