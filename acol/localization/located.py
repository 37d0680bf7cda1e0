"""Scores of maps: how well they match true boxes and masks, and how spread they are. Maps may be of any method."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acol.data.manifest import Image
from acol.data.mask_values import OBJECT, MaskValues
from acol.data.truth import true_mask
from acol.localization.regions import box_of
from acol.localization.true_boxes import MAP_SIZE, half_open_boxes, true_boxes
from acol.metrics.boxes import IOU, half_open_iou
from acol.metrics.curves import BoxCurves, box_curves, choose_tau
from acol.metrics.intervals import Interval, max_interval, mean_interval
from acol.metrics.max_box_acc import MaxBoxAccV2, centred_box
from acol.metrics.pxap import PxAP, pixel_counts, pixel_intervals
from acol.metrics.quality import box_mask, coverage, entropy, mass_inside, pointing

RIGHT = 0.5  # the least IoU of a right box


@dataclass(frozen=True)
class Measured:
    """What is measured of N images' maps before a threshold is chosen; B images have boxes, M have masks.

    `coverage` and `entropy` (N,) need no truth (`acol.metrics.quality`). `curves` are the boxes' IoUs at each
    threshold, None if B = 0. `pixels` (M, 2, T) are `acol.metrics.pixel_counts`, None if M = 0. `pointing` and
    `mass_inside` are (B,) and refer to the boxes; without boxes (M,) and to the masks; without both None.
    """

    coverage: np.ndarray
    entropy: np.ndarray
    curves: BoxCurves | None
    pixels: np.ndarray | None
    pointing: np.ndarray | None
    mass_inside: np.ndarray | None


@dataclass(frozen=True)
class Located:
    """The scores of N images' maps.

    `intervals`: each score with its interval, by name; `details`: thresholds and curves, ready for JSON. `boxes`
    (N, 4): the largest region's at the threshold in use, half-open xyxy in the images' pixels; `iou` (N,): its best IoU
    with a true box, NaN for an image without one. `above_tau` (N,): the share of the image above that threshold.
    """

    measured: Measured
    intervals: dict[str, Interval]
    details: dict[str, Any]
    boxes: np.ndarray
    iou: np.ndarray
    above_tau: np.ndarray


def locate(
    maps: Iterable[np.ndarray],
    images: Sequence[Image],
    root: Path,
    *,
    fixed_tau: float,
    mask_values: MaskValues | None = None,
    validation: np.ndarray | None = None,
    right: Mapping[str, np.ndarray] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Located:
    """Score the maps of a split's N images. A score of boxes or masks is of the images that have them.

    `maps` yields arrays (n, MAP_SIZE, MAP_SIZE) in [0, 1], which together are the images' maps in order; it is iterated
    several times. `root` is the folder of the masks, `mask_values` the meaning of their values (None: the usual one).

    Boxes are cut at `fixed_tau` in (0, 1), and at a second threshold that `validation` chooses: the `region_curves` of
    the validation images with boxes. `right` holds, by the name of a score such as "top1_loc", which images also have
    the right class (N,) bool. Each score has a 95 % interval (`acol.metrics.intervals`) from `resamples` resamples,
    drawn with `seed`.
    """
    # The thresholds, and the box of each map at each of them.
    measured = measure(maps, images, root, mask_values)
    curves = measured.curves
    taus = _taus(curves, fixed_tau, validation)
    used = "validation" if "validation" in taus else "fixed"
    found = {name: np.array([box_of(one, tau) for part in maps for one in part]) for name, tau in taus.items()}
    iou = {name: _iou(boxes, images) for name, boxes in found.items()}
    boxed = np.array([bool(image.boxes) for image in images], dtype=bool)

    # Scores that are a mean over images.
    values = {"coverage": measured.coverage, "entropy": measured.entropy}
    if curves is not None:
        for name in taus:
            suffix = "" if name == used else f"_{name}"
            hit = iou[name][boxed] >= RIGHT
            values[f"gt_known_loc{suffix}"] = hit
            for score, of_class in (right or {}).items():
                values[f"{score}{suffix}"] = hit & of_class[boxed]
    if measured.pointing is not None and measured.mass_inside is not None:
        values |= {"pointing_game": measured.pointing, "mass_inside": measured.mass_inside}
    intervals = {name: mean_interval(each, resamples=resamples, seed=seed) for name, each in values.items()}
    # Scores that choose their own threshold need intervals of their own.
    details: dict[str, Any] = {"tau": taus | {"used": used}}
    details["annotated"] = {"images": len(images), "boxes": int(boxed.sum())}
    details["annotated"]["masks"] = sum(image.masked for image in images)
    if curves is not None:
        intervals |= _box_intervals(curves, resamples, seed)
        details["box_accuracy_by_tau"] = _accuracy_by_tau(curves.every)
        details["centred_box"] = _centred_box([image for image in images if image.boxes])
    if measured.pixels is not None:
        intervals["pxap"], intervals["piou"] = pixel_intervals(measured.pixels, resamples=resamples, seed=seed)
        details["piou_by_tau"] = _piou_by_tau(measured.pixels)
    # Maps have MAP_SIZE pixels a side; users get boxes in the pixels of their images.
    sizes = np.array([(image.width, image.height) for image in images], dtype=float)
    above = np.concatenate([_above(part, taus[used]) for part in maps])
    return Located(measured, intervals, details, found[used] * np.tile(sizes, 2) / MAP_SIZE, iou[used], above)


def measure(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> Measured:
    """Measure maps as `locate` takes them."""
    any_boxes = any(image.boxes for image in images)
    spread: list[tuple[np.ndarray, np.ndarray]] = []
    curves: list[BoxCurves] = []
    pixels: list[np.ndarray] = []
    inside: list[tuple[np.ndarray, np.ndarray]] = []
    done = 0
    for part in maps:
        some = images[done : done + len(part)]
        done += len(part)
        spread.append((coverage(part), entropy(part)))
        boxed = [n for n, image in enumerate(some) if image.boxes]
        masked = [n for n, image in enumerate(some) if image.masked]
        if boxed:
            curves.append(_curves(part[boxed], [some[n] for n in boxed]))
            objects = np.stack([_box_mask(some[n]) for n in boxed])
            inside.append((pointing(part[boxed], objects), mass_inside(part[boxed], objects)))
        if masked:
            masks = _masks([some[n] for n in masked], root, mask_values)
            pixels.append(pixel_counts(part[masked], masks))
            if not any_boxes:
                inside.append((pointing(part[masked], masks == OBJECT), mass_inside(part[masked], masks == OBJECT)))
    covered, entropies = map(np.concatenate, zip(*spread, strict=True))
    joined = BoxCurves(*map(np.concatenate, zip(*map(_fields, curves), strict=True))) if curves else None
    pointed, mass = map(np.concatenate, zip(*inside, strict=True)) if inside else (None, None)
    return Measured(covered, entropies, joined, np.concatenate(pixels) if pixels else None, pointed, mass)


def region_curves(maps: Iterable[np.ndarray], images: Sequence[Image]) -> np.ndarray:
    """Return the largest region's IoU (N, T) at each tau, of maps as `locate` takes them; all images have boxes."""
    parts, done = [], 0
    for part in maps:
        parts.append(_curves(part, images[done : done + len(part)]).region)
        done += len(part)
    return np.concatenate(parts)


