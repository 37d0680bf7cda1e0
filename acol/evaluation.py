"""Every score of a trained model on a split, each with its interval, from the outputs of one forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torchvision.ops import box_iou

from acol.data.manifest import Image
from acol.inference import SplitOutputs
from acol.localization import box_of, fuse, upsample
from acol.losses import classifier_losses
from acol.metrics import boxes, masks, quality
from acol.metrics.bootstrap import IOU, Interval, max_interval, mean_interval
from acol.metrics.classification import classification
from acol.recipe import Recipe
from acol.truth import MAP_SIZE, centred_box_metrics, mask_at_map_size, object_cells, true_boxes

_CHUNK = 64  # images whose maps are in memory at full size
_SHARE_TAU = 0.5  # what counts as found by one classifier where its recipe names no delta


@dataclass(frozen=True)
class Localized:
    """What the fused maps of a split's N images say of places, before any threshold is chosen.

    `curves` (N, T): the best IoU at each tau over every contour (None without boxes), `largest` the same of the largest
    contour alone; `coverage`, `entropy`, `overlap` (N,); `shares`, `added` (K, N): see `acol.metrics.quality`. `pixels`
    (N, 2, T): see `acol.metrics.pixel_counts`.
    """

    curves: np.ndarray | None
    largest: np.ndarray | None
    coverage: np.ndarray
    entropy: np.ndarray
    overlap: np.ndarray
    added: np.ndarray
    shares: np.ndarray | None
    pixels: np.ndarray | None


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
    parts = []
    for start in range(0, len(images), _CHUNK):
        maps = fused_maps(outputs.cams[:, start : start + _CHUNK], recipe)
        parts.append(boxes.box_iou_curves(maps, [true_boxes(image) for image in images[start : start + _CHUNK]]))
    return np.concatenate(parts)


def localize(outputs: SplitOutputs, images: Sequence[Image], recipe: Recipe, root: Path) -> Localized:
    """Measure the true class's maps of a split; boxes and masks count where every image has them."""
    boxed = bool(images) and all(image.boxes for image in images)
    masked = bool(images) and all(image.mask for image in images)
    delta = min(recipe.deltas, default=_SHARE_TAU)
    parts: dict[str, list[np.ndarray]] = {}

    def add(name: str, values: np.ndarray) -> None:
        parts.setdefault(name, []).append(values)

    for start in range(0, len(images), _CHUNK):
        some, cams = images[start : start + _CHUNK], outputs.cams[:, start : start + _CHUNK]
        maps = fused_maps(cams, recipe)
        add("coverage", quality.coverage(maps))
        add("entropy", quality.entropy(maps))
        add("overlap", _mean_overlap(cams, delta))
        add("added", quality.complementarity(cams, delta))
        if masked:
            truth = np.stack([mask_at_map_size(root / str(image.mask)) for image in some])
            parts.setdefault("pixels", []).append(masks.pixel_counts(maps, truth.astype(np.uint8)))
        if boxed:
            truths = [true_boxes(image) for image in some]
            add("curves", boxes.box_iou_curves(maps, truths))
            add("largest", boxes.box_iou_curves(maps, truths, contours="largest"))
            objects = np.stack([object_cells(image, cams.shape[-2:]) for image in some])
            add("shares", quality.object_share(cams, objects, delta))
    image_axis = {"curves": 0, "largest": 0, "pixels": 0}
    joined = {name: np.concatenate(values, axis=image_axis.get(name, -1)) for name, values in parts.items()}
    return Localized(
        curves=joined.get("curves"),
        largest=joined.get("largest"),
        coverage=joined["coverage"],
        entropy=joined["entropy"],
        overlap=joined["overlap"],
        added=joined["added"],
        shares=joined.get("shares"),
        pixels=joined.get("pixels"),
    )


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
    split, where that has boxes, which choose another; `faithful` what `acol.faithfulness` measured. Localization is
    GT-known by the true class's map, and Top-1 or Top-5 where the class is right as well. Every score has a 95 %
    bootstrap interval of `resamples` resamples under details["intervals"].
    """
    labels = np.array([classes.index(image.label) for image in images])
    scores = classification(outputs.logits[0], labels)
    target = torch.from_numpy(labels)
    losses = _losses(outputs.logits, target, recipe)
    found = localize(outputs, images, recipe, root)
    per_image = {"accuracy_top1": scores.correct, "accuracy_top5": scores.top5_correct, "loss": losses.sum(axis=0)}
    per_image |= {f"loss_{k}": values for k, values in enumerate(losses, 1)}
    per_image |= {"coverage": found.coverage, "entropy": found.entropy}
    if len(recipe) > 1:
        per_image["overlap"] = found.overlap
    others: dict[str, Interval] = {}
    details: dict[str, Any] = {
        "classes": list(classes),
        "per_class_accuracy": dict(zip(classes, scores.per_class.tolist(), strict=True)),
        "confusion": scores.confusion.tolist(),
        "erasing": _erasing(found),
        "tau": {"fixed": fixed_tau, "used": "fixed"},
    }
    if found.curves is not None and found.largest is not None:
        candidates = {
            "fixed": fixed_tau,
            "validation": boxes.choose_tau(validation),
            "oracle": boxes.choose_tau(found.curves),
        }
        taus = {name: tau for name, tau in candidates.items() if tau is not None}
        used = "validation" if "validation" in taus else "fixed"
        for name, tau in taus.items():
            suffix, right = "" if name == used else f"_{name}", boxes.iou_at(found.curves, tau) >= 0.5
            per_image[f"gt_known_loc{suffix}"] = right
            per_image[f"top1_loc{suffix}"] = right & scores.correct
            per_image[f"top5_loc{suffix}"] = right & scores.top5_correct
        others = _box_intervals(found.curves, found.largest, resamples, seed)
        details["tau"] = taus | {"used": used}
        details["box_accuracy_by_tau"] = _accuracy_by_tau(found.curves)
        details["centred_box"] = centred_box_metrics(images)
    if found.pixels is not None:
        others["pxap"], others["piou"] = masks.pixel_intervals(found.pixels, resamples=resamples, seed=seed)
        details["piou_by_tau"] = _piou_by_tau(found.pixels)
    per_image |= {name: values[np.isfinite(values)] for name, values in faithful.items()}
    means = {name: mean_interval(values, resamples=resamples, seed=seed) for name, values in per_image.items()}
    intervals = means | others
    details["intervals"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
    tau = details["tau"][details["tau"]["used"]]
    rows = _rows(outputs, images, classes, recipe, found, scores.correct, scores.top5_correct, losses[0], tau)
    metrics = {name: interval.value for name, interval in intervals.items()}
    return Evaluation(metrics, details, rows.assign(**faithful), found.curves)


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
    metric = boxes.MaxBoxAccV2()
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
    correct: np.ndarray,
    top5_correct: np.ndarray,
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
            "correct": correct.astype(int),
            "top5_correct": top5_correct.astype(int),
            "loss_1": losses,
        }
    )
    corners = _user_boxes(outputs, images, recipe, tau)
    rows[["x0", "y0", "x1", "y1"]] = corners.round(2)
    # Of the box that users get; the protocol's best over every contour stands beside it.
    rows["iou"] = [_box_iou(corner, image) for corner, image in zip(corners, images, strict=True)]
    rows["protocol_iou"] = np.nan if found.curves is None else boxes.iou_at(found.curves, tau)
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
    found = [
        box_of(score_map, tau)
        for start in range(0, len(images), _CHUNK)
        for score_map in fused_maps(outputs.cams[:, start : start + _CHUNK], recipe)
    ]
    sizes = np.array([(image.width, image.height) for image in images], dtype=float)
    return np.array(found, dtype=float) * np.tile(sizes, 2) / MAP_SIZE
