"""compare: all cells of the grid side by side, and the best of them.

    python -m pipeline.compare

reads, for exactly the cells that params.yaml names, results/{cell}/{metrics.json,details.json,images.csv,maps.npz}
and models/{cell}/{history.csv,summary.json}, and writes into report/:

    table.csv table.json table.md   every metric of every cell, with its interval, and the centred box to beat
    differences.csv                 which differences between cells are real
    best.json                       the best cell, by the rule of params.yaml
    summary.json                    the headline numbers, for `dvc metrics show`
    images.csv                      the test images over all cells, hardest first
    curves.png                      the training of all cells
    gallery.png hardest.png         the same test images' maps in all cells: a sample, and the hardest
    index.html                      all of this as a page to open in a browser; it needs no other file

A cell without complete results is named, on stderr and in table.md, and left out; there must be one with them.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from acol.data.manifest import Image, read_manifest
from acol.errors import Faults, InputError
from acol.figures import panels as viz
from acol.files import atomic_write
from acol.localization.fusion import fused
from acol.localization.truth import MAP_SIZE, true_boxes
from acol.metrics.bootstrap import Resampled, resample_max
from acol.metrics.centred import centred_box_curves
from pipeline import cli, places
from pipeline.params import Cell, Evaluate, load_params
from pipeline.pictures import ROWS, choose_sample, photograph, prediction
from pipeline.report import page as report
from pipeline.report.differences import CENTRED_BOX, Comparison, Scored, compare_cells, score_cell
from pipeline.report.tables import Entry, lower_is_better, markdown, over_seeds, table
from pipeline.results import read_curve, read_images, read_iou_curves, read_json, read_results

REPORT = Path("report")
NEEDED = {"path", "label", "correct", "iou", "loss_1"}  # columns of images.csv
SUMMARY = ("accuracy_top1", "gt_known_loc", "max_box_acc_v2")


@dataclass(frozen=True)
class Loaded:
    """All that a cell left: its row, the centred box's metrics on the same images, its curve, images and scores."""

    cell: Cell
    entry: Entry
    baseline: Mapping[str, float]
    curve: viz.Curve
    images: pd.DataFrame
    scored: Scored


# --- the best ----------------------------------------------------------------------------------------------------


