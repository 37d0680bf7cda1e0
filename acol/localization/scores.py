"""Every score of a trained model on a split, each with its interval, from the outputs of one forward pass."""

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
from acol.localization.erasing import Erased, compare_classifiers
from acol.localization.evidence import CAM, combine, possible
from acol.localization.inference import SplitOutputs
from acol.localization.located import Located, locate
from acol.localization.maps import FusedMaps
from acol.losses import image_losses
from acol.metrics.accuracy import Classification, classification
from acol.metrics.calibration import Calibration, calibration_error
from acol.metrics.intervals import balanced_interval, mean_interval
from acol.recipe import Recipe


@dataclass(frozen=True)
class Evaluation:
    """`metrics`: headline numbers by name; `details`: all else, ready for JSON; `images`: a row per image, in order.

    `iou_curves` (N, T): the best IoU at each tau over every contour, NaN for an image without boxes; None if none has.
    `maps`: the cell's map (N, h, w) in [0, 1] of the true class ("map") and of the predicted one ("predicted_map").
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    images: pd.DataFrame
    iou_curves: np.ndarray | None
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
    """Score a split's outputs.

    All scores are of the chosen map. It, plain CAM and the `others` of `acol.localization.evidence.MAPS` have
    MaxBoxAccV2, where the backbone allows them and images have boxes (else, of masks, PxAP): in details["maps"], and a
    column each in `images`. `acol.localization.located.locate` scores localization and takes some of these arguments.
    GT-known uses the true class's map; Top-1 and Top-5 also need the right class. `faithful` is the result of
    `acol.localization.faithfulness`, NaN outside its sample. `calibration` makes the probabilities. Every score has a
    95 % interval under details["intervals"] (`acol.metrics.intervals`); bootstraps have `resamples` resamples.
    """
    sources = outputs.sources(recipe)
    # What the classifiers answer, and what each step of erasing removes.
    index = {name: place for place, name in enumerate(classes)}
    labels = np.array([index[image.label] for image in images])
    scores = classification(outputs.logits[0], labels)
    losses = image_losses(torch.from_numpy(outputs.logits), torch.from_numpy(labels), recipe).double().numpy()
    erased = compare_classifiers(outputs.cams, images, recipe)

    # Calibration changes the probabilities that users see, and no answer.
    calibration = calibration or Calibration()
    plain, softened = (_probabilities(outputs.logits[0] / each) for each in (1.0, calibration.temperature))
    calibrated = calibration.bounded(softened)
    # Scores that are a mean over images. `faithful` has NaN for images that it was not measured on.
    values = {"accuracy_top1": scores.correct, "accuracy_top5": scores.top5_correct, "loss": losses.sum(axis=0)}
    values |= {f"loss_{k}": of_classifier for k, of_classifier in enumerate(losses, 1)}
    if len(recipe) > 1:
        values["overlap"] = erased.overlap
    values |= {name: measured[np.isfinite(measured)] for name, measured in faithful.items()}
    intervals = {name: mean_interval(each, resamples=resamples, seed=seed) for name, each in values.items()}
    intervals["balanced_accuracy"] = balanced_interval(scores.correct, labels)
    # Scores of the maps, where boxes or masks are known.
    located = locate(
        FusedMaps(sources, choice.name),
        images,
        root,
        fixed_tau=fixed_tau,
        mask_values=mask_values,
        validation=validation,
        right={"top1_loc": scores.correct, "top5_loc": scores.top5_correct},
        resamples=resamples,
        seed=seed,
    )
    intervals |= located.intervals
    for name, found in (("calibration_error", plain), ("calibration_error_scaled", calibrated)):
        intervals[name] = calibration_error(found.max(axis=1), scores.correct, resamples=resamples, seed=seed)
    # The other maps, by boxes or masks.
    names = [name for name in possible(sources) if name in {CAM, choice.name, *others}]
    known = {choice.name: located.measured["every"]} if "every" in located.measured else {}
    of_maps = values_of(sources, images, names, root, mask_values, curves=known)
    # What files hold: numbers in `metrics`, curves and settings in `details`, a row for each image.
    details = {
        "calibration": asdict(calibration),
        "classes": list(classes),
        "per_class_accuracy": dict(zip(classes, scores.per_class.tolist(), strict=True)),
        "confusion": scores.confusion.tolist(),
        "erasing": erased.rows(),
        **located.details,
        "map": choice.name,
        "map_choice": asdict(choice),
        "maps": of_maps.table() if of_maps else {name: {} for name in names},
        "intervals": {name: [interval.low, interval.high] for name, interval in intervals.items()},
    }
    metrics = {name: interval.value for name, interval in intervals.items()}
    rows = _rows(calibrated, images, classes, scores, losses[0], located, erased)
    if of_maps:
        for name, each in of_maps.by_name.items():
            rows.loc[of_maps.places, f"{SCORES[of_maps.by]}:{name}"] = each
    predicted = combine(outputs.sources(recipe, predicted=True), choice.name).numpy()
    maps = {"map": combine(sources, choice.name).numpy(), "predicted_map": predicted}
    return Evaluation(metrics, details, rows.assign(**faithful), _every(located, images), maps)


def _every(located: Located, images: Sequence[Image]) -> np.ndarray | None:
    """The IoU curves (N, T) of all images, NaN for those without boxes; None if none has any."""
    curves = located.measured.get("every")
    if curves is None:
        return None
    every = np.full((len(images), curves.shape[1]), np.nan)
    every[[bool(image.boxes) for image in images]] = curves
    return every


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(1).numpy()


def _rows(
    probabilities: np.ndarray,
    images: Sequence[Image],
    classes: Sequence[str],
    scores: Classification,
    losses: np.ndarray,
    located: Located,
    erased: Erased,
) -> pd.DataFrame:
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
    rows[["x0", "y0", "x1", "y1"]] = located.boxes.round(2)
    rows["iou"], rows["above_tau"] = located.iou, located.above_tau
    rows["coverage"], rows["entropy"] = located.measured["coverage"], located.measured["entropy"]
    for k, added in enumerate(erased.added, 1):
        rows[f"added_{k}"] = added
        if erased.shares is not None:
            rows[f"object_share_{k}"] = erased.shares[k - 1]
    return rows
