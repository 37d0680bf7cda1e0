"""The files that the stages wrote for each cell of the grid, read into rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from acol.errors import Faults, InputError
from acol.figures.training_curves import Curve
from acol.metrics.scored import Score
from pipeline import places
from pipeline.params import Cell
from pipeline.pictures import read_curve
from pipeline.places import read_json
from pipeline.report.differences import scores_of
from pipeline.results import costs, read_images, read_iou_curves

T = TypeVar("T")
NEEDED = {"path", "label", "correct", "iou", "loss_1"}  # columns of images.csv


@dataclass(frozen=True)
class Loaded:
    """All that is read of a cell: its metrics (fractions and losses, finite) with their intervals, and much beside.

    `erasing` has for each classifier the new part of its region (`added`) and, if there are boxes, the share of the
    object that it covers (`object_share`); see `acol.metrics.quality`. `maps` has MaxBoxAccV2 of each map that was
    scored, and its gain over plain CAM with the interval. `scores` are those that are compared.
    """

    cell: Cell
    facts: Mapping[str, str | int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    erasing: Sequence[Mapping[str, float]]
    maps: Mapping[str, Mapping[str, Any]]
    curve: Curve
    images: pd.DataFrame
    scores: Mapping[str, Score]


def grouped(cells: Sequence[Loaded], key: Callable[[Loaded], T]) -> dict[T, list[Loaded]]:
    """Return the cells by what `key` says of them, in order."""
    found: dict[T, list[Loaded]] = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return found


def means_over_seeds(cells: Sequence[Loaded]) -> dict[str, dict[str, float]]:
    """Return the mean of each metric that all seeds of a group have, by group, in order."""
    groups = {
        name: [cell.metrics for cell in its] for name, its in grouped(cells, lambda cell: cell.cell.group).items()
    }
    return {
        name: {key: float(np.mean([its[key] for its in group])) for key in group[0] if all(key in its for its in group)}
        for name, group in groups.items()
    }


def load(cell: Cell, tests: Sequence[str]) -> Loaded:
    """Read a cell's files; `tests` are the paths of the test images.

    Raises `InputError` that names the first file that is missing, broken, or of other images.
    """
    results, models = places.results(cell.name), places.model(cell.name)
    metrics = _finite(read_json(results / "metrics.json")) | costs(cell.name)
    details, summary = read_json(results / "details.json"), read_json(models / "summary.json")
    facts: dict[str, str | int] = {"backbone": cell.backbone, "head": str(cell.head.without_seed)}
    facts |= {"recipe": str(cell.recipe), "seed": cell.seed, "map": details.get("map", "cam")}
    facts |= {fact: summary[fact] for fact in ("best_epoch", "epochs_run") if fact in summary}
    intervals = {name: (low, high) for name, (low, high) in details.get("intervals", {}).items() if name in metrics}
    erasing = [_finite(row) for row in details.get("erasing", [])]
    images = read_images(results / "images.csv")
    lacking = sorted(NEEDED - {*images.columns})
    if lacking or list(images["path"]) != list(tests):
        what = f"has no column {lacking[0]}" if lacking else "is of another test split"
        raise InputError(f"{results / 'images.csv'}: {what}; evaluate the cell again")
    scores = scores_of(images, read_iou_curves(results / "maps.npz", images))
    curve, maps = read_curve(models, results), details.get("maps", {})
    return Loaded(cell, facts, metrics, intervals, erasing, maps, curve, images, scores)


def load_all(cells: Sequence[Cell], tests: Sequence[str]) -> tuple[list[Loaded], dict[str, str]]:
    """Read the cells; return those that are complete, and why each of the others is not.

    Raises `Faults` if no cell is complete.
    """
    loaded, missing = [], {}
    for cell in cells:
        try:
            loaded.append(load(cell, tests))
        except InputError as error:
            missing[cell.name] = str(error)
    if not loaded:
        raise Faults([f"{cell}: {why}" for cell, why in missing.items()])
    return loaded, missing


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
