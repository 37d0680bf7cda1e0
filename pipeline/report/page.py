"""report/index.html: all results of `compare` as one page that needs no other file.

No name is ever read as markup. Names are in the page's JSON, which page.js inserts as text, or the template escapes
them. The plots are SVG without names.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from acol.data.manifest import Manifest
from acol.figures.pixels import HEAT, OPACITY, PREDICTED, TRUE
from acol.files import atomic_write
from acol.setting_types import RIGHT_IOU
from pipeline.report.cells import Loaded
from pipeline.report.gallery import base64_text, photographs, rounded
from pipeline.report.grid_comparison import GridComparison
from pipeline.report.metrics import COSTS, HEADLINE, about, ordered
from pipeline.report.plots import curve_plots, delta_plots, family_places
from pipeline.report.templates import render
from pipeline.report.verdict import how_sure, leading_metric
from pipeline.results import right_boxes

SUSPECTS = 24  # labels that may be wrong: so many of the surest are shown, with their photographs


def write_page(path: Path, grid: GridComparison, manifest: Manifest) -> None:
    """Write the page, with as many photographs as fit."""
    # The photographs of the answer and of labels that may be wrong are always among the images.
    tests = {image.path: image for image in manifest.of("test")}
    hardest = [tests[name] for name in grid.hardest["path"]]
    suspects = grid.suspects.head(SUSPECTS).set_index("path")
    recommended = grid.recommended
    needed = [*recommended["worst"], *recommended["typical"]] if recommended else []
    images, maps = photographs(grid.cells, hardest, manifest, {*needed, *suspects.index})
    for image in images:
        image["suggested"] = suspects.loc[image["path"], "suggested"] if image["path"] in suspects.index else None
    keys = ordered({metric for cell in grid.cells for metric in cell.metrics})
    compared_by = leading_metric(grid.best, grid.comparisons)
    # What page.js shows.
    content = {
        "taken": recommended,
        "best": grid.best["cell"],
        "missing": grid.missing,
        "metrics": [asdict(replace(about(key), score=None)) | {"headline": key in (*HEADLINE, *COSTS)} for key in keys],
        "baselines": grid.baselines,
        "cells": [
            _cell(cell, manifest.classes) | {"maps": kept, "look": look}
            for cell, kept, look in zip(grid.cells, maps, family_places(grid.cells), strict=True)
        ],
        "comparisons": [
            row.row() | {"sureness": row.sureness, "baseline": row.baseline is not None} for row in grid.comparisons
        ],
        "comparedBy": compared_by,
        "classes": manifest.classes,
        "tests": len(hardest),
        "right": RIGHT_IOU,
        "images": images,
        "heat": base64_text(np.rint(HEAT).astype(np.uint8).tobytes()),
        "opacity": OPACITY,
    }
    # What the template shows.
    parts = {
        "taken": recommended,
        "located": any(image.boxes or image.masked for image in hardest),
        "true_colour": TRUE,
        "predicted_colour": PREDICTED,
        "facts": f"Cells: {len(grid.cells)}. Test photographs: {len(hardest)}. Classes: {len(manifest.classes)}.",
        "sure": how_sure(grid.cells, grid.best, grid.comparisons),
        "curves": curve_plots(grid.cells),
        "suspects": suspects.reset_index().to_dict("records"),
        "all_suspects": len(grid.suspects),
        "best_by": " or ".join(sorted({cell.curve.best_by for cell in grid.cells})),
        "deltas": delta_plots(grid.cells, grid.baselines, compared_by),
    }
    script, style = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    # The browser runs only the script of this hash, so that names cannot add another.
    parts |= {"script": script, "hash": base64_text(hashlib.sha256(script.encode()).digest()), "style": style}
    text = render(Path(__file__).with_name("page.html.jinja"), content=_json(content), **parts)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _json(content: Any) -> str:
    """Return JSON that cannot end the script element around it. It is ASCII, so that any file name can be written."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _cell(loaded: Loaded, classes: Sequence[str]) -> dict[str, Any]:
    cell, curve = loaded.cell, loaded.curve
    return {
        "name": cell.name,
        "backbone": cell.backbone,
        "head": str(cell.head),
        "letters": cell.recipe.letters,
        "deltas": cell.recipe.deltas,
        "map": loaded.facts["map"],
        "metrics": {name: rounded(value, 5) for name, value in loaded.metrics.items()},
        "intervals": {name: [rounded(low, 5), rounded(high, 5)] for name, (low, high) in loaded.intervals.items()},
        "erasing": loaded.erasing,
        "classes": _classes(loaded, classes),
        "history": {name: [rounded(value, 5) for value in values] for name, values in curve.history.items()},
        "bestEpoch": curve.best_epoch,
    }


def _classes(cell: Loaded, classes: Sequence[str]) -> dict[str, Any]:
    """Return which classes the cell named for photographs of each class, and each class's share of right boxes.

    `confusion` has [true class, named class, number of photographs] for each pair that occurs; classes are indices.
    """
    index = {name: number for number, name in enumerate(classes)}
    images = cell.images
    pairs = images.groupby(["label", "predicted"], sort=False).size()
    confusion = sorted([index[true], index[named], int(count)] for (true, named), count in pairs.items())
    shares = right_boxes(images).groupby(images["label"]).mean()
    located = {index[name]: rounded(share) for name, share in shares.items()}
    return {"confusion": confusion, "located": [located.get(number) for number in range(len(classes))]}
