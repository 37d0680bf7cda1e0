"""Every score of a trained model on a split, each with its interval, from the outputs of one forward pass."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torchvision.ops import box_iou

from acol.data.images import read_mask
from acol.data.manifest import Image
from acol.localization.inference import SplitOutputs
from acol.localization.maps import box_of, fuse, upsample
from acol.localization.truth import MAP_SIZE, centred_box_metrics, object_cells, true_boxes
from acol.losses import classifier_losses
from acol.metrics import masks, quality
from acol.metrics.accuracy import Classification, classification
from acol.metrics.bootstrap import IOU, Interval, max_interval, mean_interval
from acol.metrics.curves import box_iou_curves
from acol.metrics.max_box_acc import MaxBoxAccV2
from acol.metrics.thresholds import choose_tau, iou_at
from acol.recipe import Recipe

_CHUNK = 64  # images whose maps are in memory at full size
_SHARE_TAU = 0.5  # what counts as found by one classifier where its recipe names no delta


@dataclass(frozen=True)
class Localized:
    """What the fused maps of a split's N images say of places, before any threshold is chosen.

    `coverage`, `entropy`, `overlap` (N,); `added`, `shares` (K, N): see `acol.metrics.quality`. `curves` (N, T): the
    best IoU at each tau over every contour, `largest` the same of the largest contour alone. `pixels` (N, 2, T): see
    `acol.metrics.pixel_counts`. Without boxes `curves`, `largest` and `shares` are None, without masks `pixels` is.
    """

    coverage: np.ndarray
    entropy: np.ndarray
    overlap: np.ndarray
    added: np.ndarray
    curves: np.ndarray | None = None
    largest: np.ndarray | None = None
    shares: np.ndarray | None = None
    pixels: np.ndarray | None = None


@dataclass(frozen=True)
class Evaluation:
    """`metrics`: headline numbers by name; `details`: all else, ready for JSON; `images`: a row an image, in order."""

    metrics: dict[str, float]
    details: dict[str, Any]
    images: pd.DataFrame
    iou_curves: np.ndarray | None


def fused_maps(cams: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Fuse and upsample maps (K, n, h, w) to (n, MAP_SIZE, MAP_SIZE) in [0, 1]."""
    fused = upsample(fuse(torch.from_numpy(cams), recipe), (MAP_SIZE, MAP_SIZE))
    return np.clip(fused.numpy(), 0, 1)


def iou_curves(outputs: SplitOutputs, images: Sequence[Image], recipe: Recipe) -> np.ndarray:
    """Return the best IoU (N, T) at each tau of the true class's fused maps, of images that all have boxes."""
    curves = [
        box_iou_curves(maps, [true_boxes(image) for image in some])
        for some, _, maps in _chunks(outputs, images, recipe)
    ]
    return np.concatenate(curves)


def _chunks(
    outputs: SplitOutputs, images: Sequence[Image], recipe: Recipe
) -> Iterator[tuple[Sequence[Image], np.ndarray, np.ndarray]]:
    """Yield some images at a time with the true class's maps: each classifier's (K, n, h, w), and `fused_maps`."""
    for start in range(0, len(images), _CHUNK):
        cams = outputs.cams[:, start : start + _CHUNK]
        yield images[start : start + _CHUNK], cams, fused_maps(cams, recipe)


def localize(outputs: SplitOutputs, images: Sequence[Image], recipe: Recipe, root: Path) -> Localized:
    """Measure the true class's maps of a split; boxes and masks count where every image has them."""
    boxed = bool(images) and all(image.boxes for image in images)
    masked = bool(images) and all(image.mask for image in images)
    delta = min(recipe.deltas, default=_SHARE_TAU)
    each: defaultdict[str, list[np.ndarray]] = defaultdict(list)  # (n, ...)
    by_classifier: defaultdict[str, list[np.ndarray]] = defaultdict(list)  # (K, n)
    for some, cams, maps in _chunks(outputs, images, recipe):
        each["coverage"].append(quality.coverage(maps))
        each["entropy"].append(quality.entropy(maps))
        each["overlap"].append(_mean_overlap(cams, delta))
        by_classifier["added"].append(quality.complementarity(cams, delta))
        if masked:
            truth = np.stack([mask_at_map_size(root / str(image.mask)) for image in some])
            each["pixels"].append(masks.pixel_counts(maps, truth.astype(np.uint8)))
        if boxed:
            truths = [true_boxes(image) for image in some]
            each["curves"].append(box_iou_curves(maps, truths))
            each["largest"].append(box_iou_curves(maps, truths, contours="largest"))
            objects = np.stack([object_cells(image, cams.shape[-2:]) for image in some])
            by_classifier["shares"].append(quality.object_share(cams, objects, delta))
    joined = {name: np.concatenate(parts) for name, parts in each.items()}
    joined |= {name: np.concatenate(parts, axis=1) for name, parts in by_classifier.items()}
    return Localized(**joined)


