"""All results of `compare`: what the tables, the pictures and the page show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from acol.metrics.intervals import Interval
from pipeline.report.cells import Entry, Loaded
from pipeline.report.differences import Comparison


@dataclass(frozen=True)
class Findings:
    """The complete cells in the grid's order, why each other cell is missing, and the comparison.

    `best` is the content of best.json; `baselines` the metrics, by name, of what the cells must beat; `over_seeds` each
    compared score's interval over images and trainings, by group, where it has several seeds; `hardest` one row per
    test image, hardest first (`cells.hardest`); `suspects` the images whose label may be wrong
    (`wrong_labels.likely_wrong`).
    """

    cells: Sequence[Loaded]
    missing: Mapping[str, str]
    best: Mapping[str, Any]
    comparisons: Sequence[Comparison]
    baselines: Mapping[str, Mapping[str, float]]
    over_seeds: Mapping[str, Mapping[str, Interval]]
    hardest: pd.DataFrame
    suspects: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def entries(self) -> list[Entry]:
        """The rows of the tables."""
        return [cell.entry for cell in self.cells]
