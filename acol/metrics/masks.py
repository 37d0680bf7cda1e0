"""Localization against masks: PxAP and the pIoU curve, from two histograms of pixel scores.

Choe et al., Evaluating weakly supervised object localization methods right (CVPR 2020), section 4.1 (PxAP). All pixels
of the data set are pooled. As in wsolevaluation, scores are binned at the thresholds 0, 1/T, ..., so that memory does
not grow with the data; PxAP is then exactly the average precision of the scores rounded down to their bins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.boxes import as_array, taus_of

Array = np.ndarray[Any, Any]
BACKGROUND, OBJECT, IGNORED = 0, 1, 255  # a mask's values


@dataclass(frozen=True)
class MaskResult:
    """Scores in [0, 1] over pooled pixels; curves are (T,) over `taus`, where a pixel counts as found at score >= tau.

    `pxap`: area under the precision-recall curve. `piou`: IoU of the found pixels and the objects'. `peak_piou` is its
    maximum, `best_tau` the tau of it.
    """

    pxap: float
    peak_piou: float
    best_tau: float
    piou: Array
    precision: Array
    recall: Array
    taus: Array


def _pxap_update(score_maps: Array, masks: Array, taus: Array) -> Array:
    """Count the pixels of maps (N, H, W) by score and truth -> (2, T): background, object."""
    edges = np.append(taus, np.inf)
    bins = np.minimum((score_maps * len(taus)).astype(np.int64), len(taus) - 1)
    bins -= edges[bins] > score_maps  # multiplying rounds, and the edges themselves are rounded
    bins += edges[bins + 1] <= score_maps
    return np.stack([np.bincount(bins[masks == value], minlength=len(taus)) for value in (BACKGROUND, OBJECT)])


def _pxap_compute(counts: Array, taus: Array) -> MaskResult:
    false, true = counts[:, ::-1].cumsum(axis=1)  # found at score >= tau, from the highest tau down
    objects = true[-1]
    if objects == 0:
        raise InputError("PxAP: no object pixel yet; call update with masks that hold the value 1")
    precision = true / np.maximum(true + false, 1)
    recall = true / objects
    piou = (true / (objects + false))[::-1]
    return MaskResult(
        pxap=float((precision * np.diff(recall, prepend=0)).sum()),
        peak_piou=float(piou.max()),
        best_tau=float(taus[piou.argmax()]),
        piou=piou,
        precision=precision[::-1],
        recall=recall[::-1],
        taus=taus,
    )


class PxAP:
    """Pixel average precision of localization maps, and the pIoU curve."""

    def __init__(self, thresholds: int = 1000) -> None:
        self.taus = taus_of(thresholds)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.counts = np.zeros((2, len(self.taus)), np.int64)

    def update(self, score_maps: ArrayLike, masks: ArrayLike) -> None:
        """Add images: `score_maps` (N, H, W) in [0, 1]; `masks` (N, H, W) of 0, 1 (object) and 255 (ignored).

        Raises `InputError` for unequal shapes, maps outside [0, 1] and other mask values.
        """
        maps, truth = as_array(score_maps).astype(np.float64), as_array(masks)
        if maps.ndim != 3 or maps.shape != truth.shape:
            raise InputError(f"masks: shape {truth.shape} for maps of {maps.shape}; both are (images, height, width)")
        if maps.size == 0:
            return
        if not (maps.min() >= 0 and maps.max() <= 1):
            raise InputError(
                f"score_maps: values from {maps.min():.4g} to {maps.max():.4g}; min-max normalise maps to [0, 1]"
            )
        if not np.isin(truth, (BACKGROUND, OBJECT, IGNORED)).all():
            raise InputError("masks: hold values other than 0 (background), 1 (object) and 255 (ignored); convert them")
        for score_map, mask in zip(maps, truth, strict=True):
            self.counts += _pxap_update(score_map, mask, self.taus)

    def compute(self) -> MaskResult:
        """Return PxAP and the curves over all images so far. Raises `InputError` without an object pixel."""
        return _pxap_compute(self.counts, self.taus)
