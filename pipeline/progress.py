"""Reports a training: its place in the grid on a terminal, each epoch, and events for the process that follows it."""

import csv
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from acol.training.results import EpochResult
from pipeline.params import Cell, Params
from pipeline.places import reading, timing


def announce(params: Params, cell: Cell, root: Path) -> None:
    """Print the cell's place in the grid if stdout is a terminal. A log gets only the lines of the epochs."""
    if sys.stdout.isatty() and (line := position_line(params, cell, root)):
        print(line, flush=True)


def position_line(params: Params, cell: Cell, root: Path) -> str | None:
    """Return such as "cell 3 of 5: lite0-pp-0.9; about 2 min left for the trainings ..."; None outside of the grid.

    The time is that of training this cell and all later ones, if each takes as long as the earlier ones on average.
    """
    names = [each.name for each in params.cells()]
    if cell.name not in names:
        return None
    index, seconds = names.index(cell.name), []
    for file in (root / timing(name) for name in names[:index]):
        if file.is_file():
            with reading(file), file.open(encoding="utf-8", newline="") as lines:
                seconds.append(sum(float(row["seconds"]) for row in csv.DictReader(lines)))
    line = f"cell {index + 1} of {len(names)}: {cell.name}"
    if not seconds:
        return line
    remaining = _rounded(sum(seconds) / len(seconds) * (len(names) - index))
    return f"{line}; about {remaining} left for the trainings (scoring not counted)"


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{round(seconds / 3600)} h"


def emit(event: str, **content: Any) -> None:
    """Append a line to the file of events that ACOL_EVENTS names, if any. A failure never stops the training."""
    if path := os.environ.get("ACOL_EVENTS"):
        with suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **content}) + "\n")


def emit_epoch(result: EpochResult) -> None:
    """Append the event of an epoch to the file of events."""
    emit("epoch", epoch=result.epoch, metrics=result.row() | result.speed())


def epoch_line(result: EpochResult) -> str:
    """Return an epoch in one line."""
    losses = " + ".join(f"{loss:.3f}" for loss in result.val.losses)
    more = "" if result.val.balanced_accuracy is None else f", balanced {result.val.balanced_accuracy:.3f}"
    more += "" if result.localization is None else f", localization {result.localization:.3f}"
    return (
        f"epoch {result.epoch}: train loss {result.train.loss:.3f}, accuracy {result.train.accuracy:.3f}; "
        f"val loss {losses}, accuracy {result.val.accuracy:.3f}{more}{' (best)' if result.best else ''}; "
        f"{result.train_images_per_s:.0f} images/s"
    )
