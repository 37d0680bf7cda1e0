"""What the cells' answers say of the test images: which are hard, which labels may be wrong, what they cannot tell."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from acol.data.manifest import Image, uneven
from acol.metrics.boxes import RIGHT

SUSPECT = ["path", "label", "suggested", "cells", "probability"]
FEW = 10  # test images of a class; with fewer its accuracy moves by more than ten points with each of them


def hardest(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the test images over the cells' images.csv, hardest first.

    Columns: path, label; `solved`, the share of cells that named the class and, if there are boxes, had a right one;
    the means of `iou` and of the first classifier's loss. The least solved images come first, then the lowest IoU, then
    the highest loss.
    """
    parts = []
    for images in cells:
        found = images["iou"].isna() | (images["iou"] >= RIGHT)
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
