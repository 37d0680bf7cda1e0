"""Print on a terminal which cell of the grid is trained, and how long the trainings will still take."""

import csv
import sys
from pathlib import Path

from pipeline.params import Cell, Params
from pipeline.places import timing


def announce(params: Params, cell: Cell, root: Path) -> None:
    """Print the cell's place if stdout is a terminal. A log contains only the lines of the epochs."""
    if sys.stdout.isatty() and (line := place(params, cell, root)):
        print(line, flush=True)


def place(params: Params, cell: Cell, root: Path) -> str | None:
    """Return e.g. "cell 3 of 5: lite0-pp-0.9; about 2 min left for the trainings"; None for a cell not of the grid.

    The time left is that of this and all later cells, if each takes as long as the earlier ones on average.
    """
    names = [of_grid.name for of_grid in params.cells()]
    if cell.name not in names:
        return None
    nth = names.index(cell.name)
    line = f"cell {nth + 1} of {len(names)}: {cell.name}"
    took = [_seconds(root / timing(name)) for name in names[:nth] if (root / timing(name)).is_file()]
    if took:
        line += f"; about {_rounded(sum(took) / len(took) * (len(names) - nth))} left for the trainings"
    return line


def _seconds(file: Path) -> float:
    with file.open(encoding="utf-8", newline="") as lines:
        return sum(float(row["seconds"]) for row in csv.DictReader(lines))


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{round(seconds / 3600)} h"