def mask_counts(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> np.ndarray:
    """Return the `pixel_counts` (N, 2, T) of maps as `locate` takes them; all images have masks."""
    left = iter(images)
    return np.concatenate([pixel_counts(part, _masks([next(left) for _ in part], root, mask_values)) for part in maps])


def _masks(images: Sequence[Image], root: Path, mask_values: MaskValues | None) -> np.ndarray:
    return np.stack([true_mask(image, root, mask_values, (MAP_SIZE, MAP_SIZE)) for image in images])


def _above(maps: np.ndarray, tau: float) -> np.ndarray:
    share: np.ndarray = (maps > tau * maps.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2))
    return share


def _box_mask(image: Image) -> np.ndarray:
    return box_mask(half_open_boxes(image), (MAP_SIZE, MAP_SIZE))


def _curves(maps: np.ndarray, images: Sequence[Image]) -> BoxCurves:
    return box_curves(maps, [true_boxes(image) for image in images], [half_open_boxes(image) for image in images])


def _fields(curves: BoxCurves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return curves.every, curves.largest, curves.region


def _taus(curves: BoxCurves | None, fixed: float, validation: np.ndarray | None) -> dict[str, float]:
    """The thresholds at which boxes are scored, by how each was chosen; only the fixed one if there are no boxes."""
    if curves is None:
        return {"fixed": fixed}
    chosen = {"fixed": fixed, "validation": choose_tau(validation), "oracle": choose_tau(curves.region)}
    return {name: tau for name, tau in chosen.items() if tau is not None}


def _iou(boxes: np.ndarray, images: Sequence[Image]) -> np.ndarray:
    """The best IoU of each map's box with its image's true ones (N,), NaN where it has none."""
    best = [
        half_open_iou(box.astype(float), half_open_boxes(image)).max() if image.boxes else np.nan
        for box, image in zip(boxes, images, strict=True)
    ]
    return np.array(best)


def _box_intervals(curves: BoxCurves, resamples: int, seed: int) -> dict[str, Interval]:
    """MaxBoxAccV2, its accuracy at each IoU, and MaxBoxAcc."""
    versions: dict[str, tuple[np.ndarray, Sequence[float]]] = {"max_box_acc_v2": (curves.every, IOU)}
    versions |= {f"max_box_acc_v2_{round(100 * iou)}": (curves.every, (iou,)) for iou in IOU}
    versions["max_box_acc"] = (curves.largest, (0.5,))
    return {name: max_interval(of, iou, resamples=resamples, seed=seed) for name, (of, iou) in versions.items()}


def _accuracy_by_tau(curves: np.ndarray) -> dict[str, list[float]]:
    metric = MaxBoxAccV2()
    metric.update_curves(curves)
    result = metric.compute()
    by_iou = zip(result.iou, result.curves, strict=True)
    return {"tau": result.taus.round(4).tolist(), **{f"iou_{iou}": curve.round(5).tolist() for iou, curve in by_iou}}


def _centred_box(images: Sequence[Image]) -> dict[str, float]:
    baseline = centred_box([true_boxes(image) for image in images], (MAP_SIZE, MAP_SIZE))
    per_iou = zip(baseline.iou, baseline.per_iou.tolist(), strict=True)
    return {"max_box_acc_v2": float(baseline)} | {f"max_box_acc_v2_{round(100 * iou)}": x for iou, x in per_iou}


def _piou_by_tau(pixels: np.ndarray) -> dict[str, list[float]]:
    metric = PxAP()
    metric.update_counts(pixels)
    result = metric.compute()
    step = len(result.taus) // 100
    return {"tau": result.taus[::step].round(4).tolist(), "piou": result.piou[::step].round(5).tolist()}
