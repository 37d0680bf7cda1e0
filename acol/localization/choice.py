"""The choice of the map: on validation images, by their boxes or masks, or without any.

docs/localization.md says how much the rules gained, and on which images their constants were chosen.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acol.data.manifest import Image
from acol.data.mask_values import MaskValues
from acol.localization.fusion import CAM, MAPS, possible, upsample
from acol.localization.inference import SplitOutputs
from acol.localization.map_scores import mask_counts
from acol.localization.maps import FusedMaps
from acol.localization.regions import true_boxes
from acol.metrics import box_iou_curves
from acol.metrics.comparison import compare
from acol.metrics.pxap import pxap_of
from acol.metrics.scored import MaxScore, MeanScore
from acol.network.feature_norms import MIDDLE, NORM
from acol.recipe import Recipe

# Without boxes, features of earlier blocks are trusted if the mean of `middle` is below FILLS times that of the CAM,
# and if its correlation with the CAM is above CORRELATION.
FILLS = 1.1
CORRELATION = 0.35
LEAST = 10  # images, or images with boxes or masks: with fewer, nothing is chosen by them
MOST = 100  # images with boxes or masks that are used: more take time, and choose the same
STANDARD_ERRORS = 1.0  # how much better than the map chosen without boxes another must be
TRUSTED, CAREFUL = "cam+early+middle+late", "cam+0.25late+0.25norm"
# The score of a map by each kind of truth. Boxes are used if there are enough of them, else masks.
SCORES = {"boxes": "max_box_acc_v2", "masks": "mean_pxap"}


@dataclass(frozen=True)
class Choice:
    """The chosen map, and how it was chosen."""

    name: str  # of the map
    by: str  # "setting", "boxes", "masks", "sources" (`without_boxes`) or "default" (there were too few images)
    images: int = 0  # the number of images that were used
    # Those of `without_boxes`; None if it was not used
    fills: float | None = None
    correlation: float | None = None


PLAIN = Choice(CAM, "default")


def without_boxes(cam: np.ndarray, middle: np.ndarray) -> Choice:
    """Choose between the maps TRUSTED and CAREFUL without boxes or masks.

    If the features before the last block fill no more of the image than the CAM, and lie where it lies, they show the
    whole object, and get the full weight. Otherwise they show texture and background as well. Then the CAM is combined
    only with the features of the last block, with a small weight.

    `cam`, the maps of the first classifier, and `middle`, the source of this name, are (N, h, w) in [0, 1].
    """
    flat = [maps.reshape(len(maps), -1).astype(float) for maps in (cam, middle)]
    total = flat[0].mean()
    fills = float(flat[1].mean() / total) if total else float("inf")
    a, b = (maps - maps.mean(axis=1, keepdims=True) for maps in flat)
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    # A flat map has no correlation; it counts as 0.
    correlation = float(np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0).mean())
    name = TRUSTED if fills < FILLS and correlation > CORRELATION else CAREFUL
    return Choice(name, "sources", len(cam), fills if np.isfinite(fills) else None, correlation)


def surely_better(values: Mapping[str, np.ndarray], reference: str) -> str:
    """Return the best map by boxes or masks, if it is clearly better than the `reference`; else the reference.

    `values` are, by the name of a map, the contributions of N images (N,) to its score. A map is clearly better if its
    mean difference is larger than `STANDARD_ERRORS` standard errors. With fewer than `LEAST` images none is.
    """
    reference_values = values[reference]
    count = len(reference_values)
    if count < LEAST:
        return reference
    gains = {name: values[name] - reference_values for name in MAPS if name in values and name != NORM}
    better = {
        name: float(gain.mean())
        for name, gain in gains.items()
        # If only one image gains, its gain is exactly one standard error: rounding must not make it more.
        if gain.mean() > (STANDARD_ERRORS + 1e-9) * gain.std(ddof=1) / count**0.5
    }
    return max(better, key=better.__getitem__, default=reference)


def choose(
    outputs: SplitOutputs, recipe: Recipe, images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> Choice:
    """Choose the map of a cell on N validation images.

    If enough of them have boxes, it is chosen by MaxBoxAccV2; else, if enough have masks, by the mean of the PxAP of
    the single images; else by `without_boxes`. With too few images it is CAREFUL, and plain CAM for a backbone without
    features of several depths.

    `images` have their boxes or masks if there are some. Mask files are in `root`; `mask_values` says what their values
    mean.
    """
    sources = outputs.sources(recipe)
    names = [name for name in possible(sources) if name != NORM]
    if CAREFUL not in names:
        return PLAIN
    if len(images) < LEAST:
        return Choice(CAREFUL, "default")
    middle = sources[MIDDLE]
    # The CAM of the first classifier alone: erasing makes the fused one wider.
    first = upsample(torch.from_numpy(outputs.cams[0]), (middle.shape[-2], middle.shape[-1]))
    choice = without_boxes(first.numpy(), middle.numpy())
    if (values := values_of(sources, images, names, root, mask_values, least=LEAST, most=MOST)) is None:
        return choice
    return replace(choice, name=surely_better(values.by_name, choice.name), by=values.by, images=len(values.indices))


@dataclass(frozen=True)
class MapValues:
    """The contributions of B images to the score of each map: to MaxBoxAccV2 by boxes, or their PxAP by masks."""

    by: str  # "boxes" or "masks"
    indices: list[int]  # of the B images
    by_name: Mapping[str, np.ndarray]  # the contributions (B,) by the name of the map

    def table(self) -> dict[str, dict[str, Any]]:
        """Return the score of each map, and its gain over plain CAM on the same images with a 95 % interval."""
        rows: dict[str, dict[str, Any]] = {}
        for name, values in self.by_name.items():
            rows[name] = {SCORES[self.by]: float(values.mean())}
            if name != CAM:
                gain = compare([MeanScore(values, shares=True)], [MeanScore(self.by_name[CAM], shares=True)])
                rows[name] |= {"gain": gain.difference, "interval": [gain.low, gain.high]}
        return rows


def values_of(
    sources: Mapping[str, Tensor],
    images: Sequence[Image],
    names: Sequence[str],
    root: Path,
    mask_values: MaskValues | None = None,
    *,
    least: int = 1,
    most: int = sys.maxsize,
    curves: Mapping[str, np.ndarray] | None = None,
) -> MapValues | None:
    """Return the contributions of the images with boxes to the scores of maps, or of those with masks.

    Args:
        sources, images: the sources (N, h, w) by name, and the N images.
        names: of the maps.
        root, mask_values: the folder of the mask files, and what their values mean.
        least: masks are used if fewer images than this have boxes; the result is None if fewer have masks, too.
        most: of more images than this, only every second, third, ... is used.
        curves: the IoU curves that are already known, by the name of a map.
    """
    boxed = [n for n, image in enumerate(images) if image.boxes]
    masked = [n for n, image in enumerate(images) if image.masked]
    by, indices = ("boxes", boxed) if len(boxed) >= least else ("masks", masked)
    if len(indices) < least:
        return None
    indices = indices[:: -(-len(indices) // most)]
    used, used_sources = [images[n] for n in indices], {name: maps[indices] for name, maps in sources.items()}
    if by == "masks":
        counts = {name: mask_counts(FusedMaps(used_sources, name), used, root, mask_values) for name in names}
        return MapValues(by, indices, {name: pxap_of(of_map) for name, of_map in counts.items()})
    known = dict(curves or {})
    known |= curves_of(used_sources, used, [name for name in names if name not in known])
    return MapValues(by, indices, {name: MaxScore(known[name]).contributions for name in names})


def curves_of(sources: Mapping[str, Tensor], images: Sequence[Image], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return for each named map the best IoU of all contours at each tau (N, T), for N images with boxes."""
    truths = iter([true_boxes(image) for image in images] * len(names))
    return {
        name: np.concatenate([box_iou_curves(part, [next(truths) for _ in part]) for part in FusedMaps(sources, name)])
        for name in names
    }
