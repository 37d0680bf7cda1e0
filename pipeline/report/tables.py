"""The tables of `compare`: one row per cell, for programs and for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from acol.files import atomic_folder, atomic_write
from pipeline.report.cells import Loaded, means_over_seeds
from pipeline.report.differences import Comparison
from pipeline.report.findings import Findings
from pipeline.report.metrics import COSTS, HEADLINE, METRICS, SUMMARY, about, ordered
from pipeline.report.templates import markdown_table, plain, render, signed, sparse_table

Scores = Mapping[str, Mapping[str, float]]  # the metrics of each cell, group or baseline by its name
Intervals = Mapping[str, Mapping[str, tuple[float, float]]]
DIFFERENCES = ("a", "b", "metric", "seeds", "difference", "low", "high", "p", "real")  # columns of differences.csv
_SUSPECTS = 10  # images in the table; the file has all


def write_tables(folder: Path, findings: Findings) -> None:
    """Write the tables, the best cell and the order of the test images into `folder`."""
    rows = [
        {"cell": cell.cell.name, **cell.facts, "metrics": cell.metrics, "intervals": cell.intervals}
        for cell in findings.cells
    ]
    summary = {cell.cell.name: {m: cell.metrics[m] for m in SUMMARY if m in cell.metrics} for cell in findings.cells}
    differences = pd.DataFrame([comparison.row() for comparison in findings.comparisons], columns=DIFFERENCES)
    texts = {
        "table.json": _json({"cells": rows, "baseline": findings.baselines, "missing": findings.missing}),
        "best.json": _json(findings.best),
        "summary.json": _json(summary),
        "table.csv": _csv(table(findings.cells, findings.baselines)),
        "differences.csv": _csv(differences),
        "images.csv": _csv(findings.hardest),
        "likely_wrong_labels.csv": _csv(findings.suspects),
        "table.md": markdown(findings),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with atomic_folder(folder / "headline") as partial:  # a file a cell: `dvc metrics show` makes a row of each
        for cell, scores in summary.items():
            (partial / f"{cell}.json").write_text(_json(scores), encoding="utf-8")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(frame: pd.DataFrame) -> str:
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _names(scores: Scores) -> list[str]:
    """Return every metric that some cell has."""
    return ordered({metric for its in scores.values() for metric in its})


def table(cells: Sequence[Loaded], baselines: Scores) -> pd.DataFrame:
    """Return one row per cell: facts, metrics, {metric}_low and {metric}_high; the last rows are the baselines."""
    metrics = _names({cell.cell.name: cell.metrics for cell in cells})
    rows: list[dict[str, Any]] = [
        {"cell": cell.cell.name, **cell.facts, **cell.metrics}
        | {
            f"{metric}_{end}": bound
            for metric, its in cell.intervals.items()
            for end, bound in zip(("low", "high"), its, strict=True)
        }
        for cell in cells
    ]
    rows += [{"cell": name, **{m: scores[m] for m in metrics if m in scores}} for name, scores in baselines.items()]
    facts = list(dict.fromkeys(fact for cell in cells for fact in cell.facts))
    bounds = [f"{metric}_{end}" for metric in metrics for end in ("low", "high")]
    used = {column for row in rows for column in row}
    frame = pd.DataFrame(rows, columns=["cell", *facts, *metrics, *(bound for bound in bounds if bound in used)])
    for fact in facts:  # a baseline has none: whole numbers stay whole
        if pd.api.types.is_numeric_dtype(frame[fact]):
            frame[fact] = frame[fact].astype("Int64")
    return frame


def markdown(findings: Findings) -> str:
    """Return the tables for people: percent with one decimal, the best of a column in bold, what is left out."""
    cells, baselines, best, found = findings.cells, findings.baselines, findings.best, findings.suspects
    scores, groups = {cell.cell.name: cell.metrics for cell in cells}, means_over_seeds(cells)
    first = [metric for metric in _names(scores) if metric in (*HEADLINE, *COSTS)]
    further = [metric for metric in _names(scores) if metric not in first]
    intervals = {cell.cell.name: cell.intervals for cell in cells}
    over_both = {
        name: {key: (one.low, one.high) for key, one in its.items()} for name, its in findings.over_seeds.items()
    }
    counts = Counter(cell.cell.group for cell in cells)
    rows = [
        (row.path, row.label, row.suggested, f"{row.probability:.2f}") for row in found.head(_SUSPECTS).itertuples()
    ]
    suspects = [[plain(str(name)) for name in row] for row in rows]
    return render(
        "table.md.jinja",
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
        intervals=any({*first} & {*its} for its in intervals.values()),
        counts=", ".join(f"{plain(group)} {count}" for group, count in counts.items()),
        means=len(groups) < len(cells)
        and _metrics_table(groups, baselines, [key for key in _names(groups) if key in HEADLINE], over_both),
        differences=_differences(findings.comparisons),
        seeded=sorted({comparison.seeds > 1 for comparison in findings.comparisons}),
        further=further and _metrics_table(scores, baselines, further, {}),
        maps=_maps(cells),
        map_scores=" or ".join(
            {about(next(iter(row))).title: 0 for cell in cells for row in cell.maps.values() if row}
        ),
        erasing=_erasing(cells),
        suspects=suspects and markdown_table(["Image", "Label", "Suggested", "Probability"], suspects),
        more=f" {len(found)} in all: likely_wrong_labels.csv." if len(found) > _SUSPECTS else "",
        missing=findings.missing,
    )


def _differences(comparisons: Sequence[Comparison]) -> str:
    pairs: dict[str, dict[str, str]] = {}
    for row in comparisons:
        text = signed(row.result.difference, row.result.low, row.result.high, bold=row.result.real)
        pairs.setdefault(f"{plain(row.a)} - {plain(row.b)}", {})[row.metric] = text
    titles = {metric: about(metric).title for metric in HEADLINE if any(metric in pair for pair in pairs.values())}
    return sparse_table("Difference", pairs, titles) if pairs else ""


def _metrics_table(cells: Scores, baselines: Scores, metrics: Sequence[str], intervals: Intervals) -> str:
    best = {metric: _best_value([its[metric] for its in cells.values() if metric in its], metric) for metric in metrics}
    rows: dict[str, dict[str, str]] = {}
    for name, scores in cells.items():
        row = rows.setdefault(plain(name), {})
        for metric in (metric for metric in metrics if metric in scores):
            text = about(metric).text
            row[metric] = f"**{text(scores[metric])}**" if scores[metric] == best[metric] else text(scores[metric])
            if bounds := intervals.get(name, {}).get(metric):
                row[metric] += " [{}, {}]".format(*map(text, bounds))
    for name, scores in baselines.items():
        if its := {metric: about(metric).text(scores[metric]) for metric in metrics if metric in scores}:
            rows[f"*{plain(name)}*"] = its
    return sparse_table("Cell", rows, {metric: plain(about(metric).title) for metric in metrics})


def _best_value(values: Sequence[float], metric: str) -> float | None:
    """The value in bold in a table: None if a column has no better and worse, or all values are equal."""
    # Losses of different recipes cannot be compared, and scores at other thresholds are not results.
    ranked = metric in METRICS and about(metric).better is not None and about(metric).percent
    return max(values, key=about(metric).rank) if ranked and max(values) != min(values) else None


def _maps(cells: Sequence[Loaded]) -> str:
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        its = rows.setdefault(plain(cell.cell.name), {})
        for name, row in cell.maps.items():
            key = next(iter(row), "")  # MaxBoxAccV2, or what stands in its place where there are masks alone
            text = about(key).text(row[key]) if row else "-"
            text = f"**{text}**" if row and name == cell.facts["map"] else text
            its[name] = f"{text}, {signed(row['gain'], *row['interval'])}" if "gain" in row else text
    gained = any("gain" in row for cell in cells for row in cell.maps.values())
    return sparse_table("Cell", rows) if gained else ""


def _erasing(cells: Sequence[Loaded]) -> str:
    titles = {"object_share": "object covered", "added": "new part"}
    rows = {
        plain(cell.cell.name): {
            f"Classifier {k}: {title}": f"{100 * row[key]:.1f}"
            for k, row in enumerate(cell.erasing, 1)
            for key, title in titles.items()
            if key in row and (k, key) != (1, "added")  # all of the first one's is new
        }
        for cell in cells
    }
    return sparse_table("Cell", rows) if any(len(cell.erasing) > 1 for cell in cells) else ""
