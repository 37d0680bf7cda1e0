"""The tables of `compare`: one row per cell, for programs and for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from acol.files import atomic_folder, atomic_write
from pipeline.report.cells import Entry, over_seeds
from pipeline.report.differences import Comparison
from pipeline.report.findings import Findings
from pipeline.report.metrics import COSTS, HEADLINE, METRICS, SUMMARY, about, ordered

Baselines = Mapping[str, Mapping[str, float]]  # the metrics of each by its name
DIFFERENCES = ("a", "b", "metric", "seeds", "difference", "low", "high", "p", "real")  # columns of differences.csv
_SUSPECTS = 10  # images in the table; the file has all


def write_tables(folder: Path, findings: Findings) -> None:
    """Write the tables, the best cell and the order of the test images into `folder`."""
    entries, baselines = findings.entries, findings.baselines
    cells = [
        {"cell": entry.cell, **entry.facts, "metrics": entry.metrics, "intervals": entry.intervals} for entry in entries
    ]
    summary = {entry.cell: {m: entry.metrics[m] for m in SUMMARY if m in entry.metrics} for entry in entries}
    differences = pd.DataFrame([comparison.row() for comparison in findings.comparisons], columns=DIFFERENCES)
    texts = {
        "table.json": _json({"cells": cells, "baseline": baselines, "missing": findings.missing}),
        "best.json": _json(findings.best),
        "summary.json": _json(summary),
        "table.csv": _csv(table(entries, baselines)),
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


def _names(entries: Sequence[Entry]) -> list[str]:
    """Return every metric that some cell has."""
    return ordered({metric for entry in entries for metric in entry.metrics})


def table(entries: Sequence[Entry], baselines: Baselines) -> pd.DataFrame:
    """Return one row per cell: facts, metrics, {metric}_low and {metric}_high; the last rows are the baselines."""
    metrics = _names(entries)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        rows.append({"cell": entry.cell, **entry.facts, **entry.metrics})
        for metric, (low, high) in entry.intervals.items():
            rows[-1] |= {f"{metric}_low": low, f"{metric}_high": high}
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
    entries, baselines = findings.entries, findings.baselines
    further = [metric for metric in _names(entries) if metric not in (*HEADLINE, *COSTS)]
    sections = {
        "Means over seeds": _means(findings),
        "Which differences are significant": _differences(findings.comparisons),
        "Further metrics": _metrics_table(entries, baselines, further, intervals=False) if further else "",
        "Maps": _maps(entries),
        "What erasing did": _erasing(entries),
        "Labels that may be wrong": _suspects(findings.suspects),
        "Left out": "".join(f"- {plain(cell)}: {plain(why)}\n" for cell, why in findings.missing.items()),
    }
    parts = ["# Comparison of the cells\n", _best(findings.best, entries), _headline(entries, baselines)]
    return "\n".join([*parts, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)])


def _best(best: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    if best["cell"] is None:
        return f"No cell is the best: {plain(best['rule'])}.\n"
    name = next((entry.facts.get("map", "cam") for entry in entries if entry.cell == best["cell"]), "cam")
    with_map = "" if name == "cam" else f" with the map {name}"
    lines = [f"Best: **{plain(best['cell'])}**{with_map} ({plain(best['rule'])}).\n"]
    for row in best.get("below", ()):
        metric = about(row["metric"])
        lines.append(
            f"**It is not significantly better than the {plain(row['title'])}**: {metric.title} "
            f"{metric.with_unit(row['value'])} against {metric.with_unit(row['baseline_value'])}.\n"
        )
    return "\n".join([*lines, *(f"{plain(note)}\n" for note in best.get("notes", ()))])


def _headline(entries: Sequence[Entry], baselines: Baselines) -> str:
    metrics = [metric for metric in _names(entries) if metric in (*HEADLINE, *COSTS)]
    with_intervals = any(metric in entry.intervals for entry in entries for metric in metrics)
    brackets = ", with the 95 % interval in brackets" if with_intervals else ""
    shown = _metrics_table(entries, baselines, metrics, intervals=True)
    return f"{shown}\nScores in percent{brackets}. Bold: the best of a column.\n"


def _means(findings: Findings) -> str:
    groups, known = over_seeds(findings.entries), findings.over_seeds
    if len(groups) == len(findings.entries):
        return ""
    groups = [
        replace(group, intervals={name: (x.low, x.high) for name, x in known.get(group.cell, {}).items()})
        for group in groups
    ]
    counts = Counter(entry.group for entry in findings.entries)
    seeds = ", ".join(f"{plain(group)} {count}" for group, count in counts.items())
    metrics = [metric for metric in _names(groups) if metric in HEADLINE]
    shown = _metrics_table(groups, findings.baselines, metrics, intervals=True)
    return f"Number of seeds: {seeds}. In brackets: the 95 % interval over test images and trainings.\n\n{shown}"


def _differences(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    pairs: dict[tuple[str, str], dict[str, str]] = {}
    for comparison in comparisons:
        result = comparison.result
        text = signed(result.difference, result.low, result.high, bold=result.real)
        pairs.setdefault((comparison.a, comparison.b), {})[comparison.metric] = text
    metrics = [metric for metric in HEADLINE if any(metric in pair for pair in pairs.values())]
    rows = [
        [f"{plain(a)} - {plain(b)}", *(pair.get(metric, "-") for metric in metrics)] for (a, b), pair in pairs.items()
    ]
    over, scope = "", "They hold for these trained models; to compare recipes, train each with several seeds."
    if all(comparison.seeds > 1 for comparison in comparisons):
        over, scope = " and trainings", "They hold for the recipes, since each was trained with several seeds."
    elif any(comparison.seeds > 1 for comparison in comparisons):
        over = ", and over the trainings where both recipes have several"
    return (
        f"{markdown_table(['Difference', *(about(metric).title for metric in metrics)], rows)}\n"
        f"Differences in percentage points. In brackets: the 95 % interval over the test images{over}. Bold: "
        f"significant, p < 0.05 after Holm's correction for all comparisons. {scope}\n"
    )


def _metrics_table(entries: Sequence[Entry], baselines: Baselines, metrics: Sequence[str], intervals: bool) -> str:
    best = {metric: _best_value(entries, metric) for metric in metrics}
    rows = [
        [plain(entry.cell), *(_value(entry, metric, best[metric], intervals) for metric in metrics)]
        for entry in entries
    ]
    for name, scores in baselines.items():
        if any(metric in scores for metric in metrics):
            rows.append([f"*{plain(name)}*", *(_number(metric, scores.get(metric)) for metric in metrics)])
    return markdown_table(["Cell", *(plain(about(metric).title) for metric in metrics)], rows)


def _value(entry: Entry, metric: str, best: float | None, interval: bool) -> str:
    value = entry.metrics.get(metric)
    text = _number(metric, value)
    if value is not None and value == best:
        text = f"**{text}**"
    if interval and metric in entry.intervals:
        text += " [{}, {}]".format(*(_number(metric, bound) for bound in entry.intervals[metric]))
    return text


def _best_value(entries: Sequence[Entry], metric: str) -> float | None:
    """The value in bold in a table: None if a column has no better and worse, or all values are equal."""
    values = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
    # Losses of different recipes cannot be compared, and scores at other thresholds are not results.
    ranked = metric in METRICS and about(metric).better is not None and about(metric).percent
    return max(values, key=about(metric).rank) if ranked and max(values) != min(values) else None


def _maps(entries: Sequence[Entry]) -> str:
    if not any("gain" in row for entry in entries for row in entry.maps.values()):
        return ""
    names = list(dict.fromkeys(name for entry in entries for name in entry.maps))
    scores = {about(next(iter(row))).title: None for entry in entries for row in entry.maps.values() if row}
    rows = [
        [plain(entry.cell), *(_gain(entry.maps.get(name), name == entry.facts["map"]) for name in names)]
        for entry in entries
    ]
    return (
        f"{markdown_table(['Cell', *names], rows)}\n"
        f"{' or '.join(scores)} in percent, and the gain over plain CAM in points, with its 95 % interval on the same "
        "images in brackets. Bold: the cell's map, by which all its other scores are made; it was not chosen on these "
        "images. `norm` knows no class.\n"
    )


def _gain(row: Mapping[str, Any] | None, own: bool) -> str:
    if not row:
        return "-"
    key = next(iter(row))  # MaxBoxAccV2, or what stands in its place where there are masks alone
    text = _number(key, row[key])
    text = f"**{text}**" if own else text
    return f"{text}, {signed(row['gain'], *row['interval'])}" if "gain" in row else text


def _erasing(entries: Sequence[Entry]) -> str:
    most = max(len(entry.erasing) for entry in entries)
    if most < 2:
        return ""
    titles = {"object_share": "object covered", "added": "new part"}
    columns = [
        (k, key)
        for k in range(most)
        for key in titles
        if any(key in row for entry in entries for row in entry.erasing[k : k + 1]) and (k, key) != (0, "added")
    ]
    rows = []
    for entry in entries:
        values = [entry.erasing[k].get(key) if k < len(entry.erasing) else None for k, key in columns]
        rows.append([plain(entry.cell), *("-" if value is None else f"{100 * value:.1f}" for value in values)])
    return (
        f"{markdown_table(['Cell', *(f'Classifier {k + 1}: {titles[key]}' for k, key in columns)], rows)}\n"
        "In percent. A classifier's region is where its map is above the recipe's lowest delta (0.5 for a single "
        "classifier). *Object covered*: the share of the object's box in the region. *New part*: the new part of the "
        "region, as a share of all that this and the earlier classifiers found.\n"
    )


def _suspects(found: pd.DataFrame) -> str:
    if found.empty:
        return ""
    rows = [
        [*(plain(str(name)) for name in (row.path, row.label, row.suggested)), f"{row.probability:.2f}"]
        for row in found.head(_SUSPECTS).itertuples()
    ]
    more = f" {len(found)} in all: likely_wrong_labels.csv." if len(found) > _SUSPECTS else ""
    return (
        f"{markdown_table(['Image', 'Label', 'Suggested', 'Probability'], rows)}\n"
        f"Most cells are sure of another class, though they never saw these test images. Look at them.{more}\n"
    )


def _number(metric: str, value: float | None) -> str:
    return "-" if value is None else about(metric).text(value)


def signed(difference: float, low: float, high: float, bold: bool = False) -> str:
    """Return a difference of fractions and its interval, in percentage points."""
    text = f"{100 * difference:+.1f}"
    return f"{f'**{text}**' if bold else text} [{100 * low:.1f}, {100 * high:.1f}]"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others, which are numbers, to the right."""
    alignment = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, alignment, *rows))


def plain(text: str) -> str:
    """Return a name or message as plain text within a Markdown table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
