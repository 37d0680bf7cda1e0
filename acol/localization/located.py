"""Scores of maps: how well they match true boxes and masks, and how spread they are. Maps may be of any method."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acol.bounds import RIGHT_IOU
from acol.data.manifest import Image
from acol.data.mask_values import OBJECT, MaskValues
from acol.data.masks import true_mask
from acol.localization.regions import MAP_SIZE, box_of, half_open_boxes, true_boxes
from acol.metrics.boxes import IOU, half_open_iou
from acol.metrics.curves import box_curves, choose_tau, taus_of
from acol.metrics.intervals import Interval, max_interval, mean_interval
from acol.metrics.max_box_acc import centred_box
from acol.metrics.pxap import PxAP, pixel_counts, pixel_intervals
from acol.metrics.quality import box_mask, coverage, entropy, mass_inside, pointing

LEAST = 5  # validation images with boxes: fewer choose no threshold


@dataclass(frozen=True)
class Located:
    """The scores of N images' maps, of which B have boxes and M masks.

    `measured`: what does not depend on a threshold, by name, see `measure`. `intervals`: each score with its interval,
    by name; `details`: thresholds and curves, ready for JSON. `boxes` (N, 4): the largest region's at the threshold in
    use, half-open xyxy in the images' pixels; `iou` (N,): its best IoU with a true box, NaN for an image without one.
    `above_tau` (N,): the share of the image above that threshold.
    """

    measured: Mapping[str, np.ndarray]
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
    the validation images with boxes, if there are at least `LEAST`. `right` holds, by the name of a score such as
    "top1_loc", which images also have the right class (N,) bool. Each score has a 95 % interval
    (`acol.metrics.intervals`) from `resamples` resamples, drawn with `seed`.
    """
    # The thresholds, and the box of each map at each of them; without boxes only the fixed one.
    measured = measure(maps, images, root, mask_values)
    every, region, taus = measured.get("every"), measured.get("region"), {"fixed": fixed_tau}
    if region is not None:
        few = validation is None or len(validation) < LEAST
        # Of equally good ones the nearest to the fixed: a user's own images are not quite like these.
        chosen = {"validation": None if few else choose_tau(validation, near=fixed_tau), "oracle": choose_tau(region)}
        taus |= {name: tau for name, tau in chosen.items() if tau is not None}
    used = "validation" if "validation" in taus else "fixed"
    found = {name: np.array([box_of(one, tau) for part in maps for one in part]) for name, tau in taus.items()}
    iou = {name: _iou(boxes, images) for name, boxes in found.items()}
    boxed = np.array([bool(image.boxes) for image in images], dtype=bool)

    # Scores that are a mean over images.
    values = {name: measured[name] for name in ("coverage", "entropy")}
    if every is not None:
        for name in taus:
            suffix = "" if name == used else f"_{name}"
            hit = iou[name][boxed] >= RIGHT_IOU
            values[f"gt_known_loc{suffix}"] = hit
            values |= {f"{score}{suffix}": hit & of_class[boxed] for score, of_class in (right or {}).items()}
    values |= {name: measured[name] for name in ("pointing_game", "mass_inside") if name in measured}
    intervals = {name: mean_interval(each, resamples=resamples, seed=seed) for name, each in values.items()}
    # Scores that choose their own threshold need intervals of their own.
    details: dict[str, Any] = {"tau": taus | {"used": used}}
    details["annotated"] = {"images": len(images), "boxes": int(boxed.sum())}
    details["annotated"]["masks"] = sum(image.masked for image in images)
    if every is not None:
        versions = {"max_box_acc_v2": IOU} | {f"max_box_acc_v2_{round(100 * iou)}": (iou,) for iou in IOU}
        of_version = {name: (every, levels) for name, levels in versions.items()}
        of_version["max_box_acc"] = measured["largest"], (RIGHT_IOU,)
        for name, (curves, levels) in of_version.items():
            intervals[name] = max_interval(curves, levels, resamples=resamples, seed=seed)
        by_iou = {f"iou_{iou}": (every >= iou).mean(axis=0).round(5).tolist() for iou in IOU}
        details["box_accuracy_by_tau"] = {"tau": taus_of().round(4).tolist()} | by_iou
        baseline = centred_box([true_boxes(image) for image in images if image.boxes], (MAP_SIZE, MAP_SIZE))
        details["centred_box"] = dict(zip(versions, [float(baseline), *baseline.per_iou.tolist()], strict=True))
    if (pixels := measured.get("pixels")) is not None:
        intervals["pxap"], intervals["piou"] = pixel_intervals(pixels, resamples=resamples, seed=seed)
        metric = PxAP()
        metric.update_counts(pixels)
        curve, step = metric.compute(), 10  # every hundredth
        details["piou_by_tau"] = {
            "tau": curve.taus[::step].round(4).tolist(),
            "piou": curve.piou[::step].round(5).tolist(),
        }
    # Maps have MAP_SIZE pixels a side; users get boxes in the pixels of their images.
    sizes = np.array([(image.width, image.height) for image in images], dtype=float)
    above = [(part > taus[used] * part.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)) for part in maps]
    in_image = found[used] * np.tile(sizes, 2) / MAP_SIZE
    return Located(measured, intervals, details, in_image, iou[used], np.concatenate(above))


