"""Chooses the test images that are shown, and reads what a panel or gallery shows of them, and training curves."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from acol.data.images import read_image
from acol.data.manifest import Image, Manifest
from acol.data.mask_values import OBJECT
from acol.data.masks import true_mask
from acol.figures.panels import CellPrediction, PanelRow, Photograph
from acol.figures.training_curves import Curve
from acol.setting_types import RIGHT_IOU
from pipeline.places import read_json, reading
from pipeline.results import Results

ROWS = 40  # of one picture: a longer one is hard to read, and a very long one cannot be written


def choose_sample(images: Sequence[tuple[str, str]], count: int, seed: int) -> list[str]:
    """Choose `count` of the images (path, label), in turn from each class, so that every class is shown.

    Classes, and the images of a class, are ordered by a hash of the seed and the name. So the choice is the same in
    every cell, and added or removed images change little of it. The result is sorted by class.
    """

    def order(name: str) -> str:
        return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).hexdigest()

    classes: dict[str, list[str]] = {}
    for path, label in images:
        classes.setdefault(label, []).append(path)
    turns = [
        (turn, order(label), label, path)
        for label, paths in classes.items()
        for turn, path in enumerate(sorted(paths, key=order))
    ]
    return [path for _, _, label, path in sorted(sorted(turns)[:count], key=lambda chosen: (chosen[2], chosen[0]))]


def worst_failures(images: pd.DataFrame, count: int) -> list[str]:
    """Choose the `count` worst failures in images.csv, worst first. A wrong class or a wrong box is a failure."""
    failed = images[(images["correct"] == 0) | (images["iou"] < RIGHT_IOU)]
    return from_worst_to_best(failed)[:count]


def from_worst_to_best(images: pd.DataFrame) -> list[str]:
    """Return the paths in images.csv from the worst to the best prediction.

    Wrong classes come first, in order of falling probability. Right ones follow by rising IoU, and where that is equal
    or there are no boxes, by rising probability.
    """
    sure = np.where(images["correct"] == 1, images["probability"], -images["probability"])
    order = images.assign(sure=sure, fits=images["iou"].where(images["correct"] == 1, -1))
    return list(order.sort_values(["correct", "fits", "sure", "path"])["path"])


def photograph(image: Image, manifest: Manifest) -> Photograph:
    """Read an image of the manifest with its true boxes and mask."""
    pixels = np.asarray(read_image(Path(manifest.root) / image.path), dtype=np.uint8)
    mask = object_mask(image, manifest) if image.masked else None
    return Photograph(pixels, image.path, image.label, image.boxes or (), mask)


def object_mask(image: Image, manifest: Manifest) -> npt.NDArray[np.bool_]:
    """Return the pixels that belong to the object by an image's true mask (H, W), at the image's size."""
    return true_mask(image, manifest.root, manifest.mask_values, (image.width, image.height)) == OBJECT


def prediction(results: Results, path: str) -> CellPrediction:
    """Return a cell's answer to one image."""
    row = results.answers[path]
    box, iou = tuple(float(row[side]) for side in ("x0", "y0", "x1", "y1")), row["iou"]
    return CellPrediction(
        row["predicted"],
        row["probability"],
        box if np.isfinite(box).all() else None,
        iou if np.isfinite(iou) else None,
    )


def panel_row(path: str, results: Results, picture: Photograph) -> PanelRow:
    """Return an image with its prediction and maps; the map of the predicted class only if that class is wrong."""
    answer = prediction(results, path)
    rival = results.predicted_maps[path] if answer.label != picture.label else None
    return PanelRow(picture, answer, results.true_cams[path].astype(np.float32), results.maps[path], rival)


def read_curve(folder: Path, results: Path) -> Curve:
    """Read a cell's training curve from models/{cell}, with the localization by epoch from results/{cell}.

    Raises `InputError` that names the file if one is missing or broken.
    """
    with reading(folder / "history.csv"):
        history = pd.read_csv(folder / "history.csv")
    if by_epoch := read_json(results / "details.json").get("val_max_box_acc_v2"):
        with reading(results / "details.json"):
            history["val_max_box_acc_v2"] = by_epoch
    summary = read_json(folder / "summary.json")
    with reading(folder / "summary.json"):
        letters, classes, best_epoch = (summary[name] for name in ("letters", "num_classes", "best_epoch"))
        return Curve(history, letters, classes, best_epoch, summary.get("best_by", "accuracy"))
