"""All scores of a trained model on a split, with their intervals, from the outputs of one forward pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from acol.data.manifest import Image
from acol.data.mask_values import MaskValues
from acol.localization.choice import PLAIN, SCORES, Choice, values_of
from acol.localization.erasing_effect import Erased, compare_classifiers
from acol.localization.fusion import CAM, combine, possible
from acol.localization.inference import SplitOutputs
from acol.localization.map_scores import MapScores, score_maps
from acol.localization.maps import FusedMaps
from acol.losses import image_losses
from acol.metrics.accuracy import Classification, classification
from acol.metrics.calibration import Calibration, calibration_error
from acol.metrics.intervals import balanced_interval, mean_interval
from acol.recipe import Recipe


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split."""

    metrics: dict[str, float]  # the scores by name
    details: dict[str, Any]  # everything else, ready for JSON
    images: pd.DataFrame  # one row per image, in order
    # (N, T), the best IoU of all contours at each tau; NaN for an image without boxes; None if none has any
    iou_curves: np.ndarray | None
    # The map of the cell (N, h, w) in [0, 1], of the true class ("map") and the predicted one ("predicted_map")
    maps: Mapping[str, np.ndarray]


def evaluate(
    outputs: SplitOutputs,
    images: Sequence[Image],
    classes: Sequence[str],
    recipe: Recipe,
    root: Path,
    *,
    fixed_tau: float,
    mask_values: MaskValues | None = None,
    validation: np.ndarray | None,
    faithful: Mapping[str, np.ndarray],
    calibration: Calibration | None = None,
    choice: Choice = PLAIN,
    others: Collection[str] = (),
    resamples: int,
    seed: int,
) -> Evaluation:
    """Score the outputs of a model for a split. All localization scores are those of the chosen map.

    GT-known localization uses the map of the true class; Top-1 and Top-5 also need the right class.

    Args:
        outputs: of the N images.
        images: these images, with their boxes or masks if they have some.
        classes: the names of the classes, in the order of their indices.
        recipe: of the model.
        root, mask_values, fixed_tau, validation: as in `acol.localization.map_scores.score_maps`.
        faithful: the results of `acol.localization.faithfulness`, NaN outside of its sample.
        calibration: makes probabilities of logits (default: their softmax).
        choice: the chosen map (default: plain CAM).
        others: the names of other maps that are scored, as far as the sources allow it. They, plain CAM and the chosen
            map get MaxBoxAccV2 by boxes, or else PxAP by masks: in details["maps"], and as a column of `images`.
        resamples, seed: of the bootstraps for the 95 % intervals in details["intervals"] (`acol.metrics.intervals`).
    """
    sources = outputs.sources(recipe)
    # Predictions, losses, and the effect of erasing.
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[image.label] for image in images])
    scores = classification(outputs.logits[0], labels)
    losses = image_losses(torch.from_numpy(outputs.logits), torch.from_numpy(labels), recipe).double().numpy()
    erased = compare_classifiers(outputs.cams, images, recipe)

    # Calibration changes the probabilities that users see, but no prediction.
    calibration = calibration or Calibration()
    plain, softened = (_softmax(outputs.logits[0] / divisor) for divisor in (1.0, calibration.temperature))
    calibrated = calibration.bounded(softened)
    # Scores that are a mean over images. `faithful` is NaN for images outside of its sample.
    values = {"accuracy_top1": scores.correct, "accuracy_top5": scores.top5_correct, "loss": losses.sum(axis=0)}
    values |= {f"loss_{k}": loss for k, loss in enumerate(losses, 1)}
    if len(recipe) > 1:
        values["overlap"] = erased.overlap
    values |= {name: measured[np.isfinite(measured)] for name, measured in faithful.items()}
    intervals = {name: mean_interval(each, resamples=resamples, seed=seed) for name, each in values.items()}
    intervals["balanced_accuracy"] = balanced_interval(scores.correct, labels)
    # Scores of the map.
    scored = score_maps(
        FusedMaps(sources, choice.name),
        images,
        root,
        fixed_tau=fixed_tau,
        mask_values=mask_values,
        validation=validation,
        class_right={"top1_loc": scores.correct, "top5_loc": scores.top5_correct},
        resamples=resamples,
        seed=seed,
    )
    intervals |= scored.intervals
    for name, probabilities in (("calibration_error", plain), ("calibration_error_scaled", calibrated)):
        largest = probabilities.max(axis=1)
        intervals[name] = calibration_error(largest, scores.correct, resamples=resamples, seed=seed)
    # Scores of the other maps, by boxes or masks.
    names = [name for name in possible(sources) if name in {CAM, choice.name, *others}]
    known = {choice.name: scored.measured["every"]} if "every" in scored.measured else {}
    of_maps = values_of(sources, images, names, root, mask_values, curves=known)
    # The contents of the result files.
    details = {
        "calibration": asdict(calibration),
        "classes": list(classes),
        "per_class_accuracy": dict(zip(classes, scores.per_class.tolist(), strict=True)),
        "confusion": scores.confusion.tolist(),
        "erasing": erased.rows(),
        **scored.details,
        "map": choice.name,
        "map_choice": asdict(choice),
        "maps": of_maps.table() if of_maps else {name: {} for name in names},
        "intervals": {name: [interval.low, interval.high] for name, interval in intervals.items()},
    }
    metrics = {name: interval.value for name, interval in intervals.items()}
    rows = _rows(calibrated, images, classes, scores, losses[0], scored, erased)
    if of_maps:
        for name, contributions in of_maps.by_name.items():
            rows.loc[of_maps.indices, f"{SCORES[of_maps.by]}:{name}"] = contributions
    predicted = combine(outputs.sources(recipe, predicted=True), choice.name).numpy()
    maps = {"map": combine(sources, choice.name).numpy(), "predicted_map": predicted}
    return Evaluation(metrics, details, rows.assign(**faithful), _iou_curves(scored, images), maps)


def _iou_curves(scored: MapScores, images: Sequence[Image]) -> np.ndarray | None:
    """Return the IoU curves (N, T) of all images, NaN for those without boxes; None if none has any."""
    curves = scored.measured.get("every")
    if curves is None:
        return None
    every = np.full((len(images), curves.shape[1]), np.nan)
    every[[bool(image.boxes) for image in images]] = curves
    return every


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(1).numpy()


def _rows(
    probabilities: np.ndarray,
    images: Sequence[Image],
    classes: Sequence[str],
    scores: Classification,
    losses: np.ndarray,
    scored: MapScores,
    erased: Erased,
) -> pd.DataFrame:
    """Return the table of the images: answers, losses of the first classifier, boxes, and properties of maps."""
    rows = pd.DataFrame(
        {
            "path": [image.path for image in images],
            "label": [image.label for image in images],
            "predicted": [classes[index] for index in probabilities.argmax(1).tolist()],
            "probability": probabilities.max(axis=1),
            "correct": scores.correct.astype(int),
            "top5_correct": scores.top5_correct.astype(int),
            "loss_1": losses,
        }
    )
    rows[["x0", "y0", "x1", "y1"]] = scored.boxes.round(2)
    rows["iou"], rows["above_tau"] = scored.iou, scored.above_tau
    rows["coverage"], rows["entropy"] = scored.measured["coverage"], scored.measured["entropy"]
    for k, added in enumerate(erased.added, 1):
        rows[f"added_{k}"] = added
        if erased.shares is not None:
            rows[f"object_share_{k}"] = erased.shares[k - 1]
    return rows
