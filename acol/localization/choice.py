"""Which map fits some images: chosen on validation images, with their boxes or without any.

docs/localization.md says what the rules gained, and on which images their constants were found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from acol.data.manifest import Image
from acol.localization.evidence import CAM, MAPS, possible, upsample
from acol.localization.maps import FusedMaps
from acol.localization.true_boxes import true_boxes
from acol.metrics import box_iou_curves
from acol.metrics.comparison import compare
from acol.metrics.scored import MaxScore
from acol.network.depths import MIDDLE, NORM

FILLS = 1.1  # the earlier features are trusted if they fill less than this of what the CAM fills,
CORRELATION = 0.35  # and if they are, by more than this, where the CAM is
LEAST = 10  # boxes: fewer choose nothing
STANDARD_ERRORS = 1.0  # by which a map must be better than the one that is chosen without boxes
TRUSTED, CAREFUL = "cam+early+middle+late", "cam+0.5late"


@dataclass(frozen=True)
class Choice:
    """The chosen map, and why.

    `by` is "setting", "boxes", "sources" (of images without boxes) or "default"; `images` is how many images chose.
    `fills` and `correlation` are those of `without_boxes`.
    """

    name: str
    by: str
    images: int = 0
    fills: float | None = None
    correlation: float | None = None


PLAIN = Choice(CAM, "default")


def without_boxes(cam: np.ndarray, middle: np.ndarray) -> Choice:
    """Choose between two maps by sources (N, h, w) in [0, 1] of N images, without any truth.

    Where the features before the last block fill no more of the image than the CAM, and are where it is, they show the
    object whole, and count fully. Elsewhere they show texture and clutter as well; then the CAM has only a little of
    the last block's beside it.
    """
    if not len(cam):
        return Choice(CAREFUL, "default")
    flat = [maps.reshape(len(maps), -1).astype(float) for maps in (cam, middle)]
    total = flat[0].mean()
    fills = float(flat[1].mean() / total) if total else float("inf")
    a, b = (maps - maps.mean(axis=1, keepdims=True) for maps in flat)
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    # A flat map is nowhere: it correlates with nothing.
    correlation = float(np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0).mean())
    name = TRUSTED if fills < FILLS and correlation > CORRELATION else CAREFUL
    return Choice(name, "sources", len(cam), fills if np.isfinite(fills) else None, correlation)


def with_boxes(curves: Mapping[str, np.ndarray], reference: str) -> str:
    """Choose a map by the IoU curves (N, T) of each, on N images with boxes.

    It is the one with the largest MaxBoxAccV2 of those that are better than the `reference` by more than a standard
    error of the mean difference; else, and with too few boxes, the reference.
    """
    count = len(curves[reference])
    if count < LEAST:
        return reference
    own = MaxScore(curves[reference]).contributions
    gains = {name: MaxScore(curves[name]).contributions - own for name in MAPS if name in curves and name != NORM}
    sure = {
        name: float(gain.mean())
        for name, gain in gains.items()
        # One image's gain is a standard error exactly: rounding must not make it more.
        if gain.mean() > (STANDARD_ERRORS + 1e-9) * gain.std(ddof=1) / count**0.5
    }
    return max(sure, key=sure.__getitem__, default=reference)


def choose(sources: Mapping[str, Tensor], images: Sequence[Image]) -> Choice:
    """Choose the map by the sources (N, h, w) of N validation images, and the boxes of those that have some.

    Without the features' depths it is plain CAM.
    """
    names = [name for name in possible(sources) if name != NORM]
    if CAREFUL not in names:
        return PLAIN
    middle = sources[MIDDLE]
    cam = upsample(sources[CAM], (middle.shape[-2], middle.shape[-1]))
    found = without_boxes(cam.numpy(), middle.numpy())
    boxed = [n for n, image in enumerate(images) if image.boxes]
    if len(boxed) < LEAST:
        return found
    curves = curves_of({name: maps[boxed] for name, maps in sources.items()}, [images[n] for n in boxed], names)
    return replace(found, name=with_boxes(curves, found.name), by="boxes", images=len(boxed))


def curves_of(sources: Mapping[str, Tensor], images: Sequence[Image], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the best IoU (N, T) at each threshold, over every contour, of each of the named maps of N boxed images."""
    truths = iter([true_boxes(image) for image in images] * len(names))
    return {
        name: np.concatenate([box_iou_curves(part, [next(truths) for _ in part]) for part in FusedMaps(sources, name)])
        for name in names
    }


def scores_of_maps(curves: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return each map's MaxBoxAccV2, and its gain over plain CAM on the same images with a 95 % interval."""
    scores = {name: MaxScore(of_map) for name, of_map in curves.items()}
    rows: dict[str, dict[str, Any]] = {}
    for name, score in scores.items():
        rows[name] = {"max_box_acc_v2": score.value}
        if name != CAM:
            gain = compare([score], [scores[CAM]])
            rows[name] |= {"gain": gain.difference, "interval": [gain.low, gain.high]}
    return rows
