"""Reads what `evaluate` wrote for a cell, and what the cell costs. An error names the missing or broken file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from acol.errors import InputError
from acol.setting_types import RIGHT_IOU
from pipeline import places
from pipeline.places import read_json, reading

TEXT_COLUMNS = ("path", "label", "predicted")


@dataclass(frozen=True)
class Results:
    """A cell's results by the path of the image: the row of images.csv, and the maps in [0, 1].

    `true_cams` (K, h, w) are the K classifiers' maps of the true class. `maps` and `predicted_maps` (h', w') are the
    cell's maps of the true and of the predicted class.
    """

    answers: dict[str, dict[str, Any]]
    true_cams: dict[str, npt.NDArray[np.floating]]
    maps: dict[str, npt.NDArray[np.floating]]
    predicted_maps: dict[str, npt.NDArray[np.floating]]


def read_results(folder: Path, paths: Sequence[str] | None = None) -> Results:
    """Read images.csv and the maps of `paths` (None: of all) from results/{cell}.

    Raises `InputError` that names the file if one is missing, broken, or does not hold an image of `paths`.
    """
    images = read_images(folder / "images.csv")
    file = folder / "maps.npz"
    with reading(file), np.load(file, allow_pickle=False) as maps:
        place = {str(path): index for index, path in enumerate(maps["paths"])}
        wanted = list(place) if paths is None else list(paths)
        unknown = sorted(set(wanted) - place.keys() | set(wanted) - set(images["path"]))
        if unknown:
            raise InputError(f"{file}: no map of {unknown[0]!r}; it is of another test split, evaluate the cell again")
        arrays = [maps[name] for name in ("cams", "map", "predicted_map")]
    answers = images.set_index("path").to_dict("index")
    return Results(answers, *({path: array[place[path]] for path in wanted} for array in arrays))


def read_iou_curves(file: Path, images: pd.DataFrame) -> npt.NDArray[np.floating] | None:
    """Read the IoU curves (N, T) of the N rows of images.csv from maps.npz; None if the test images have no boxes.

    Raises `InputError` that names the file if it is missing or broken, or has other images.
    """
    with reading(file), np.load(file, allow_pickle=False) as maps:
        if list(maps["paths"]) != list(images["path"]):
            raise InputError(f"{file}: has other images than images.csv; evaluate the cell again")
        return maps.get("iou_curves")


def read_images(file: Path) -> pd.DataFrame:
    """Read results/{cell}/images.csv. Names such as "NA" and "007" stay text; a missing number is NaN."""
    with reading(file):
        header = pd.read_csv(file, nrows=0).columns
        numbers = [column for column in header if column not in TEXT_COLUMNS]
        return pd.read_csv(
            file, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values={n: [""] for n in numbers}
        )


def right_boxes(images: pd.DataFrame) -> pd.Series:
    """Return whether the box is right, for those rows of images.csv that have a true box."""
    return images["iou"].dropna() >= RIGHT_IOU


def costs(cell: str, root: Path = Path()) -> dict[str, float]:
    """Return the costs of a cell (`pipeline.report.metrics.COSTS`) that were measured."""
    training, speed = root / places.timing(cell), root / places.speed(cell)
    measured: dict[str, float] = read_json(speed) if speed.exists() else {}
    if training.exists():
        with reading(training):
            measured["train_seconds"] = float(pd.read_csv(training)["seconds"].sum())
    if (checkpoint := root / places.model(cell) / "best.pt").exists():
        measured["size_mb"] = checkpoint.stat().st_size / 1e6
    return measured
