"""outcome: what the last comparison found, in a few lines: the best cell, the report, and what to do next.

    acol report

reads report/best.json and report/table.json, which `compare` wrote.
"""

from pathlib import Path
from typing import Any

from pipeline import cli
from pipeline.places import read_json
from pipeline.report.metrics import about

REPORT = Path("report")


def tell() -> None:
    """Print the outcome of the report in this folder."""
    print(*describe(read_json(REPORT / "best.json"), read_json(REPORT / "table.json")), sep="\n")


def describe(best: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Return the lines of a comparison: `best` and `table` are the contents of best.json and table.json."""
    lines = [_leader(best, table), *(f"Note:      {note}" for note in best.get("notes", ()))]
    if missing := table.get("missing"):
        lines.append(f"Left out:  {', '.join(missing)}; report/table.md says why")
    lines.append("Report:    report/index.html (open it in a browser), report/table.md")
    by = "make" if Path("Makefile").exists() else "acol"
    lines.append(f"Next:      {by} ui (the runs in MLflow), {by} gate (register the best model)")
    return lines


def _leader(best: dict[str, Any], table: dict[str, Any]) -> str:
    cell = best["cell"]
    if cell is None:
        return f"Best cell: none, since {best['rule']}"
    key = next(iter(best["values"]))  # the first metric of compare.best_by that the cells have
    metric = about(key)
    row = next(row for row in table["cells"] if row["cell"] == cell)
    score = f"{metric.title} {metric.with_unit(best['values'][key])}"
    if bounds := row["intervals"].get(key):
        score += " [{}, {}]".format(*map(metric.text, bounds))
    baselines = [f"{name} {metric.with_unit(row[key])}" for name, row in table["baseline"].items() if key in row]
    return f"Best cell: {cell}, {'; '.join([score, *baselines])}"


@cli.main
def main() -> None:
    """Print what the last comparison found."""
    cli.parser("pipeline.outcome", "Say which cell is best, and where the report is.").parse_args()
    tell()


if __name__ == "__main__":
    main()
