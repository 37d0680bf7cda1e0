"""Scores of maps: how well they match true boxes and masks, and how spread out they are. Maps may be of any method."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from acol.setting_types import RIGHT_IOU

LEAST_BOXED = 5  # with fewer validation images with boxes, no threshold is chosen on them


@dataclass(frozen=True)
class MapScores:
    """The scores of the maps of N images."""

    measured: Mapping[str, np.ndarray]  # values that do not depend on a threshold, by name (`measure`)
    intervals: dict[str, Interval]  # scores with their intervals, by name
    details: dict[str, Any]  # thresholds and curves, ready for JSON
    # (N, 4), the box of the largest region at the threshold in use, half-open xyxy in pixels of the image
    boxes: np.ndarray
    iou: np.ndarray  # (N,), the best IoU of this box with a true one; NaN for an image without boxes
    above_tau: np.ndarray  # (N,), the share of the image that is above that threshold


def score_maps(
    maps: Iterable[np.ndarray],
    images: Sequence[Image],
    root: Path,
    *,
    fixed_tau: float,
    mask_values: MaskValues | None = None,
    validation: np.ndarray | None = None,
    class_right: Mapping[str, np.ndarray] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> MapScores:
    """Score the maps of the N images of a split. A score by boxes or masks is that of the images that have them.

    Args:
        maps: yields arrays (n, MAP_SIZE, MAP_SIZE) in [0, 1], which together are the maps of the images, in order. It
            is iterated twice.
        images: the N images.
        root, mask_values: the folder of the mask files, and what their values mean (None: what they usually mean).
        fixed_tau: in (0, 1), the threshold of regions if none is chosen.
        validation: the `region_curves` of the validation images with boxes. If there are at least `LEAST_BOXED`, they
            choose the threshold.
        class_right: by the name of a score such as "top1_loc", whether the class of each image is right, too, (N,)
            bool.
        resamples, seed: of the bootstraps for the 95 % intervals (`acol.metrics.intervals`).
    """
    # The thresholds, and the box of each map at each of them; without boxes only the fixed one.
    measured = measure(maps, images, root, mask_values)
    every, region, taus = measured.get("every"), measured.get("region"), {"fixed": fixed_tau}
    if region is not None:
        few = validation is None or len(validation) < LEAST_BOXED
        # Of equally good ones the nearest to the fixed one is safest for images that differ from these.
        chosen = {"validation": None if few else choose_tau(validation, near=fixed_tau), "oracle": choose_tau(region)}
        taus |= {name: tau for name, tau in chosen.items() if tau is not None}
    used = "validation" if "validation" in taus else "fixed"
    boxes: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in taus}
    above = []
    for part in maps:
        above.append((part > taus[used] * part.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)))
        for name, tau in taus.items():
            boxes[name] += [box_of(score_map, tau) for score_map in part]
    iou = {name: _iou(np.array(boxes_at_tau), images) for name, boxes_at_tau in boxes.items()}
    boxed = np.array([bool(image.boxes) for image in images], dtype=bool)

    # Scores that are a mean over images.
    values = {name: measured[name] for name in ("coverage", "entropy")}
    if every is not None:
        for name in taus:
            suffix = "" if name == used else f"_{name}"
            hit = iou[name][boxed] >= RIGHT_IOU
            values[f"gt_known_loc{suffix}"] = hit
            values |= {f"{score}{suffix}": hit & right[boxed] for score, right in (class_right or {}).items()}
    values |= {name: measured[name] for name in ("pointing_game", "mass_inside") if name in measured}
    intervals = {name: mean_interval(each, resamples=resamples, seed=seed) for name, each in values.items()}
    # Scores with a threshold of their own: MaxBoxAcc, MaxBoxAccV2 and its parts, and those from masks.
    details: dict[str, Any] = {"tau": taus | {"used": used}}
    details["annotated"] = {"images": len(images), "boxes": int(boxed.sum())}
    details["annotated"]["masks"] = sum(image.masked for image in images)
    if every is not None:
        versions = {"max_box_acc_v2": IOU} | {f"max_box_acc_v2_{round(100 * iou)}": (iou,) for iou in IOU}
        curves_of = {name: (every, levels) for name, levels in versions.items()}
        curves_of["max_box_acc"] = measured["largest"], (RIGHT_IOU,)
        for name, (curves, levels) in curves_of.items():
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
    # From pixels of the maps to those of the images, in which users get boxes.
    sizes = np.array([(image.width, image.height) for image in images], dtype=float)
    in_image = np.array(boxes[used]) * np.tile(sizes, 2) / MAP_SIZE
    return MapScores(measured, intervals, details, in_image, iou[used], np.concatenate(above))


def measure(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> dict[str, np.ndarray]:
    """Return by name what can be measured before a threshold is chosen, for maps as in `score_maps`.

    "coverage" and "entropy" (N,) need no truth (`acol.metrics.quality`). For the B images with boxes, "every",
    "largest" and "region" (B, T) are the IoU at each threshold (`acol.metrics.curves.box_curves`). For the M images
    with masks, "pixels" (M, 2, T) are `acol.metrics.pixel_counts`. "pointing_game" and "mass_inside" (B,) are about the
    boxes; if no image has any, they are (M,), about the masks.
    """
    any_boxes = any(image.boxes for image in images)
    measured: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(**values: np.ndarray) -> None:
        for name, value in values.items():
            measured[name].append(value)

    for part, part_images in _with_images(maps, images):
        add(coverage=coverage(part), entropy=entropy(part))
        boxed = [n for n, image in enumerate(part_images) if image.boxes]
        masked = [n for n, image in enumerate(part_images) if image.masked]
        # Against boxes, then against masks.
        if boxed:
            every, largest, region = _curves(part[boxed], [part_images[n] for n in boxed])
            add(every=every, largest=largest, region=region)
            objects = np.stack([box_mask(half_open_boxes(part_images[n]), (MAP_SIZE, MAP_SIZE)) for n in boxed])
            add(pointing_game=pointing(part[boxed], objects), mass_inside=mass_inside(part[boxed], objects))
        if masked:
            masks = _masks([part_images[n] for n in masked], root, mask_values)
            add(pixels=pixel_counts(part[masked], masks))
        if masked and not any_boxes:
            objects = masks == OBJECT
            add(pointing_game=pointing(part[masked], objects), mass_inside=mass_inside(part[masked], objects))
    return {name: np.concatenate(values) for name, values in measured.items()}


def region_curves(maps: Iterable[np.ndarray], images: Sequence[Image]) -> np.ndarray:
    """Return the IoU of the largest region at each tau (N, T), for maps as in `score_maps`; all images have boxes."""
    return np.concatenate([_curves(part, part_images)[2] for part, part_images in _with_images(maps, images)])


def mask_counts(
    maps: Iterable[np.ndarray], images: Sequence[Image], root: Path, mask_values: MaskValues | None = None
) -> np.ndarray:
    """Return the `pixel_counts` (N, 2, T) of maps as in `score_maps`; all images have masks."""
    parts = _with_images(maps, images)
    return np.concatenate([pixel_counts(part, _masks(part_images, root, mask_values)) for part, part_images in parts])


def _with_images(maps: Iterable[np.ndarray], images: Sequence[Image]) -> Iterator[tuple[np.ndarray, Sequence[Image]]]:
    """Yield each part of the maps with its images."""
    done = 0
    for part in maps:
        yield part, images[done : done + len(part)]
        done += len(part)


def _masks(images: Sequence[Image], root: Path, mask_values: MaskValues | None) -> np.ndarray:
    return np.stack([true_mask(image, root, mask_values, (MAP_SIZE, MAP_SIZE)) for image in images])


def _curves(maps: np.ndarray, images: Sequence[Image]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return box_curves(maps, [true_boxes(image) for image in images], [half_open_boxes(image) for image in images])


def _iou(boxes: np.ndarray, images: Sequence[Image]) -> np.ndarray:
    """Return the best IoU of the box of each map with the true boxes of its image, (N,); NaN if this has none."""
    best = [
        half_open_iou(box.astype(float), half_open_boxes(image)).max() if image.boxes else np.nan
        for box, image in zip(boxes, images, strict=True)
    ]
    return np.array(best)