def measure(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> dict[str, np.ndarray]:
    """Return by name what is measured of maps, as `locate` takes them, before a threshold is chosen.

    "coverage" and "entropy" (N,) need no truth (`acol.metrics.quality`). With boxes "every", "largest" and "region"
    (B, T) are their IoUs at each threshold (`acol.metrics.curves.box_curves`). With masks "pixels" (M, 2, T) are
    `acol.metrics.pixel_counts`. "pointing_game" and "mass_inside" are (B,) and refer to the boxes; without any (M,) and
    to the masks.
    """
    any_boxes = any(image.boxes for image in images)
    found: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(**values: np.ndarray) -> None:
        for name, value in values.items():
            found[name].append(value)

    for part, some in _with_images(maps, images):
        add(coverage=coverage(part), entropy=entropy(part))
        boxed = [n for n, image in enumerate(some) if image.boxes]
        masked = [n for n, image in enumerate(some) if image.masked]
        if boxed:
            every, largest, region = _curves(part[boxed], [some[n] for n in boxed])
            add(every=every, largest=largest, region=region)
            objects = np.stack([box_mask(half_open_boxes(some[n]), (MAP_SIZE, MAP_SIZE)) for n in boxed])
            add(pointing_game=pointing(part[boxed], objects), mass_inside=mass_inside(part[boxed], objects))
        if masked:
            masks = _masks([some[n] for n in masked], root, mask_values)
            add(pixels=pixel_counts(part[masked], masks))
        if masked and not any_boxes:
            objects = masks == OBJECT
            add(pointing_game=pointing(part[masked], objects), mass_inside=mass_inside(part[masked], objects))
    return {name: np.concatenate(values) for name, values in found.items()}


def region_curves(maps: Iterable[np.ndarray], images: Sequence[Image]) -> np.ndarray:
    """Return the largest region's IoU (N, T) at each tau, of maps as `locate` takes them; all images have boxes."""
    return np.concatenate([_curves(part, some)[2] for part, some in _with_images(maps, images)])


def mask_counts(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> np.ndarray:
    """Return the `pixel_counts` (N, 2, T) of maps as `locate` takes them; all images have masks."""
    parts = [pixel_counts(part, _masks(some, root, mask_values)) for part, some in _with_images(maps, images)]
    return np.concatenate(parts)


def _with_images(maps: Iterable[np.ndarray], images: Sequence[Image]) -> Iterator[tuple[np.ndarray, Sequence[Image]]]:
    done = 0
    for part in maps:
        yield part, images[done : done + len(part)]
        done += len(part)


def _masks(images: Sequence[Image], root: Path, mask_values: MaskValues | None) -> np.ndarray:
    return np.stack([true_mask(image, root, mask_values, (MAP_SIZE, MAP_SIZE)) for image in images])


def _curves(maps: np.ndarray, images: Sequence[Image]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return box_curves(maps, [true_boxes(image) for image in images], [half_open_boxes(image) for image in images])


def _iou(boxes: np.ndarray, images: Sequence[Image]) -> np.ndarray:
    """The best IoU of each map's box with its image's true ones (N,), NaN where it has none."""
    best = [
        half_open_iou(box.astype(float), half_open_boxes(image)).max() if image.boxes else np.nan
        for box, image in zip(boxes, images, strict=True)
    ]
    return np.array(best)
