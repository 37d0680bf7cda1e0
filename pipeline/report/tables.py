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
    cells, baselines = findings.cells, findings.baselines
    scores = {cell.cell.name: cell.metrics for cell in cells}
    first = [metric for metric in _names(scores) if metric in (*HEADLINE, *COSTS)]
    further = [metric for metric in _names(scores) if metric not in first]
    intervals = {cell.cell.name: cell.intervals for cell in cells}
    brackets = ", with the 95 % interval in brackets" if any({*first} & {*its} for its in intervals.values()) else ""
    sections = {
        "Means over seeds": _means(findings),
        "Which differences are significant": _differences(findings.comparisons),
        "Further metrics": _metrics_table(scores, baselines, further, {}) if further else "",
        "Maps": _maps(cells),
        "What erasing did": _erasing(cells),
        "Labels that may be wrong": _suspects(findings.suspects),
        "Left out": "".join(f"- {plain(cell)}: {plain(why)}\n" for cell, why in findings.missing.items()),
    }
    headline = _metrics_table(scores, baselines, first, intervals)
    return "\n".join(
        [
            "# Comparison of the cells\n",
            _best(findings),
            f"{headline}\nScores in percent{brackets}. Bold: the best of a column.\n",
            *(f"## {title}\n\n{text}" for title, text in sections.items() if text),
        ]
    )


def _best(findings: Findings) -> str:
    best = findings.best
    if best["cell"] is None:
        return f"No cell is the best: {plain(best['rule'])}.\n"
    name = next((cell.facts.get("map", "cam") for cell in findings.cells if cell.cell.name == best["cell"]), "cam")
    with_map = "" if name == "cam" else f" with the map {name}"
    lines = [f"Best: **{plain(best['cell'])}**{with_map} ({plain(best['rule'])}).\n"]
    for row in best.get("below", ()):
        metric = about(row["metric"])
        lines.append(
            f"**It is not significantly better than the {plain(row['title'])}**: {metric.title} "
            f"{metric.with_unit(row['value'])} against {metric.with_unit(row['baseline_value'])}.\n"
        )
    return "\n".join([*lines, *(f"{plain(note)}\n" for note in best.get("notes", ()))])


def _means(findings: Findings) -> str:
    groups, counts = means_over_seeds(findings.cells), Counter(cell.cell.group for cell in findings.cells)
    if len(groups) == len(findings.cells):
        return ""
    intervals = {
        group: {name: (each.low, each.high) for name, each in its.items()} for group, its in findings.over_seeds.items()
    }
    seeds = ", ".join(f"{plain(group)} {count}" for group, count in counts.items())
    metrics = [metric for metric in _names(groups) if metric in HEADLINE]
    shown = _metrics_table(groups, findings.baselines, metrics, intervals)
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


def _metrics_table(cells: Scores, baselines: Scores, metrics: Sequence[str], intervals: Intervals) -> str:
    best = {metric: _best_value([its[metric] for its in cells.values() if metric in its], metric) for metric in metrics}
    rows = []
    for name, scores in cells.items():
        row = [plain(name)]
        for metric in metrics:
            text = _number(metric, scores.get(metric))
            text = f"**{text}**" if metric in scores and scores[metric] == best[metric] else text
            if bounds := intervals.get(name, {}).get(metric):
                text += " [{}, {}]".format(*(_number(metric, bound) for bound in bounds))
            row.append(text)
        rows.append(row)
    for name, scores in baselines.items():
        if any(metric in scores for metric in metrics):
            rows.append([f"*{plain(name)}*", *(_number(metric, scores.get(metric)) for metric in metrics)])
    return markdown_table(["Cell", *(plain(about(metric).title) for metric in metrics)], rows)


def _best_value(values: Sequence[float], metric: str) -> float | None:
    """The value in bold in a table: None if a column has no better and worse, or all values are equal."""
    # Losses of different recipes cannot be compared, and scores at other thresholds are not results.
    ranked = metric in METRICS and about(metric).better is not None and about(metric).percent
    return max(values, key=about(metric).rank) if ranked and max(values) != min(values) else None


def _maps(cells: Sequence[Loaded]) -> str:
    if not any("gain" in row for cell in cells for row in cell.maps.values()):
        return ""
    names = list(dict.fromkeys(name for cell in cells for name in cell.maps))
    scores = {about(next(iter(row))).title: None for cell in cells for row in cell.maps.values() if row}
    rows = [
        [plain(cell.cell.name), *(_gain(cell.maps.get(name), name == cell.facts["map"]) for name in names)]
        for cell in cells
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


def _erasing(cells: Sequence[Loaded]) -> str:
    most = max(len(cell.erasing) for cell in cells)
    if most < 2:
        return ""
    titles = {"object_share": "object covered", "added": "new part"}
    columns = [
        (k, key)
        for k in range(most)
        for key in titles
        if any(key in row for cell in cells for row in cell.erasing[k : k + 1]) and (k, key) != (0, "added")
    ]
    rows = []
    for cell in cells:
        values = [cell.erasing[k].get(key) if k < len(cell.erasing) else None for k, key in columns]
        rows.append([plain(cell.cell.name), *("-" if value is None else f"{100 * value:.1f}" for value in values)])
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
