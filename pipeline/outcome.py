"""outcome: prints the result of the last comparison in a few lines: the best cell, the report, and what to do next.

    acol report

reads report/best.json and report/table.json, which `compare` wrote.
"""

from pathlib import Path
from typing import Any

from pipeline import cli, places
from pipeline.places import read_json
from pipeline.report.metrics import about
from pipeline.results import read_images, right_boxes

REPORT = Path("report")


def print_outcome() -> None:
    """Print the outcome of the report in this folder, and what to do next."""
    command = "make" if Path("Makefile").exists() else "acol"
    print(*outcome(Path()), sep="\n")
    print(f"Report:    {REPORT}/index.html (open it in a browser), {REPORT}/table.md")
    print(f"Next:      {command} ui (the runs in MLflow), {command} gate (register the best model)")


def outcome(root: Path) -> list[str]:
    """Return the result of a project's last comparison in lines: the best cell, the one to take, and its classes."""
    best, table = read_json(root / REPORT / "best.json"), read_json(root / REPORT / "table.json")
    cell = (best.get("take") or best)["cell"]
    return [*cell_lines(best, table), *(class_lines(root, cell) if cell else [])]


def cell_lines(best: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Return the lines about the cells; `best` and `table` are the contents of best.json and table.json."""
    lines = _leader(best, table)
    if (take := best.get("take")) and take["cell"] != best["cell"]:
        lines.append(f"Take:      {take['cell']}: {take['why']}")
    lines += [f"Note:      {note}" for note in best.get("notes", ())]
    if missing := table.get("missing"):
        lines.append(f"Left out:  {', '.join(missing)}; report/table.md says why")
    return lines


def class_lines(root: Path, cell: str) -> list[str]:
    """Return the lines of a table: of how many of a cell's test images the class and the box are right, by class."""
    images = read_images(root / places.results(cell) / "images.csv")
    rows = [("class", "images", "named right", "box right")]
    for name, of_class in images.groupby("label"):
        boxed = right_boxes(of_class)
        located = f"{boxed.sum()} of {len(boxed)}" if len(boxed) else "-"
        rows.append((str(name), str(len(of_class)), f"{of_class['correct'].sum():.0f}", located))
    return cli.aligned(rows)


def _leader(best: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Return the lines about the best cell: its score, those of the baselines, and whether it beats them."""
    cell = best["cell"]
    if cell is None:
        return [f"Best cell: none, since {best['rule']}"]
    key = next(iter(best["values"]))  # the first metric of compare.best_by that the cells have
    metric = about(key)
    row = next(row for row in table["cells"] if row["cell"] == cell)
    score = f"{metric.title} {metric.with_unit(best['values'][key])}"
    if bounds := row["intervals"].get(key):
        score += " [{}, {}]".format(*map(metric.text, bounds))
    baselines = [f"{name} {metric.with_unit(row[key])}" for name, row in table["baseline"].items() if key in row]
    lines = [f"Best cell: {cell}, {score}"]
    lines += [f"Baselines: {'; '.join(baselines)}"] if baselines else []
    if unbeaten := sum(row["metric"] == key for row in best.get("below", ())):
        lines.append(f"Careful:   not clearly above {unbeaten} of these")
    return lines


@cli.main
def main() -> None:
    """Print the result of the last comparison."""
    cli.no_arguments("Say which cell is best, and where the report is.")
    print_outcome()


if __name__ == "__main__":
    main()
