"""The files that the stages wrote for each cell of the grid, read into rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from acol.errors import Faults, InputError
from acol.figures.training_curves import Curve
from pipeline import places
from pipeline.params import Cell
from pipeline.pictures import read_curve
from pipeline.places import read_json
from pipeline.report.differences import Scored, scores_of
from pipeline.results import costs, read_images, read_iou_curves

NEEDED = {"path", "label", "correct", "iou", "loss_1"}  # columns of images.csv


@dataclass(frozen=True)
class Entry:
    """One cell's row: facts such as its recipe, metrics (fractions and losses, finite), and their intervals.

    `erasing` has for each classifier the new part of its region (`added`) and, if there are boxes, the share of the
    object that it covers (`object_share`); see `acol.metrics.quality`. `maps` has MaxBoxAccV2 of each map that was
    scored, and its gain over plain CAM with the interval.
    """

    cell: str
    facts: Mapping[str, str | int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    erasing: Sequence[Mapping[str, float]] = ()
    maps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What the seeds of one experiment share: the cell's name without a seed."""
        return f"{self.facts['backbone']}-{self.facts['head']}"


def over_seeds(entries: Sequence[Entry]) -> list[Entry]:
    """Return one row per group, in order, named after the group: the mean of each metric that all its seeds have."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    rows = []
    for name, group in groups.items():
        shared = [metric for metric in group[0].metrics if all(metric in entry.metrics for entry in group)]
        means = {metric: float(np.mean([entry.metrics[metric] for entry in group])) for metric in shared}
        rows.append(Entry(name, group[0].facts, means, {}))
    return rows


@dataclass(frozen=True)
class Loaded:
    """All that is read of a cell: its row, its training, images and scores."""

    cell: Cell
    entry: Entry
    curve: Curve
    images: pd.DataFrame
    scored: Scored


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
    entry = Entry(cell.name, facts, metrics, intervals, erasing, details.get("maps", {}))
    return Loaded(cell, entry, read_curve(models, results), images, Scored(cell, scores))


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
