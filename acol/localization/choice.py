"""Which map fits some images: chosen on validation images, with their boxes or masks, or without any.

docs/localization.md says what the rules gained, and on which images their constants were found.
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
from acol.localization.evidence import CAM, MAPS, possible, upsample
from acol.localization.inference import SplitOutputs
from acol.localization.located import mask_counts
from acol.localization.maps import FusedMaps
from acol.localization.regions import true_boxes
from acol.metrics import box_iou_curves
from acol.metrics.comparison import compare
from acol.metrics.pxap import pxap_of
from acol.metrics.scored import MaxScore, MeanScore
from acol.network.feature_norms import MIDDLE, NORM
from acol.recipe import Recipe

FILLS = 1.1  # the earlier features are trusted if they fill less than this of what the CAM fills,
CORRELATION = 0.35  # and if they are, by more than this, where the CAM is
LEAST = 10  # images, or images with boxes or masks: fewer choose nothing
MOST = 100  # of them choose: more cost time, and choose the same
STANDARD_ERRORS = 1.0  # by which a map must be better than the one that is chosen without boxes
TRUSTED, CAREFUL = "cam+early+middle+late", "cam+0.25late+0.25norm"
# By what a map is scored, and the score to which each image that has it contributes; what is named first decides.
SCORES = {"boxes": "max_box_acc_v2", "masks": "mean_pxap"}


@dataclass(frozen=True)
class Choice:
    """The chosen map, and why.

    `by` is "setting", "boxes", "masks", "sources" (of images without either) or "default" (too few images); `images` is
    how many images chose.
    `fills` and `correlation` are those of `without_boxes`.
    """

    name: str
    by: str
    images: int = 0
    fills: float | None = None
    correlation: float | None = None


PLAIN = Choice(CAM, "default")


def without_boxes(cam: np.ndarray, middle: np.ndarray) -> Choice:
    """Choose between two maps by the first classifier's CAM and the source `middle` of N images, without any truth.

    Both are (N, h, w) in [0, 1]. Where the features before the last block fill no more of the image than the CAM, and
    are where it is, they show the object whole, and count fully. Elsewhere they show texture and clutter as well; then
    the CAM has only a little of the last block's beside it.
    """
    flat = [maps.reshape(len(maps), -1).astype(float) for maps in (cam, middle)]
    total = flat[0].mean()
    fills = float(flat[1].mean() / total) if total else float("inf")
    a, b = (maps - maps.mean(axis=1, keepdims=True) for maps in flat)
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    # A flat map is nowhere: it correlates with nothing.
    correlation = float(np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0).mean())
    name = TRUSTED if fills < FILLS and correlation > CORRELATION else CAREFUL
    return Choice(name, "sources", len(cam), fills if np.isfinite(fills) else None, correlation)


def surely_better(values: Mapping[str, np.ndarray], reference: str) -> str:
    """Choose a map by what each of N images with boxes or masks contributes (N,) to the score of each map.

    It is the one with the largest mean of those that are better than the `reference` by more than a standard error of
    the mean difference; else, and with too few images, the reference.
    """
    own = values[reference]
    if len(own) < LEAST:
        return reference
    gains = {name: values[name] - own for name in MAPS if name in values and name != NORM}
    sure = {
        name: float(gain.mean())
        for name, gain in gains.items()
        # One image's gain is a standard error exactly: rounding must not make it more.
        if gain.mean() > (STANDARD_ERRORS + 1e-9) * gain.std(ddof=1) / len(own) ** 0.5
    }
    return max(sure, key=sure.__getitem__, default=reference)


def choose(
    outputs: SplitOutputs, recipe: Recipe, images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> Choice:
    """Choose the map by the outputs of N validation images, and the boxes or masks of those that have some.

    Enough boxes choose by MaxBoxAccV2; else enough masks, which are in `root`, by the mean of the images' own PxAP;
    else `without_boxes` does. Too few images choose nothing, and their outputs may be of any images. Without the
    features' depths it is plain CAM.
    """
    sources = outputs.sources(recipe)
    names = [name for name in possible(sources) if name != NORM]
    if CAREFUL not in names:
        return PLAIN
    if len(images) < LEAST:
        return Choice(CAREFUL, "default")
    middle = sources[MIDDLE]
    # Not the fused CAM: erasing widens that, and says nothing about the other features.
    first = upsample(torch.from_numpy(outputs.cams[0]), (middle.shape[-2], middle.shape[-1]))
    found = without_boxes(first.numpy(), middle.numpy())
    if (values := values_of(sources, images, names, root, mask_values, least=LEAST, most=MOST)) is None:
        return found
    return replace(found, name=surely_better(values.by_name, found.name), by=values.by, images=len(values.places))


@dataclass(frozen=True)
class MapValues:
    """What each of the images at `places` contributes (B,) to the score of each map: `by` boxes, MaxBoxAccV2.

    `by` masks it is the image's own PxAP.
    """

    by: str
    places: list[int]
    by_name: Mapping[str, np.ndarray]

    def table(self) -> dict[str, dict[str, Any]]:
        """Return each map's score, and its gain over plain CAM on the same images with a 95 % interval."""
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
    """Return what the images with boxes contribute for the named maps; else those with masks, which are in `root`.

    None if both are fewer than `least`; of more than `most`, every second, third, ... counts. `curves` are the IoU
    curves that are known already, by a map's name.
    """
    boxed = [n for n, image in enumerate(images) if image.boxes]
    masked = [n for n, image in enumerate(images) if image.masked]
    by, places = ("boxes", boxed) if len(boxed) >= least else ("masks", masked)
    if len(places) < least:
        return None
    places = places[:: -(-len(places) // most)]
    some, own = [images[n] for n in places], {name: maps[places] for name, maps in sources.items()}
    if by == "masks":
        counts = {name: mask_counts(FusedMaps(own, name), some, root, mask_values) for name in names}
        return MapValues(by, places, {name: pxap_of(of_map) for name, of_map in counts.items()})
    known = dict(curves or {})
    known |= curves_of(own, some, [name for name in names if name not in known])
    return MapValues(by, places, {name: MaxScore(known[name]).contributions for name in names})


def curves_of(sources: Mapping[str, Tensor], images: Sequence[Image], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the best IoU (N, T) at each threshold, over every contour, of each of the named maps of N boxed images."""
    truths = iter([true_boxes(image) for image in images] * len(names))
    return {
        name: np.concatenate([box_iou_curves(part, [next(truths) for _ in part]) for part in FusedMaps(sources, name)])
        for name in names
    }
