"""The tables of `compare`, for programs and for people: one row for each cell."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from acol.files import atomic_folder, atomic_write
from pipeline.report.cells import Loaded, means_over_seeds
from pipeline.report.differences import COLUMNS, Comparison
from pipeline.report.grid_comparison import GridComparison
from pipeline.report.metrics import COSTS, HEADLINE, METRICS, SUMMARY, about, ordered
from pipeline.report.templates import escape_markdown, markdown_table, render, signed, sparse_table

Scores = Mapping[str, Mapping[str, float]]  # by the name of a cell, group or baseline, and by metric
Intervals = Mapping[str, Mapping[str, tuple[float, float]]]
ENDS = ("low", "high")  # of an interval: the ends of the names of its columns in table.csv
_SUSPECTS = 10  # rows of the table of labels that may be wrong; the file has all


def write_tables(folder: Path, grid: GridComparison) -> None:
    """Write the tables, the best cell and the order of the test images into `folder`, each file atomically."""
    rows = [
        {"cell": cell.cell.name, **cell.facts, "metrics": cell.metrics, "intervals": cell.intervals}
        for cell in grid.cells
    ]
    summary = {cell.cell.name: {m: cell.metrics[m] for m in SUMMARY if m in cell.metrics} for cell in grid.cells}
    differences = pd.DataFrame([comparison.row() for comparison in grid.comparisons], columns=COLUMNS)
    texts = {
        "table.json": _json({"cells": rows, "baseline": grid.baselines, "missing": grid.missing}),
        "best.json": _json(grid.best),
        "summary.json": _json(summary),
        "table.csv": _csv(cell_table(grid.cells, grid.baselines)),
        "differences.csv": _csv(differences),
        "images.csv": _csv(grid.hardest),
        "likely_wrong_labels.csv": _csv(grid.suspects),
        "table.md": report_markdown(grid),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    # `dvc metrics show` makes a row of each file.
    with atomic_folder(folder / "headline") as partial:
        for cell, scores in summary.items():
            (partial / f"{cell}.json").write_text(_json(scores), encoding="utf-8")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(frame: pd.DataFrame) -> str:
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _names(scores: Scores) -> list[str]:
    """Return all metrics that any cell has."""
    return ordered({metric for values in scores.values() for metric in values})


def cell_table(cells: Sequence[Loaded], baselines: Scores) -> pd.DataFrame:
    """Return one row per cell: facts, metrics, {metric}_low and {metric}_high; the last rows are the baselines."""
    metrics = _names({cell.cell.name: cell.metrics for cell in cells})
    rows: list[dict[str, Any]] = []
    for cell in cells:
        bounds = {
            f"{m}_{end}": bound for m, pair in cell.intervals.items() for end, bound in zip(ENDS, pair, strict=True)
        }
        rows.append({"cell": cell.cell.name, **cell.facts, **cell.metrics, **bounds})
    rows += [{"cell": name, **{m: scores[m] for m in metrics if m in scores}} for name, scores in baselines.items()]
    facts = list(dict.fromkeys(fact for cell in cells for fact in cell.facts))
    used = {column for row in rows for column in row}
    ends = [column for metric in metrics for end in ENDS if (column := f"{metric}_{end}") in used]
    frame = pd.DataFrame(rows, columns=["cell", *facts, *metrics, *ends])
    # A baseline has no facts, and pandas would make the whole numbers of a column with gaps floating point.
    for fact in facts:
        if pd.api.types.is_numeric_dtype(frame[fact]):
            frame[fact] = frame[fact].astype("Int64")
    return frame


def report_markdown(grid: GridComparison) -> str:
    """Return the tables for people: percent with one decimal, the best of a column in bold, what is left out."""
    cells, baselines, best = grid.cells, grid.baselines, grid.best
    # The scores of the cells, and the means over seeds, each with their intervals.
    scores, groups = {cell.cell.name: cell.metrics for cell in cells}, means_over_seeds(cells)
    first = [metric for metric in _names(scores) if metric in (*HEADLINE, *COSTS)]
    further = [metric for metric in _names(scores) if metric not in first]
    intervals = {cell.cell.name: cell.intervals for cell in cells}
    over_both = {
        name: {metric: (interval.low, interval.high) for metric, interval in of_group.items()}
        for name, of_group in grid.over_seeds.items()
    }
    counts = Counter(cell.cell.group for cell in cells)
    # The labels that may be wrong.
    count = len(grid.suspects)
    suspects = [
        [*map(escape_markdown, (row.path, row.label, row.suggested)), f"{row.probability:.2f}"]
        for row in grid.suspects.head(_SUSPECTS).itertuples()
    ]
    return render(
        Path(__file__).with_name("table.md.jinja"),
        best=best,
        map=next((cell.facts.get("map", "cam") for cell in cells if cell.cell.name == best["cell"]), "cam"),
        below=[
            row
            | {"metric": about(row["metric"]).title}
            | {key: about(row["metric"]).with_unit(row[key]) for key in ("value", "baseline_value")}
            for row in best.get("below", ())
        ],
        notes=best.get("notes", ()),
        headline=_metrics_table(scores, baselines, first, intervals),
        intervals=any({*first} & {*of_cell} for of_cell in intervals.values()),
        counts=", ".join(f"{escape_markdown(group)} {count}" for group, count in counts.items()),
        means=len(groups) < len(cells)
        and _metrics_table(groups, baselines, [key for key in _names(groups) if key in HEADLINE], over_both),
        differences=_differences(grid.comparisons),
        seeded=sorted({comparison.seeds > 1 for comparison in grid.comparisons}),
        further=further and _metrics_table(scores, baselines, further, {}),
        maps=_maps(cells),
        map_scores=" or ".join(
            {about(next(iter(row))).title: 0 for cell in cells for row in cell.maps.values() if row}
        ),
        erasing=_erasing(cells),
        suspects=suspects and markdown_table(["Image", "Label", "Suggested", "Probability"], suspects),
        more=f" {count} in all: likely_wrong_labels.csv." if count > _SUSPECTS else "",
        missing=grid.missing,
    )


def _differences(comparisons: Sequence[Comparison]) -> str:
    """Return the table of the differences: a row for each pair, a column for each metric."""
    pairs: dict[str, dict[str, str]] = {}
    for row in comparisons:
        text = signed(row.difference, row.low, row.high, bold=row.real)
        pairs.setdefault(f"{escape_markdown(row.a)} - {escape_markdown(row.b)}", {})[row.metric] = text
    titles = {metric: about(metric).title for metric in HEADLINE if any(metric in pair for pair in pairs.values())}
    return sparse_table("Difference", pairs, titles) if pairs else ""


def _metrics_table(cells: Scores, baselines: Scores, metrics: Sequence[str], intervals: Intervals) -> str:
    """Return the table of cells or groups, with the best of each metric in bold, and then the baselines."""
    best = {m: _best_value([scores[m] for scores in cells.values() if m in scores], m) for m in metrics}
    rows: dict[str, dict[str, str]] = {}
    for name, scores in cells.items():
        row = rows.setdefault(escape_markdown(name), {})
        for metric in (metric for metric in metrics if metric in scores):
            text = about(metric).text
            row[metric] = f"**{text(scores[metric])}**" if scores[metric] == best[metric] else text(scores[metric])
            if bounds := intervals.get(name, {}).get(metric):
                row[metric] += " [{}, {}]".format(*map(text, bounds))
    for name, scores in baselines.items():
        if row := {metric: about(metric).text(scores[metric]) for metric in metrics if metric in scores}:
            rows[f"*{escape_markdown(name)}*"] = row
    return sparse_table("Cell", rows, {metric: escape_markdown(about(metric).title) for metric in metrics})


def _best_value(values: Sequence[float], metric: str) -> float | None:
    """Return the value that is bold in a column: None if no value is better than another."""
    # Losses of different recipes cannot be compared, and scores at other thresholds are no results.
    ranked = metric in METRICS and about(metric).better is not None and about(metric).percent
    return max(values, key=about(metric).rank) if ranked and max(values) != min(values) else None


def _maps(cells: Sequence[Loaded]) -> str:
    """Return the table of the maps' scores: a row for each cell, a column for each map; empty if none was compared."""
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        row = rows.setdefault(escape_markdown(cell.cell.name), {})
        for name, scored in cell.maps.items():
            key = next(iter(scored), "")  # MaxBoxAccV2, or its substitute if there are masks but no boxes
            text = about(key).text(scored[key]) if scored else "-"
            text = f"**{text}**" if scored and name == cell.facts["map"] else text
            row[name] = f"{text}, {signed(scored['gain'], *scored['interval'])}" if "gain" in scored else text
    gained = any("gain" in scored for cell in cells for scored in cell.maps.values())
    return sparse_table("Cell", rows) if gained else ""


def _erasing(cells: Sequence[Loaded]) -> str:
    """Return the table of what each classifier's region covers and adds; empty if no recipe has two classifiers."""
    titles = {"object_share": "object covered", "added": "new part"}
    rows = {
        escape_markdown(cell.cell.name): {
            f"Classifier {k}: {title}": f"{100 * row[key]:.1f}"
            for k, row in enumerate(cell.erasing, 1)
            for key, title in titles.items()
            if key in row and (k, key) != (1, "added")  # the first classifier's region is all new
        }
        for cell in cells
    }
    return sparse_table("Cell", rows) if any(len(cell.erasing) > 1 for cell in cells) else ""
