"""What erasing did: how much each classifier's map adds to those before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from acol.data.manifest import Image
from acol.localization.true_boxes import object_cells
from acol.metrics.quality import complementarity, object_share, overlap
from acol.recipe import Recipe

_CHUNK = 64  # images whose maps are compared at a time
_SHARE_TAU = 0.5  # the threshold of a region if the recipe has no delta


@dataclass(frozen=True)
class Erased:
    """A comparison of K classifiers' regions on N images: the parts where a map is above the recipe's lowest delta.

    `overlap` (N,): the mean IoU over pairs of classifiers, 0 for a single one. `added` (K, N): the new part of each
    region, as a share of all found so far. `shares` (K, N): the share of the object that each region covers; None if
    not every image has boxes. See `acol.metrics.quality`.
    """

    overlap: np.ndarray
    added: np.ndarray
    shares: np.ndarray | None

    def rows(self) -> list[dict[str, float]]:
        """Return each classifier's means, ready for JSON."""
        rows = [{"added": float(added.mean())} for added in self.added]
        if self.shares is not None:
            for row, share in zip(rows, self.shares, strict=True):
                row["object_share"] = float(share.mean())
        return rows


def compare_classifiers(cams: np.ndarray, images: Sequence[Image], recipe: Recipe) -> Erased:
    """Compare the maps (K, N, h, w) in [0, 1] of a recipe's classifiers."""
    boxed = bool(images) and all(image.boxes for image in images)
    delta = min(recipe.deltas, default=_SHARE_TAU)
    overlaps, added, shares = [], [], []
    for start in range(0, len(images), _CHUNK):
        some, part = images[start : start + _CHUNK], cams[:, start : start + _CHUNK]
        overlaps.append(_mean_overlap(part, delta))
        added.append(complementarity(part, delta))
        if boxed:
            objects = np.stack([object_cells(image, part.shape[-2:]) for image in some])
            shares.append(object_share(part, objects, delta))
    return Erased(
        np.concatenate(overlaps),
        np.concatenate(added, axis=1),
        np.concatenate(shares, axis=1) if shares else None,
    )


def _mean_overlap(cams: np.ndarray, delta: float) -> np.ndarray:
    pairs = list(combinations(range(len(cams)), 2))
    if not pairs:
        return np.zeros(cams.shape[1])
    iou = overlap(cams, delta)
    return np.asarray(np.mean([iou[a, b] for a, b in pairs], axis=0))
