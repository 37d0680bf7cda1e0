"""All results of `compare`: what the tables, the pictures and the page show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from acol.data.manifest import Manifest
from acol.metrics.intervals import Interval
from pipeline.params import Params
from pipeline.report.baselines import baselines_of
from pipeline.report.cells import Entry, Loaded, load_all
from pipeline.report.differences import Comparison, compare_cells, over_trainings, unbeaten
from pipeline.report.image_findings import hardest, likely_wrong, notes_on
from pipeline.report.verdict import best_over_seeds


@dataclass(frozen=True)
class Findings:
    """The complete cells in the grid's order, why each other cell is missing, and the comparison.

    `best` is the content of best.json; `baselines` the metrics, by name, of what the cells must beat; `over_seeds` each
    compared score's interval over images and trainings, by group, where it has several seeds; `hardest` one row per
    test image, hardest first; `suspects` the images whose label may be wrong (both: `image_findings`).
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


def find(params: Params, manifest: Manifest) -> Findings:
    """Read the cells that params.yaml names and compare them on the test images of the manifest.

    Raises `Faults` if no cell is complete.
    """
    tests = manifest.of("test")
    cells, missing = load_all(params.cells(), [image.path for image in tests])
    scored, images = [cell.scored for cell in cells], [cell.images for cell in cells]
    best = best_over_seeds([cell.entry for cell in cells], params.compare.best_by)
    group = next((cell.cell.group for cell in cells if cell.cell.name == best["cell"]), None)
    maps = {
        name: {str(cell.entry.facts["map"]) for cell in cells if cell.cell.backbone == name}
        for name in params.grid.backbones
    }
    baselines = baselines_of(manifest, maps)
    comparisons = compare_cells(scored, group, baselines)
    best |= {"below": unbeaten(comparisons, group), "notes": notes_on(tests)}
    best |= {"of": len(cells), "boxes": any(image.boxes for image in tests)}
    values = {baseline.title: baseline.values for baseline in baselines}
    return Findings(
        cells, missing, best, comparisons, values, over_trainings(scored), hardest(images), likely_wrong(images)
    )
