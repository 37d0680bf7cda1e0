"""The effect of erasing: how much the map of each classifier adds to those before it.

The erasing itself is in `acol.network.model`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acol.data.manifest import Image
from acol.localization.regions import object_positions
from acol.metrics.quality import complementarity, object_share, overlap
from acol.recipe import Recipe

_CHUNK = 64  # the number of images whose maps are compared at a time
_SHARE_TAU = 0.5  # the threshold of a region if the recipe has no delta


@dataclass(frozen=True)
class Erased:
    """A comparison of the regions of K classifiers on N images, by `acol.metrics.quality`.

    A region is where a map is above the smallest delta of the recipe.
    """

    overlap: np.ndarray  # (N,), the mean IoU over pairs of classifiers, 0 for a single one
    added: np.ndarray  # (K, N), the new part of each region, as a share of the union of the regions up to it
    # (K, N), the share of the object that each region covers; NaN for an image without boxes, None if none has some
    shares: np.ndarray | None

    def rows(self) -> list[dict[str, float]]:
        """Return the means of each classifier, ready for JSON."""
        columns = {"added": self.added} | ({} if self.shares is None else {"object_share": self.shares})
        return [
            {name: float(values[k][~np.isnan(values[k])].mean()) for name, values in columns.items()}
            for k in range(len(self.added))
        ]


def compare_classifiers(cams: np.ndarray, images: Sequence[Image], recipe: Recipe) -> Erased:
    """Compare the maps (K, N, h, w) in [0, 1] of the classifiers of a recipe on N images."""
    delta, pairs = min(recipe.deltas, default=_SHARE_TAU), np.triu_indices(len(cams), 1)
    overlaps, added, shares = [], [], []
    for start in range(0, len(images), _CHUNK):
        part_images, part = images[start : start + _CHUNK], cams[:, start : start + _CHUNK]
        overlaps.append(overlap(part, delta)[pairs].mean(axis=0) if len(cams) > 1 else np.zeros(len(part_images)))
        added.append(complementarity(part, delta))
        boxed = np.array([bool(image.boxes) for image in part_images])
        shares.append(np.full(added[-1].shape, np.nan))
        if boxed.any():
            objects = np.stack([object_positions(image, part.shape[-2:]) for image in part_images if image.boxes])
            shares[-1][:, boxed] = object_share(part[:, boxed], objects, delta)
    covered = np.concatenate(shares, axis=1)
    return Erased(np.concatenate(overlaps), np.concatenate(added, axis=1), None if np.isnan(covered).all() else covered)
