"""All results of `compare`: what the tables, the pictures and the page show.

Beside the comparison of the cells these are the test images over all cells: which are hard, which labels may be wrong.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from acol.bounds import RIGHT_IOU
from acol.data.manifest import Image, Manifest, uneven
from acol.metrics.intervals import Interval
from pipeline.params import Params
from pipeline.report.answer import answer
from pipeline.report.baselines import baselines_of
from pipeline.report.cells import Loaded, grouped, load_all
from pipeline.report.differences import Comparison, compare_cells, over_trainings, unbeaten
from pipeline.report.verdict import best_over_seeds

SUSPECT = ["path", "label", "suggested", "cells", "probability"]
FEW = 10  # test images of a class; with fewer its accuracy moves by more than ten points with each of them


@dataclass(frozen=True)
class Findings:
    """The complete cells in the grid's order, why each other cell is missing, and the comparison.

    `best` is the content of best.json, and `taken` the page's answer; `baselines` the metrics, by name, of what the
    cells must beat; `over_seeds` each compared score's interval over images and trainings, by group, where it has
    several seeds; `hardest` one row per test image, hardest first; `suspects` the images whose label may be wrong.
    """

    cells: Sequence[Loaded]
    missing: Mapping[str, str]
    best: Mapping[str, Any]
    taken: Mapping[str, Any] | None
    comparisons: Sequence[Comparison]
    baselines: Mapping[str, Mapping[str, float]]
    over_seeds: Mapping[str, Mapping[str, Interval]]
    hardest: pd.DataFrame
    suspects: pd.DataFrame = field(default_factory=pd.DataFrame)


def find(params: Params, manifest: Manifest) -> Findings:
    """Read the cells that params.yaml names and compare them on the test images of the manifest.

    Raises `Faults` if no cell is complete.
    """
    tests = manifest.of("test")
    cells, missing = load_all(params.cells(), [image.path for image in tests])
    images = [cell.images for cell in cells]
    of_groups = grouped(cells, lambda cell: cell.cell.group)
    groups = {name: {cell.cell.seed: cell.scores for cell in its} for name, its in of_groups.items()}
    best = best_over_seeds(cells, params.compare.best_by)
    group = next((cell.cell.group for cell in cells if cell.cell.name == best["cell"]), None)
    maps = {
        name: {str(cell.facts["map"]) for cell in cells if cell.cell.backbone == name} for name in params.grid.backbones
    }
    baselines = baselines_of(manifest, maps)
    comparisons = compare_cells(groups, group, baselines)
    taken = answer(cells, best, comparisons)
    best |= {"below": unbeaten(comparisons, group), "notes": notes_on(tests)}
    best |= {"of": len(cells), "boxes": any(image.boxes for image in tests)}
    best |= {"take": taken and {key: taken[key] for key in ("cell", "why")}}
    values = {baseline.title: baseline.values for baseline in baselines}
    means = over_trainings(groups)
    return Findings(cells, missing, best, taken, comparisons, values, means, hardest(images), likely_wrong(images))


def hardest(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the test images over the cells' images.csv, hardest first.

    Columns: path, label; `solved`, the share of cells that named the class and, if there are boxes, had a right one;
    the means of `iou` and of the first classifier's loss. The least solved images come first, then the lowest IoU, then
    the highest loss.
    """
    parts = []
    for images in cells:
        found = images["iou"].isna() | (images["iou"] >= RIGHT_IOU)
        parts.append(images.assign(solved=((images["correct"] == 1) & found).astype(float)))
    means = pd.concat(parts).groupby(["path", "label"], sort=True)[["solved", "iou", "loss_1"]].mean()
    return means.reset_index().sort_values(["solved", "iou", "loss_1"], ascending=[True, True, False], kind="stable")


def likely_wrong(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the images that most cells call another class, all the same one, and are sure of; the surest first.

    `cells` are the images.csv of cells, of the same images. A cell is sure if its probability is at least its mean for
    the images of that class that it names rightly: the threshold of confident learning (Northcutt et al., JAIR 2021).
    Columns: path, label, `suggested` class, the share of `cells` that suggest it, and their mean `probability`.
    """
    votes = []
    for images in cells:
        right = images[images["correct"] == 1]
        sure = images["predicted"].map(right.groupby("label")["probability"].mean()).fillna(np.inf)
        votes.append(images[(images["correct"] == 0) & (images["probability"] >= sure)])
    found = pd.concat(votes).groupby(["path", "label", "predicted"])["probability"].agg(["count", "mean"]).reset_index()
    found["cells"] = found["count"] / len(cells)
    found = found[found["cells"] > 0.5].rename(columns={"predicted": "suggested", "mean": "probability"})
    return found.sort_values(["cells", "probability"], ascending=False, kind="stable")[SUSPECT].reset_index(drop=True)


def notes_on(tests: Sequence[Image]) -> list[str]:
    """Return a sentence for each: truth for a part of the images only, classes with few images, uneven classes."""
    found = []
    for name, known in (("boxes", [image.boxes for image in tests]), ("masks", [image.masked for image in tests])):
        if 0 < (count := sum(map(bool, known))) < len(tests):
            found.append(f"{count} of the {len(tests)} test images have {name}: what {name} score is of these.")
    counts = Counter(image.label for image in tests)
    if few := [f"{label} ({count})" for label, count in sorted(counts.items()) if count < FEW]:
        found.append(f"Fewer than {FEW} test images: {', '.join(few)}. Scores of these classes mean little.")
    if uneven(counts.values()):
        largest = max(counts, key=lambda label: counts[label])
        found.append(
            f"The classes are uneven: a model that always says {largest} is right in "
            f"{counts[largest] / len(tests):.0%}. Balanced accuracy counts each class the same."
        )
    return found
