"""What erasing did: how much each classifier's map adds to those before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acol.data.manifest import Image
from acol.localization.regions import object_cells
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
        columns = {"added": self.added} | ({} if self.shares is None else {"object_share": self.shares})
        return [{name: float(values[k].mean()) for name, values in columns.items()} for k in range(len(self.added))]


def compare_classifiers(cams: np.ndarray, images: Sequence[Image], recipe: Recipe) -> Erased:
    """Compare the maps (K, N, h, w) in [0, 1] of a recipe's classifiers."""
    delta, pairs = min(recipe.deltas, default=_SHARE_TAU), np.triu_indices(len(cams), 1)
    overlaps, added, shares = [], [], []
    for start in range(0, len(images), _CHUNK):
        some, part = images[start : start + _CHUNK], cams[:, start : start + _CHUNK]
        overlaps.append(overlap(part, delta)[pairs].mean(axis=0) if len(cams) > 1 else np.zeros(len(some)))
        added.append(complementarity(part, delta))
        if all(image.boxes for image in images):
            objects = np.stack([object_cells(image, part.shape[-2:]) for image in some])
            shares.append(object_share(part, objects, delta))
    joined = np.concatenate(shares, axis=1) if shares else None
    return Erased(np.concatenate(overlaps), np.concatenate(added, axis=1), joined)
