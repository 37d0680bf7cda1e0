"""Test images whose label may be wrong: models that never saw them are sure of another class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

COLUMNS = ["path", "label", "suggested", "cells", "probability"]


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
    if not cells:
        return pd.DataFrame(columns=COLUMNS)
    grouped = pd.concat(votes).groupby(["path", "label", "predicted"], sort=True)["probability"]
    found = grouped.agg(["count", "mean"]).reset_index()
    found["cells"] = found["count"] / len(cells)
    found = found[found["cells"] > 0.5].rename(columns={"predicted": "suggested", "mean": "probability"})
    return found.sort_values(["cells", "probability"], ascending=False, kind="stable")[COLUMNS].reset_index(drop=True)