def best_cell(entries: Sequence[Entry], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best cell: the first metric of `by` decides, a tie goes to the next, at last to the grid's order.

    Higher is better, save of a loss, deletion and average drop. A metric that no cell has is passed over, and a cell
    without a metric that others have comes last in it. Returned: the cell (None if no cell has any of the metrics), the
    rule in words, the values that it won with, and the metric that decided.
    """
    used = [metric for metric in by if any(metric in entry.metrics for entry in entries)]
    passed_over = [metric for metric in by if metric not in used]
    rule = ", then ".join(f"{'lowest' if lower_is_better(metric) else 'highest'} {metric}" for metric in used)
    rule = f"{rule}, then the grid's order" if used else f"no cell has {' or '.join(by)}"
    if used and passed_over:
        rule += f"; no cell has {' or '.join(passed_over)}"
    if not used:
        return {"cell": None, "rule": rule, "values": {}, "decided_by": None}
    left, decided_by = list(entries), "the grid's order" if len(entries) > 1 else None
    for metric in used:
        scores = [_score(entry, metric) for entry in left]
        still = [entry for entry, score in zip(left, scores, strict=True) if score == max(scores)]
        if len(left) > 1 and len(still) == 1:
            decided_by = metric
        left = still
    values = {metric: left[0].metrics[metric] for metric in used if metric in left[0].metrics}
    return {"cell": left[0].cell, "rule": rule, "values": values, "decided_by": decided_by}


def best_over_seeds(entries: Sequence[Entry], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best experiment by the mean over its seeds, and of its seeds the best cell; else as `best_cell`."""
    groups = over_seeds(entries)
    if len(groups) == len(entries):
        return best_cell(entries, by)
    best = best_cell(groups, by)
    if best["cell"] is None:
        return best
    winner = best_cell([entry for entry in entries if entry.group == best["cell"]], by)
    return {**best, "cell": winner["cell"], "rule": f"of the means over seeds the {best['rule']}"}


def _score(entry: Entry, metric: str) -> float:
    value = entry.metrics.get(metric, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if lower_is_better(metric) else value


# --- reading -----------------------------------------------------------------------------------------------------


def load(cell: Cell, tests: Sequence[str], settings: Evaluate) -> Loaded:
    """Read what a cell's stages left of the test images `tests`.

    Raises `InputError` naming the first file that is missing, broken, or of other images.
    """
    results, models = places.results(cell.name), places.model(cell.name)
    metrics = read_json(results / "metrics.json")
    details = read_json(results / "details.json")
    summary = read_json(models / "summary.json")
    facts: dict[str, str | int] = {"backbone": cell.backbone, "recipe": str(cell.recipe), "seed": cell.seed}
    facts |= {fact: summary[fact] for fact in ("best_epoch", "epochs_run") if fact in summary}
    finite = _finite(metrics)
    intervals = {
        metric: (float(bounds[0]), float(bounds[1]))
        for metric, bounds in details.get("intervals", {}).items()
        if metric in finite
    }
    images = read_images(results / "images.csv")
    lacking = sorted(NEEDED - {*images.columns})
    if lacking or list(images["path"]) != list(tests):
        what = f"has no column {lacking[0]}" if lacking else "of another test split"
        raise InputError(f"{results / 'images.csv'}: {what}; evaluate the cell again")
    curves = read_iou_curves(results / "maps.npz", images)
    return Loaded(
        cell,
        Entry(cell.name, facts, finite, intervals, [_finite(row) for row in details.get("erasing", [])]),
        _finite(details.get("centred_box", {})),
        read_curve(models),
        images,
        score_cell(cell, images, curves, settings.bootstrap, settings.seed),
    )


def load_all(cells: Sequence[Cell], tests: Sequence[str], settings: Evaluate) -> tuple[list[Loaded], dict[str, str]]:
    """Read the cells; return those that are complete, and why each of the others is not.

    Raises `Faults` if none is.
    """
    loaded, missing = [], {}
    for cell in cells:
        try:
            loaded.append(load(cell, tests, settings))
        except InputError as error:
            missing[cell.name] = str(error)
    if not loaded:
        raise Faults([f"{cell}: {why}" for cell, why in missing.items()])
    return loaded, missing


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


# --- over all cells ----------------------------------------------------------------------------------------------


def hardest(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the test images over the cells' images.csv, hardest first.

    Columns: path, label; `solved`, the share of cells that named the class and, where boxes exist, had a box of IoU at
    least 0.5; the means of `iou` and of the first classifier's loss. The fewest solved come first, then the
    lowest IoU, then the highest loss.
    """
    parts = []
    for frame in frames:
        found = frame["iou"].isna() | (frame["iou"] >= 0.5)
        parts.append(frame.assign(solved=((frame["correct"] == 1) & found).astype(float)))
    means = pd.concat(parts).groupby(["path", "label"], sort=True)[["solved", "iou", "loss_1"]].mean()
    order = {"solved": True, "iou": True, "loss_1": False}
    return means.reset_index().sort_values([*order], ascending=[*order.values()], kind="stable")


def centred_box(images: Sequence[Image], settings: Evaluate) -> Resampled | None:
    """Resample what the centred box scores on the test images; None where one has no box."""
    if not all(image.boxes for image in images):
        return None
    curves = centred_box_curves([true_boxes(image) for image in images], (MAP_SIZE, MAP_SIZE))
    return resample_max(curves, resamples=settings.bootstrap, seed=settings.seed)


# --- writing -----------------------------------------------------------------------------------------------------


def write_report(
    folder: Path,
    loaded: Sequence[Loaded],
    missing: Mapping[str, str],
    best: Mapping[str, Any],
    comparisons: Sequence[Comparison],
    baseline: Mapping[str, float],
) -> None:
    """Write the tables and the best cell into `folder`."""
    entries = [cell.entry for cell in loaded]
    headline = {
        entry.cell: {metric: entry.metrics[metric] for metric in SUMMARY if metric in entry.metrics}
        for entry in entries
    }
    _write_csv(folder / "table.csv", table(entries, baseline))
    _write_json(
        folder / "table.json",
        {
            "cells": [
                {"cell": entry.cell, **entry.facts, "metrics": entry.metrics, "intervals": entry.intervals}
                for entry in entries
            ],
            "baseline": {CENTRED_BOX: baseline} if baseline else {},
            "missing": missing,
        },
    )
    columns = ("a", "b", "metric", "seeds", "difference", "low", "high", "p", "real")
    rows = [comparison.row() for comparison in comparisons]
    _write_csv(folder / "differences.csv", pd.DataFrame(rows, columns=columns))
    _write_text(folder / "table.md", markdown(entries, baseline, best, comparisons, missing))
    _write_json(folder / "best.json", best)
    _write_json(folder / "summary.json", headline)


def draw_gallery(file: Path, loaded: Sequence[Loaded], photographs: Sequence[viz.Photograph]) -> None:
    """Draw each image's predictions and fused maps in all cells side by side."""
    paths = [picture.path for picture in photographs]
    shown = [(cell, read_results(places.results(cell.cell.name), paths)) for cell in loaded]
    answers = [cell.images.set_index("path") for cell in loaded]
    rows = [
        viz.GalleryRow(
            picture,
            [
                (
                    prediction(answer.loc[picture.path]),
                    fused(results.true_cams[picture.path], cell.cell.recipe),
                )
                for (cell, results), answer in zip(shown, answers, strict=True)
            ],
        )
        for picture in photographs
    ]
    viz.write_png(viz.gallery(rows, [cell.cell.name for cell in loaded]), file)


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    _write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    _write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@cli.main
def main() -> None:
    """Compare the cells of the grid."""
    params = load_params()
    manifest = read_manifest(places.MANIFEST)
    tests = {image.path: image for image in manifest.of("test")}
    loaded, missing = load_all(params.cells(), list(tests), params.evaluate)
    for cell, why in missing.items():
        print(f"compare: {cell} is left out: {why}", file=sys.stderr)
    best = best_over_seeds([cell.entry for cell in loaded], params.compare.best_by)
    group = next((cell.cell.group for cell in loaded if cell.cell.name == best["cell"]), None)
    comparisons = compare_cells(
        [cell.scored for cell in loaded],
        group,
        centred_box(list(tests.values()), params.evaluate),
        params.evaluate.seed,
    )
    baseline = next((cell.baseline for cell in loaded if cell.baseline), {})  # of the images, so the same in every cell
    write_report(REPORT, loaded, missing, best, comparisons, baseline)
    order = hardest([cell.images for cell in loaded])
    _write_csv(REPORT / "images.csv", order)
    viz.write_png(viz.curves({cell.cell.name: cell.curve for cell in loaded}), REPORT / "curves.png")
    chosen = [(image.path, image.label) for image in tests.values()]
    galleries = {
        "gallery": choose_sample(chosen, params.cams.sample, params.cams.seed),
        "hardest": [path for path in order["path"][: params.cams.failures] if path in tests],
    }
    for name, paths in galleries.items():
        draw_gallery(REPORT / f"{name}.png", loaded, [photograph(tests[path], manifest) for path in paths[:ROWS]])
    report.write_page(
        REPORT / "index.html",
        [report.Shown(cell.cell, cell.entry, cell.curve, cell.images) for cell in loaded],
        missing,
        best,
        comparisons,
        baseline,
        list(order["path"]),
        manifest,
    )


if __name__ == "__main__":
    main()
