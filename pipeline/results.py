"""Read the files that `train` and `evaluate` wrote for a cell; an error names the missing or broken file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd

from acol.errors import InputError
from pipeline.places import read_json

TEXT_COLUMNS = ("path", "label", "predicted")


@dataclass(frozen=True)
class Curve:
    """One cell's training: a row per epoch (history.csv's columns), letters, number of classes, best epoch (from 1).

    `best_by` is what chose that epoch on the validation images: accuracy, balanced accuracy or localization.
    """

    history: pd.DataFrame
    letters: str
    num_classes: int
    best_epoch: int | None = None
    best_by: str = "accuracy"


@dataclass(frozen=True)
class Results:
    """A cell's results: images.csv, and by path the classifiers' maps (K, h, w) of the true class, and the cell's map.

    The cell's map (h', w') is of the true and of the predicted class.
    """

    images: pd.DataFrame
    true_cams: dict[str, npt.NDArray[np.floating]]
    maps: dict[str, npt.NDArray[np.floating]]
    predicted_maps: dict[str, npt.NDArray[np.floating]]


def read_results(folder: Path, paths: Sequence[str] | None = None) -> Results:
    """Read images.csv and the maps of `paths` (None: of all) from results/{cell}.

    Raises `InputError` that names the file if one is missing, broken, or does not hold an image of `paths`.
    """
    images = read_images(folder / "images.csv")
    file = folder / "maps.npz"
    with _reading(file), np.load(file, allow_pickle=False) as maps:
        place = {str(path): index for index, path in enumerate(maps["paths"])}
        wanted = list(place) if paths is None else list(paths)
        unknown = sorted(set(wanted) - place.keys() | set(wanted) - set(images["path"]))
        if unknown:
            raise InputError(f"{file}: no map of {unknown[0]!r}; it is of another test split, evaluate the cell again")
        kept = [maps[name] for name in ("cams", "map", "predicted_map")]
    return Results(images, *({path: each[place[path]] for path in wanted} for each in kept))


def read_iou_curves(file: Path, images: pd.DataFrame) -> npt.NDArray[np.floating] | None:
    """Read the IoU curves (N, T) of the rows of images.csv from maps.npz; None where the test images have no boxes.

    Raises `InputError` that names the file if it is missing, broken, or of other images.
    """
    with _reading(file), np.load(file, allow_pickle=False) as maps:
        if list(maps["paths"]) != list(images["path"]):
            raise InputError(f"{file}: has other images than images.csv; evaluate the cell again")
        return maps.get("iou_curves")


def read_images(file: Path) -> pd.DataFrame:
    """Read results/{cell}/images.csv. Names stay as they are written ("NA" and "007" are names); no number is NaN."""
    with _reading(file):
        header = pd.read_csv(file, nrows=0).columns
        numbers = [column for column in header if column not in TEXT_COLUMNS]
        return pd.read_csv(
            file, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values={n: [""] for n in numbers}
        )


def read_curve(folder: Path, results: Path) -> Curve:
    """Read models/{cell}'s history.csv and summary.json into a curve, with the localization by epoch of results/{cell}.

    Raises `InputError` naming a broken file.
    """
    with _reading(folder / "history.csv"):
        history = pd.read_csv(folder / "history.csv")
    if by_epoch := read_json(results / "details.json").get("val_max_box_acc_v2"):
        with _reading(results / "details.json"):
            history["val_max_box_acc_v2"] = by_epoch
    summary = read_json(folder / "summary.json")
    with _reading(folder / "summary.json"):
        return Curve(
            history,
            summary["letters"],
            summary["num_classes"],
            summary["best_epoch"],
            summary.get("best_by", "accuracy"),
        )


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: missing; run the stage that writes it (dvc repro)") from None
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        problem = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: cannot be read ({problem}); run the stage that writes it again") from None
