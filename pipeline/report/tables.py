"""The tables of `compare`: one row per cell, for programs and for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from acol.files import atomic_folder, atomic_write
from acol.metrics.intervals import Interval
from pipeline.report.cells import Entry, over_seeds
from pipeline.report.differences import Comparison
from pipeline.report.findings import Findings
from pipeline.report.metrics import HEADLINE, METRICS, SUMMARY, about, ordered

Baselines = Mapping[str, Mapping[str, float]]  # the metrics of each by its name
_SUSPECTS = 10  # images in the table; the file has all


def write_tables(folder: Path, findings: Findings) -> None:
    """Write the tables, the best cell and the order of the test images into `folder`."""
    entries, best, baselines = findings.entries, findings.best, findings.baselines
    cells = [
        {"cell": entry.cell, **entry.facts, "metrics": entry.metrics, "intervals": entry.intervals} for entry in entries
    ]
    contents: dict[str, Any] = {
        "table.json": {
            "cells": cells,
            "baseline": baselines,
            "missing": findings.missing,
        },
        "best.json": best,
        "summary.json": {entry.cell: {m: entry.metrics[m] for m in SUMMARY if m in entry.metrics} for entry in entries},
    }
    for name, content in contents.items():
        _write(folder / name, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    columns = ("a", "b", "metric", "seeds", "difference", "low", "high", "p", "real")
    differences = pd.DataFrame([comparison.row() for comparison in findings.comparisons], columns=columns)
    frames = {
        "table.csv": table(entries, baselines),
        "differences.csv": differences,
        "images.csv": findings.hardest,
        "likely_wrong_labels.csv": findings.suspects,
    }
    for name, frame in frames.items():
        _write(folder / name, frame.to_csv(index=False, lineterminator="\n"))
    with atomic_folder(folder / "headline") as partial:  # a file a cell: `dvc metrics show` makes a row of each
        for entry in entries:
            headline = contents["summary.json"][entry.cell]
            (partial / f"{entry.cell}.json").write_text(json.dumps(headline, indent=2) + "\n", encoding="utf-8")
    _write(folder / "table.md", markdown(findings))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _names(entries: Sequence[Entry]) -> list[str]:
    """Return every metric that some cell has."""
    return ordered({metric for entry in entries for metric in entry.metrics})


def table(entries: Sequence[Entry], baselines: Baselines) -> pd.DataFrame:
    """Return one row per cell: facts, metrics, {metric}_low and {metric}_high; the last rows are the baselines."""
    metrics = _names(entries)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        row: dict[str, Any] = {"cell": entry.cell, **entry.facts, **entry.metrics}
        for metric, (low, high) in entry.intervals.items():
            row |= {f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    for name, scores in baselines.items():
        rows.append({"cell": name, **{metric: scores[metric] for metric in metrics if metric in scores}})
    facts = list(dict.fromkeys(fact for entry in entries for fact in entry.facts))
    bounds = [f"{metric}_{end}" for metric in metrics for end in ("low", "high")]
    used = {column for row in rows for column in row}
    frame = pd.DataFrame(rows, columns=["cell", *facts, *metrics, *(bound for bound in bounds if bound in used)])
    for fact in facts:  # a baseline has none: whole numbers stay whole
        if pd.api.types.is_numeric_dtype(frame[fact]):
            frame[fact] = frame[fact].astype("Int64")
    return frame


def markdown(findings: Findings) -> str:
    """Return the tables for people: percent with one decimal, the best of a column in bold, what is left out."""
    entries, baselines, missing = findings.entries, findings.baselines, findings.missing
    comparisons = findings.comparisons
    parts = ["# Comparison of the cells\n", _best(findings.best, entries), *_headline(entries, baselines)]
    if len(over_seeds(entries)) < len(entries):
        parts += _means(entries, baselines, findings.over_seeds)
    if comparisons:
        parts += ["## Which differences are significant\n", *_differences(comparisons)]
    if further := [metric for metric in _names(entries) if metric not in HEADLINE]:
        parts += ["## Further metrics\n", _metrics_table(entries, baselines, further, intervals=False)]
    if any(len(row) > 1 for entry in entries for row in entry.maps.values()):
        parts += ["## Maps\n", *_maps(entries)]
    if any(len(entry.erasing) > 1 for entry in entries):
        parts += ["## What erasing did\n", *_erasing(entries)]
    if not findings.suspects.empty:
        parts += ["## Labels that may be wrong\n", *_suspects(findings.suspects)]
    if missing:
        parts.append("## Left out\n")
        parts.append("\n".join(f"- {_cell_text(cell)}: {_cell_text(why)}" for cell, why in missing.items()) + "\n")
    return "\n".join(parts)


def _suspects(found: pd.DataFrame) -> list[str]:
    rows = [
        [
            _cell_text(str(row.path)),
            _cell_text(str(row.label)),
            _cell_text(str(row.suggested)),
            f"{row.probability:.2f}",
        ]
        for row in found.head(_SUSPECTS).itertuples()
    ]
    more = f" {len(found)} in all: likely_wrong_labels.csv." if len(found) > _SUSPECTS else ""
    text = "Most cells are sure of another class, though they never saw these test images. Look at them."
    return [_markdown_table(["Image", "Label", "Suggested", "Probability"], rows), f"{text}{more}\n"]


def _best(best: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    if best["cell"] is None:
        return f"No cell is the best: {_cell_text(best['rule'])}.\n"
    name = next((entry.facts.get("map", "cam") for entry in entries if entry.cell == best["cell"]), "cam")
    with_map = "" if name == "cam" else f" with the map {name}"
    lines = [f"Best: **{_cell_text(best['cell'])}**{with_map} ({_cell_text(best['rule'])}).\n"]
    for row in best.get("below", ()):
        metric = about(row["metric"])
        lines.append(
            f"**It is not significantly better than the {_cell_text(row['title'])}**: {metric.title} "
            f"{metric.with_unit(row['value'])} against {metric.with_unit(row['baseline_value'])}.\n"
        )
    lines += [f"{_cell_text(note)}\n" for note in best.get("notes", ())]
    return "\n".join(lines)


def _headline(entries: Sequence[Entry], baselines: Baselines) -> list[str]:
    metrics = [metric for metric in _names(entries) if metric in HEADLINE]
    with_intervals = any(metric in entry.intervals for entry in entries for metric in metrics)
    brackets = ", with the 95 % interval in brackets" if with_intervals else ""
    table = _metrics_table(entries, baselines, metrics, intervals=True)
    return [table, f"Values in percent{brackets}. Bold: the best of a column.\n"]


def _means(entries: Sequence[Entry], baselines: Baselines, known: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    groups = [
        replace(entry, intervals={name: (x.low, x.high) for name, x in known.get(entry.group, {}).items()})
        for entry in over_seeds(entries)
    ]
    metrics = [metric for metric in _names(groups) if metric in HEADLINE]
    table = _metrics_table(groups, baselines, metrics, intervals=True)
    words = (
        f"Number of seeds: {_seed_counts(entries)}. In brackets: the 95 % interval over test images and trainings.\n"
    )
    return ["## Means over seeds\n", words, table]


def _seed_counts(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.group for entry in entries)
    return ", ".join(f"{_cell_text(group)} {count}" for group, count in counts.items())


def _erasing(entries: Sequence[Entry]) -> list[str]:
    titles = {"object_share": "{}: object covered", "added": "{}: new part"}
    columns = [
        (k, key)
        for k in range(max(len(entry.erasing) for entry in entries))
        for key in titles
        if any(k < len(entry.erasing) and key in entry.erasing[k] for entry in entries) and (k, key) != (0, "added")
    ]
    rows = []
    for entry in entries:
        values = [entry.erasing[k].get(key) if k < len(entry.erasing) else None for k, key in columns]
        rows.append([_cell_text(entry.cell), *("-" if value is None else f"{100 * value:.1f}" for value in values)])
    return [
        _markdown_table(["Cell", *(titles[key].format(f"Classifier {k + 1}") for k, key in columns)], rows),
        "In percent. A classifier's region is where its map is above the recipe's lowest delta (0.5 for a single "
        "classifier). *Object covered*: the share of the object's box in the region. *New part*: the new part of the "
        "region, as a share of all that this and the earlier classifiers found.\n",
    ]


def _maps(entries: Sequence[Entry]) -> list[str]:
    names = list(dict.fromkeys(name for entry in entries for name in entry.maps))
    rows = [
        [_cell_text(entry.cell), *(_gain(entry.maps.get(name), name == entry.facts["map"]) for name in names)]
        for entry in entries
    ]
    title = about("max_box_acc_v2").title
    return [
        _markdown_table(["Cell", *names], rows),
        f"{title} in percent, and the gain over plain CAM in points, with its 95 % interval on the same images in "
        "brackets. Bold: the cell's map, by which all its other scores are made; it was not chosen on these images. "
        "`norm` knows no class.\n",
    ]


def _gain(row: Mapping[str, Any] | None, own: bool) -> str:
    if not row:
        return "-"
    text = _number("max_box_acc_v2", row["max_box_acc_v2"])
    text = f"**{text}**" if own else text
    if "gain" not in row:
        return text
    low, high = row["interval"]
    return f"{text}, {100 * row['gain']:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _differences(comparisons: Sequence[Comparison]) -> list[str]:
    pairs: dict[tuple[str, str], dict[str, Comparison]] = {}
    for comparison in comparisons:
        pairs.setdefault((comparison.a, comparison.b), {})[comparison.metric] = comparison
    metrics = [metric for metric in HEADLINE if any(metric in pair for pair in pairs.values())]
    rows = []
    for (a, b), pair in pairs.items():
        values = [_difference(pair[metric]) if metric in pair else "-" for metric in metrics]
        rows.append([f"{_cell_text(a)} - {_cell_text(b)}", *values])
    several = all(comparison.seeds > 1 for comparison in comparisons)
    over, scope = (
        (" and trainings", "They hold for the recipes, since each was trained with several seeds.")
        if several
        else ("", "They hold for these trained models; to compare recipes, train each with several seeds.")
    )
    if not several and any(comparison.seeds > 1 for comparison in comparisons):
        over = ", and over the trainings where both recipes have several"
    return [
        _markdown_table(["Difference", *(about(metric).title for metric in metrics)], rows),
        "Differences in percentage points. In brackets: the 95 % interval over the test images"
        f"{over}. Bold: significant, p < 0.05 after Holm's correction for all comparisons. {scope}\n",
    ]


def _difference(comparison: Comparison) -> str:
    result = comparison.result
    text = f"{100 * result.difference:+.1f}"
    return f"{f'**{text}**' if result.real else text} [{100 * result.low:.1f}, {100 * result.high:.1f}]"


def _metrics_table(entries: Sequence[Entry], baselines: Baselines, metrics: Sequence[str], intervals: bool) -> str:
    best = {metric: _best_value(entries, metric) for metric in metrics}
    rows = [
        [_cell_text(entry.cell), *(_value(entry, metric, best[metric], intervals) for metric in metrics)]
        for entry in entries
    ]
    for name, scores in baselines.items():
        if any(metric in scores for metric in metrics):
            rows.append([f"*{_cell_text(name)}*", *(_number(metric, scores.get(metric)) for metric in metrics)])
    return _markdown_table(["Cell", *(_cell_text(about(metric).title) for metric in metrics)], rows)


def _value(entry: Entry, metric: str, best: float | None, interval: bool) -> str:
    value = entry.metrics.get(metric)
    text = _number(metric, value)
    if value is None:
        return text
    if value == best:
        text = f"**{text}**"
    if interval and metric in entry.intervals:
        low, high = (_number(metric, bound) for bound in entry.intervals[metric])
        text += f" [{low}, {high}]"
    return text


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others, which are numbers, to the right."""
    alignment = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, alignment, *rows))


def _best_value(entries: Sequence[Entry], metric: str) -> float | None:
    """The value in bold in a table: None if a column has no better and worse, or all values are equal."""
    values = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
    # Losses of different recipes cannot be compared, and scores at other thresholds are not results.
    ranked = metric in METRICS and about(metric).better is not None and about(metric).percent
    if not ranked or max(values) == min(values):
        return None
    return max(values, key=about(metric).rank)


def _number(metric: str, value: float | None) -> str:
    return "-" if value is None else about(metric).text(value)


def _cell_text(text: str) -> str:
    """A name or message as plain text within a Markdown table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