def evaluate(
    outputs: SplitOutputs,
    images: Sequence[Image],
    classes: Sequence[str],
    recipe: Recipe,
    root: Path,
    *,
    fixed_tau: float,
    validation: np.ndarray | None,
    faithful: Mapping[str, np.ndarray],
    resamples: int,
    seed: int,
) -> Evaluation:
    """Score a split's outputs.

    `fixed_tau` in (0, 1) is the box threshold that needs no data; `validation` the IoU curves (N, T) of the validation
    split, where that has boxes, which choose another; `faithful` what `acol.localization.faithfulness` measured.
    Localization is GT-known by the true class's map, and Top-1 or Top-5 where the class is right as well. Every score
    has a 95 % bootstrap interval of `resamples` resamples under details["intervals"].
    """
    labels = np.array([classes.index(image.label) for image in images])
    scores = classification(outputs.logits[0], labels)
    losses = _losses(outputs.logits, torch.from_numpy(labels), recipe)
    found = localize(outputs, images, recipe, root)
    taus = _taus(found.curves, fixed_tau, validation)
    used = "validation" if "validation" in taus else "fixed"
    per_image = _per_image(scores, losses, found, taus, used)
    per_image |= {name: values[np.isfinite(values)] for name, values in faithful.items()}
    intervals = {name: mean_interval(values, resamples=resamples, seed=seed) for name, values in per_image.items()}
    details: dict[str, Any] = {
        "classes": list(classes),
        "per_class_accuracy": dict(zip(classes, scores.per_class.tolist(), strict=True)),
        "confusion": scores.confusion.tolist(),
        "erasing": _erasing(found),
        "tau": taus | {"used": used},
    }
    if found.curves is not None and found.largest is not None:
        intervals |= _box_intervals(found.curves, found.largest, resamples, seed)
        details["box_accuracy_by_tau"] = _accuracy_by_tau(found.curves)
        details["centred_box"] = centred_box_metrics(images)
    if found.pixels is not None:
        intervals["pxap"], intervals["piou"] = masks.pixel_intervals(found.pixels, resamples=resamples, seed=seed)
        details["piou_by_tau"] = _piou_by_tau(found.pixels)
    details["intervals"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
    metrics = {name: interval.value for name, interval in intervals.items()}
    rows = _rows(outputs, images, classes, recipe, found, scores, losses[0], taus[used])
    return Evaluation(metrics, details, rows.assign(**faithful), found.curves)


def _taus(curves: np.ndarray | None, fixed: float, validation: np.ndarray | None) -> dict[str, float]:
    """The thresholds at which boxes are scored, by how each was chosen; the fixed one alone without boxes."""
    if curves is None:
        return {"fixed": fixed}
    chosen = {"fixed": fixed, "validation": choose_tau(validation), "oracle": choose_tau(curves)}
    return {name: tau for name, tau in chosen.items() if tau is not None}


def _per_image(
    scores: Classification, losses: np.ndarray, found: Localized, taus: Mapping[str, float], used: str
) -> dict[str, np.ndarray]:
    """Every score that is a mean over the images: its values (N,) by its name."""
    values = {"accuracy_top1": scores.correct, "accuracy_top5": scores.top5_correct, "loss": losses.sum(axis=0)}
    values |= {f"loss_{k}": of_classifier for k, of_classifier in enumerate(losses, 1)}
    values |= {"coverage": found.coverage, "entropy": found.entropy}
    if len(losses) > 1:
        values["overlap"] = found.overlap
    if found.curves is not None:
        for name, tau in taus.items():
            suffix, right = "" if name == used else f"_{name}", iou_at(found.curves, tau) >= 0.5
            values[f"gt_known_loc{suffix}"] = right
            values[f"top1_loc{suffix}"] = right & scores.correct
            values[f"top5_loc{suffix}"] = right & scores.top5_correct
    return values


def _losses(logits: np.ndarray, target: torch.Tensor, recipe: Recipe) -> np.ndarray:
    """Each classifier's loss of each image (K, N)."""
    each = [
        classifier_losses(torch.from_numpy(logits[:, n : n + 1]), target[n : n + 1], recipe) for n in range(len(target))
    ]
    return torch.stack(each, dim=1).double().numpy()


def _box_intervals(curves: np.ndarray, largest: np.ndarray, resamples: int, seed: int) -> dict[str, Interval]:
    """MaxBoxAccV2, its accuracy at each IoU, and MaxBoxAcc, each with the best tau of each resample."""
    versions: dict[str, tuple[np.ndarray, Sequence[float]]] = {"max_box_acc_v2": (curves, IOU)}
    versions |= {f"max_box_acc_v2_{round(100 * iou)}": (curves, (iou,)) for iou in IOU}
    versions["max_box_acc"] = (largest, (0.5,))
    return {name: max_interval(of, iou, resamples=resamples, seed=seed) for name, (of, iou) in versions.items()}


def _accuracy_by_tau(curves: np.ndarray) -> dict[str, list[float]]:
    metric = MaxBoxAccV2()
    metric.update_curves(curves)
    result = metric.compute()
    by_iou = zip(result.iou, result.curves, strict=True)
    return {"tau": result.taus.round(4).tolist(), **{f"iou_{iou}": curve.round(5).tolist() for iou, curve in by_iou}}


def _piou_by_tau(pixels: np.ndarray) -> dict[str, list[float]]:
    metric = masks.PxAP()
    metric.update_counts(pixels)
    result = metric.compute()
    step = len(result.taus) // 100
    return {"tau": result.taus[::step].round(4).tolist(), "piou": result.piou[::step].round(5).tolist()}


def _mean_overlap(cams: np.ndarray, delta: float) -> np.ndarray:
    """The mean IoU over pairs of classifiers, for each image; 0 for a single classifier."""
    pairs = list(combinations(range(len(cams)), 2))
    if not pairs:
        return np.zeros(cams.shape[1])
    iou = quality.overlap(cams, delta)
    return np.asarray(np.mean([iou[a, b] for a, b in pairs], axis=0))


def _erasing(found: Localized) -> list[dict[str, float]]:
    """What each classifier adds to its predecessors' regions, and the share of the object that its map covers."""
    rows = [{"added": float(added.mean())} for added in found.added]
    if found.shares is not None:
        for row, share in zip(rows, found.shares, strict=True):
            row["object_share"] = float(share.mean())
    return rows


def _rows(
    outputs: SplitOutputs,
    images: Sequence[Image],
    classes: Sequence[str],
    recipe: Recipe,
    found: Localized,
    scores: Classification,
    losses: np.ndarray,
    tau: float,
) -> pd.DataFrame:
    logits = torch.from_numpy(outputs.logits[0])
    probabilities = logits.double().softmax(1)
    rows = pd.DataFrame(
        {
            "path": [image.path for image in images],
            "label": [image.label for image in images],
            "predicted": [classes[index] for index in probabilities.argmax(1).tolist()],
            "probability": probabilities.amax(1).numpy(),
            "correct": scores.correct.astype(int),
            "top5_correct": scores.top5_correct.astype(int),
            "loss_1": losses,
        }
    )
    corners = _user_boxes(outputs, images, recipe, tau)
    rows[["x0", "y0", "x1", "y1"]] = corners.round(2)
    # Of the box that users get; the protocol's best over every contour stands beside it.
    rows["iou"] = [_box_iou(corner, image) for corner, image in zip(corners, images, strict=True)]
    rows["protocol_iou"] = np.nan if found.curves is None else iou_at(found.curves, tau)
    rows["coverage"], rows["entropy"] = found.coverage, found.entropy
    for k in range(len(recipe)):
        rows[f"added_{k + 1}"] = found.added[k]
        if found.shares is not None:
            rows[f"object_share_{k + 1}"] = found.shares[k]
    return rows


def _box_iou(corners: np.ndarray, image: Image) -> float:
    """The best IoU of a box with an image's true ones, NaN where it has none."""
    if not image.boxes:
        return float("nan")
    return float(box_iou(torch.from_numpy(corners)[None], torch.tensor(image.boxes, dtype=torch.float64)).max())


def _user_boxes(outputs: SplitOutputs, images: Sequence[Image], recipe: Recipe, tau: float) -> np.ndarray:
    """The box of each image's largest region (N, 4), in the image's pixels."""
    found = [box_of(score_map, tau) for _, _, maps in _chunks(outputs, images, recipe) for score_map in maps]
    sizes = np.array([(image.width, image.height) for image in images], dtype=float)
    return np.array(found, dtype=float) * np.tile(sizes, 2) / MAP_SIZE


def mask_at_map_size(path: Path) -> np.ndarray:
    """Read a PNG mask as (MAP_SIZE, MAP_SIZE) bool."""
    mask = torch.from_numpy(read_mask(path).astype(np.float32))
    return upsample(mask.unsqueeze(0), (MAP_SIZE, MAP_SIZE))[0].numpy() >= 0.5
