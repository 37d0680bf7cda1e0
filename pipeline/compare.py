"""compare: all cells of the grid side by side, and the best of them.

    python -m pipeline.compare

reads, for exactly the cells that params.yaml names, results/{cell}/{metrics.json,details.json,images.csv,maps.npz}
and models/{cell}/{history.csv,summary.json}, and writes into report/:

    table.csv table.json table.md   every metric of every cell, with its interval, and the centred box to beat
    best.json                       the best cell, by the rule of params.yaml
    summary.json                    the headline numbers, for `dvc metrics show`
    curves.png gallery.png          the training of all cells; the same test images' maps in all cells

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

from acol import viz
from acol.data.manifest import read_manifest
from acol.errors import Faults, InputError
from acol.files import atomic_write
from pipeline import cams, cli, places
from pipeline.params import Cell, load_params

REPORT = Path("report")
BASELINE = "centred box"

# Columns of table.md, in order, with their titles; a metric that no cell has takes no column.
HEADLINE = {
    "accuracy_top1": "Accuracy",
    "gt_known_loc": "GT-known Loc",
    "top1_loc": "Top-1 Loc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
}
FURTHER = {
    "accuracy_top5": "Top-5 accuracy",
    "top5_loc": "Top-5 Loc",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2_30": "V2 at IoU 0.3",
    "max_box_acc_v2_50": "V2 at IoU 0.5",
    "max_box_acc_v2_70": "V2 at IoU 0.7",
    "coverage": "Coverage",
    "overlap": "Overlap",
    "loss": "Loss",
}
UNRANKED = ("coverage", "overlap")  # neither more nor less is better
SUMMARY = ("accuracy_top1", "gt_known_loc", "max_box_acc_v2")


@dataclass(frozen=True)
class Entry:
    """One cell's row: facts such as its recipe, metrics (fractions and losses, finite), and their intervals."""

    cell: str
    facts: Mapping[str, str | int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Loaded:
    """All that a cell left: its row, the centred box's metrics on the same images, its curve, and its maps."""

    cell: Cell
    entry: Entry
    baseline: Mapping[str, float]
    curve: viz.Curve
    results: cams.Results


# --- the tables --------------------------------------------------------------------------------------------------


def metric_names(entries: Sequence[Entry]) -> list[str]:
    """Return every metric that some cell has: the known ones in the table's order, then the others by name."""
    present = {metric for entry in entries for metric in entry.metrics}
    known = [metric for metric in (*HEADLINE, *FURTHER) if metric in present]
    return known + sorted(present - set(known))


def table(entries: Sequence[Entry], baseline: Mapping[str, float]) -> pd.DataFrame:
    """Return a row a cell: facts, metrics, and {metric}_low and {metric}_high; the last row is the centred box."""
    metrics = metric_names(entries)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        row: dict[str, Any] = {"cell": entry.cell, **entry.facts, **entry.metrics}
        for metric, (low, high) in entry.intervals.items():
            row |= {f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    if baseline:
        rows.append({"cell": BASELINE, **{metric: baseline[metric] for metric in metrics if metric in baseline}})
    facts = list(dict.fromkeys(fact for entry in entries for fact in entry.facts))
    bounds = [f"{metric}_{end}" for metric in metrics for end in ("low", "high")]
    used = {column for row in rows for column in row}
    frame = pd.DataFrame(rows, columns=["cell", *facts, *metrics, *(bound for bound in bounds if bound in used)])
    for fact in facts:  # the baseline has none: whole numbers stay whole
        if pd.api.types.is_numeric_dtype(frame[fact]):
            frame[fact] = frame[fact].astype("Int64")
    return frame


def markdown(
    entries: Sequence[Entry], baseline: Mapping[str, float], best: Mapping[str, Any], missing: Mapping[str, str]
) -> str:
    """Return the tables for people: percent with one decimal, the best of a column in bold, what is left out."""
    metrics = metric_names(entries)
    parts = ["# Comparison of the cells\n"]
    if best["cell"] is not None:
        parts.append(f"Best: **{_cell_text(best['cell'])}** ({best['rule']}).\n")
    else:
        parts.append(f"No best cell: {best['rule']}.\n")
    headline = [metric for metric in metrics if metric in HEADLINE]
    parts.append(_markdown_table(entries, baseline, headline, intervals=True))
    if any(metric in entry.intervals for entry in entries for metric in headline):
        parts.append("Percent, with the bootstrap confidence interval in brackets; bold: the best of a column.\n")
    else:
        parts.append("Percent; bold: the best of a column.\n")
    further = [metric for metric in metrics if metric not in HEADLINE]
    if further:
        parts += ["## Further metrics\n", _markdown_table(entries, baseline, further, intervals=False)]
    if missing:
        parts.append("## Left out\n")
        parts.append("\n".join(f"- {_cell_text(cell)}: {_cell_text(why)}" for cell, why in missing.items()) + "\n")
    return "\n".join(parts)


def _markdown_table(
    entries: Sequence[Entry], baseline: Mapping[str, float], metrics: Sequence[str], intervals: bool
) -> str:
    titles = {**HEADLINE, **FURTHER}
    best = {metric: _best_value(entries, metric) for metric in metrics}
    lines = [
        " | ".join(["Cell", *(titles.get(metric, _cell_text(metric.replace("_", " "))) for metric in metrics)]),
        " | ".join([":--", *("--:" for _ in metrics)]),
    ]
    for entry in entries:
        cells = []
        for metric in metrics:
            text = _number(metric, entry.metrics.get(metric))
            if metric in entry.metrics and entry.metrics[metric] == best[metric]:
                text = f"**{text}**"
            if intervals and metric in entry.metrics and metric in entry.intervals:
                low, high = (_number(metric, bound) for bound in entry.intervals[metric])
                text += f" [{low}, {high}]"
            cells.append(text)
        lines.append(" | ".join([_cell_text(entry.cell), *cells]))
    if any(metric in baseline for metric in metrics):
        lines.append(" | ".join([f"*{BASELINE}*", *(_number(metric, baseline.get(metric)) for metric in metrics)]))
    return "".join(f"| {line} |\n" for line in lines)


def _best_value(entries: Sequence[Entry], metric: str) -> float | None:
    """The value that stands out in a table: None where a column has no better and worse, or all are equal."""
    values = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
    known = metric in {**HEADLINE, **FURTHER} and metric not in UNRANKED and not _is_loss(metric)
    return max(values) if known and max(values) > min(values) else None


def _is_loss(metric: str) -> bool:
    return metric == "loss" or metric.startswith("loss_")


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if _is_loss(metric) else f"{100 * value:.1f}"


def _cell_text(text: str) -> str:
    """A name or message as plain text within a Markdown table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text


# --- the best ----------------------------------------------------------------------------------------------------


def best_cell(entries: Sequence[Entry], by: Sequence[str]) -> dict[str, Any]:
    """Choose the best cell: the first metric of `by` decides, a tie goes to the next, at last to the grid's order.

    A loss counts as better where it is lower, every other metric where it is higher. A metric that no cell has is
    passed over, and a cell without a metric that others have comes last in it. Returned: the cell (None if no
    cell has any of the metrics), the rule in words, the values that it won with, and the metric that decided.
    """
    used = [metric for metric in by if any(metric in entry.metrics for entry in entries)]
    passed_over = [metric for metric in by if metric not in used]
    rule = ", then ".join(f"{'lowest' if _is_loss(metric) else 'highest'} {metric}" for metric in used)
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


def _score(entry: Entry, metric: str) -> float:
    value = entry.metrics.get(metric, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if _is_loss(metric) else value


# --- reading -----------------------------------------------------------------------------------------------------


def load(cell: Cell, sample: Sequence[str]) -> Loaded:
    """Read what a cell's stages left; raises `InputError` naming the first file that is missing or broken."""
    results, models = places.results(cell.name), places.model(cell.name)
    metrics = cams.read_json(results / "metrics.json")
    details = cams.read_json(results / "details.json")
    summary = cams.read_json(models / "summary.json")
    facts: dict[str, str | int] = {"backbone": cell.backbone, "recipe": str(cell.recipe), "seed": cell.seed}
    facts |= {fact: summary[fact] for fact in ("best_epoch", "epochs_run") if fact in summary}
    finite = _finite(metrics)
    intervals = {
        metric: (float(bounds[0]), float(bounds[1]))
        for metric, bounds in details.get("intervals", {}).items()
        if metric in finite
    }
    return Loaded(
        cell,
        Entry(cell.name, facts, finite, intervals),
        _finite(details.get("centred_box", {})),
        cams.read_curve(models),
        cams.read_results(results, sample),
    )


def load_all(cells: Sequence[Cell], sample: Sequence[str]) -> tuple[list[Loaded], dict[str, str]]:
    """Read the cells; return those that are complete, and why each of the others is not.

    Raises `Faults` if none is.
    """
    loaded, missing = [], {}
    for cell in cells:
        try:
            loaded.append(load(cell, sample))
        except InputError as error:
            missing[cell.name] = str(error)
    if not loaded:
        raise Faults([f"{cell}: {why}" for cell, why in missing.items()])
    return loaded, missing


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


# --- writing -----------------------------------------------------------------------------------------------------


def write_report(folder: Path, loaded: Sequence[Loaded], missing: Mapping[str, str], by: Sequence[str]) -> None:
    """Write the tables and the best cell into `folder`."""
    entries = [cell.entry for cell in loaded]
    baseline = next((cell.baseline for cell in loaded if cell.baseline), {})  # of the images, so the same in every cell
    best = best_cell(entries, by)
    headline = {
        entry.cell: {metric: entry.metrics[metric] for metric in SUMMARY if metric in entry.metrics}
        for entry in entries
    }
    _write_text(folder / "table.csv", table(entries, baseline).to_csv(index=False, lineterminator="\n"))
    _write_json(
        folder / "table.json",
        {
            "cells": [
                {"cell": entry.cell, **entry.facts, "metrics": entry.metrics, "intervals": entry.intervals}
                for entry in entries
            ],
            "baseline": {BASELINE: baseline} if baseline else {},
            "missing": missing,
        },
    )
    _write_text(folder / "table.md", markdown(entries, baseline, best, missing))
    _write_json(folder / "best.json", best)
    _write_json(folder / "summary.json", headline)


def gallery_rows(loaded: Sequence[Loaded], photographs: Sequence[viz.Photograph]) -> list[viz.GalleryRow]:
    """Put each image's predictions and fused maps in all cells side by side."""
    answers = [cell.results.images.set_index("path") for cell in loaded]
    return [
        viz.GalleryRow(
            picture,
            [
                (
                    cams.prediction(rows.loc[picture.path]),
                    cams.fused(cell.results.true_cams[picture.path], cell.cell.recipe),
                )
                for cell, rows in zip(loaded, answers, strict=True)
            ],
        )
        for picture in photographs
    ]


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
    tests = manifest.of("test")
    sample = cams.choose_sample([(image.path, image.label) for image in tests], params.cams.sample, params.cams.seed)
    loaded, missing = load_all(params.cells(), sample)
    for cell, why in missing.items():
        print(f"compare: {cell} is left out: {why}", file=sys.stderr)
    write_report(REPORT, loaded, missing, params.compare.best_by)
    viz.write_png(viz.curves({cell.cell.name: cell.curve for cell in loaded}), REPORT / "curves.png")
    images = {image.path: image for image in tests}
    rows = gallery_rows(loaded, [cams.photograph(images[path], manifest) for path in sample[: cams.ROWS]])
    viz.write_png(viz.gallery(rows, [cell.cell.name for cell in loaded]), REPORT / "gallery.png")


if __name__ == "__main__":
    main()
