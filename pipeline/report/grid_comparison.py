"""All results of `compare`, which the tables, the pictures and the page show.

They are the comparison of the cells, which test images are hard for all cells, and which labels may be wrong.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from acol.data.manifest import Image, Manifest, uneven
from acol.metrics.intervals import Interval
from acol.setting_types import RIGHT_IOU
from pipeline.params import Params
from pipeline.report.baselines import baselines_of
from pipeline.report.cells import Loaded, by_group, load_cells
from pipeline.report.differences import Comparison, compare_cells, over_trainings, unbeaten
from pipeline.report.recommendation import recommend
from pipeline.report.verdict import best_over_seeds

SUSPECT = ["path", "label", "suggested", "cells", "probability"]
FEW = 10  # test images of a class: with fewer, each image moves the accuracy of the class by more than ten points


@dataclass(frozen=True)
class GridComparison:
    """The complete cells in the grid's order, why each other cell is missing, and the comparison.

    `best` is the content of best.json, and `recommended` that of the page's first screen. `baselines` has the metrics
    of each baseline by its title. `over_seeds` has the interval of each compared score over images and trainings, for
    groups of several seeds. `hardest` has a row for each test image, hardest first. `suspects` has the images whose
    label may be wrong.
    """

    cells: Sequence[Loaded]
    missing: Mapping[str, str]
    best: Mapping[str, Any]
    recommended: Mapping[str, Any] | None
    comparisons: Sequence[Comparison]
    baselines: Mapping[str, Mapping[str, float]]
    over_seeds: Mapping[str, Mapping[str, Interval]]
    hardest: pd.DataFrame
    suspects: pd.DataFrame = field(default_factory=pd.DataFrame)


def compare_grid(params: Params, manifest: Manifest) -> GridComparison:
    """Read the cells that params.yaml names and compare them on the test images of the manifest.

    Raises `Faults` if no cell is complete.
    """
    tests = manifest.of("test")
    cells, missing = load_cells(params.cells(), [image.path for image in tests])
    images = [cell.images for cell in cells]
    groups = {name: {cell.cell.seed: cell.scores for cell in group} for name, group in by_group(cells).items()}
    # Choose the best cell, and compare it with the others and with the baselines.
    best = best_over_seeds(cells, params.compare.best_by)
    group = next((cell.cell.group for cell in cells if cell.cell.name == best["cell"]), None)
    maps = {
        name: {str(cell.facts["map"]) for cell in cells if cell.cell.backbone == name} for name in params.grid.backbones
    }
    baselines = baselines_of(manifest, maps)
    comparisons = compare_cells(groups, group, baselines)
    recommended = recommend(cells, best, comparisons)
    # What best.json says beside the choice itself.
    best |= {"below": unbeaten(comparisons, group), "notes": notes_on(tests)}
    best |= {"of": len(cells), "boxes": any(image.boxes for image in tests)}
    best |= {"take": recommended and {key: recommended[key] for key in ("cell", "why")}}
    values = {baseline.title: baseline.values for baseline in baselines}
    means, suspects = over_trainings(groups), likely_wrong(images)
    return GridComparison(cells, missing, best, recommended, comparisons, values, means, hardest(images), suspects)


def hardest(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the test images, hardest first; `cells` are the images.csv of the cells.

    Columns: path; label; `solved`, the share of cells that named the class and, if the image has a box, found it; the
    means of `iou` and of the first classifier's loss. Images that the fewest cells solved come first, then those of the
    lowest IoU, then those of the highest loss.
    """
    parts = []
    for images in cells:
        located = images["iou"].isna() | (images["iou"] >= RIGHT_IOU)
        parts.append(images.assign(solved=((images["correct"] == 1) & located).astype(float)))
    means = pd.concat(parts).groupby(["path", "label"], sort=True)[["solved", "iou", "loss_1"]].mean()
    return means.reset_index().sort_values(["solved", "iou", "loss_1"], ascending=[True, True, False], kind="stable")


def likely_wrong(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the images for which most cells are sure of one and the same other class; the surest first.

    `cells` are the images.csv of the cells. A cell is sure if its probability is at least its mean probability on those
    images of that class that it names rightly: the threshold of confident learning (Northcutt et al., JAIR 2021).
    Columns: path, label, the `suggested` class, the share of `cells` that suggest it, and their mean `probability`.
    """
    votes = []
    for images in cells:
        right = images[images["correct"] == 1]
        sure = images["predicted"].map(right.groupby("label")["probability"].mean()).fillna(np.inf)
        votes.append(images[(images["correct"] == 0) & (images["probability"] >= sure)])
    classes = pd.concat(votes).groupby(["path", "label", "predicted"])["probability"].agg(["count", "mean"])
    classes["cells"] = classes["count"] / len(cells)
    most = classes[classes["cells"] > 0.5].reset_index()
    most = most.rename(columns={"predicted": "suggested", "mean": "probability"})
    return most.sort_values(["cells", "probability"], ascending=False, kind="stable")[SUSPECT].reset_index(drop=True)


def notes_on(tests: Sequence[Image]) -> list[str]:
    """Return sentences on what limits the scores: truth for some images only, classes of few images, uneven classes."""
    notes = []
    for name, known in (("boxes", [image.boxes for image in tests]), ("masks", [image.masked for image in tests])):
        if 0 < (count := sum(map(bool, known))) < len(tests):
            notes.append(f"{count} of the {len(tests)} test images have {name}: scores of {name} are of these alone.")
    counts = Counter(image.label for image in tests)
    if few := [f"{label} ({count})" for label, count in sorted(counts.items()) if count < FEW]:
        notes.append(f"Fewer than {FEW} test images: {', '.join(few)}. Scores of these classes mean little.")
    if uneven(counts.values()):
        largest = max(counts, key=lambda label: counts[label])
        notes.append(
            f"The classes are uneven: a model that always says {largest} is right in "
            f"{counts[largest] / len(tests):.0%}. Balanced accuracy counts each class the same."
        )
    return notes
