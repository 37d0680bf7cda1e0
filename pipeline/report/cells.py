"""Reads the files that the stages wrote for each cell of the grid."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

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
NEEDED = {"path", "label", "correct", "iou", "loss_1"}  # columns that images.csv must have


@dataclass(frozen=True)
class Loaded:
    """The content of a cell's files.

    `facts` are the cell's columns in table.csv that are no metrics. `metrics` are fractions and losses, all finite.
    `erasing` has for each classifier the new part of its region (`added`) and, if there are boxes, the share of the
    object that it covers (`object_share`); see `acol.metrics.quality`. `maps` has for each map that was scored its
    MaxBoxAccV2, and its gain over plain CAM with the interval. `images` are the rows of images.csv. `scores` are the
    metrics that are compared with those of other cells.
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


def cells_by(cells: Sequence[Loaded], key: Callable[[Loaded], T]) -> dict[T, list[Loaded]]:
    """Return the cells by the key that the function `key` gives them. Keys and cells keep their order."""
    groups: dict[T, list[Loaded]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return groups


def by_group(cells: Sequence[Loaded]) -> dict[str, list[Loaded]]:
    """Return the cells by group: those of one group differ only in their seeds."""
    return cells_by(cells, lambda cell: cell.cell.group)


def means_over_seeds(cells: Sequence[Loaded]) -> dict[str, dict[str, float]]:
    """Return by group the mean of each metric that all of its cells have."""
    metrics = {name: pd.DataFrame([cell.metrics for cell in group]) for name, group in by_group(cells).items()}
    return {name: frame.dropna(axis="columns").mean().to_dict() for name, frame in metrics.items()}


def load_cell(cell: Cell, tests: Sequence[str]) -> Loaded:
    """Read a cell's files; `tests` are the paths of the test images.

    Raises `InputError` that names the first file that is missing or broken, or has other images.
    """
    results, models = places.results(cell.name), places.model(cell.name)
    metrics = _finite(read_json(results / "metrics.json")) | costs(cell.name)
    details, summary = read_json(results / "details.json"), read_json(models / "summary.json")
    facts: dict[str, str | int] = {"backbone": cell.backbone, "head": str(cell.head.without_seed)}
    facts |= {"recipe": str(cell.recipe), "seed": cell.seed, "map": details.get("map", "cam")}
    facts |= {fact: summary[fact] for fact in ("best_epoch", "epochs_run") if fact in summary}
    intervals = {name: (low, high) for name, (low, high) in details.get("intervals", {}).items() if name in metrics}
    images = read_images(results / "images.csv")
    lacking = sorted(NEEDED - {*images.columns})
    if lacking or list(images["path"]) != list(tests):
        what = f"has no column {lacking[0]}" if lacking else "is of another test split"
        raise InputError(f"{results / 'images.csv'}: {what}; evaluate the cell again")
    return Loaded(
        cell,
        facts,
        metrics,
        intervals,
        erasing=[_finite(row) for row in details.get("erasing", [])],
        maps=details.get("maps", {}),
        images=images,
        scores=scores_of(images, read_iou_curves(results / "maps.npz", images)),
        curve=read_curve(models, results),
    )


def load_cells(cells: Sequence[Cell], tests: Sequence[str]) -> tuple[list[Loaded], dict[str, str]]:
    """Return the complete cells, and by name why each of the others is not complete.

    Raises `Faults` if no cell is complete.
    """
    loaded, missing = [], {}
    for cell in cells:
        try:
            loaded.append(load_cell(cell, tests))
        except InputError as error:
            missing[cell.name] = str(error)
    if not loaded:
        raise Faults([f"{cell}: {why}" for cell, why in missing.items()])
    return loaded, missing


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
