"""The content of one cell's files, and the fingerprint by which a run is known to match them."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acol.errors import InputError
from acol.files import sha256
from acol.metrics.calibration import Calibration
from pipeline import places
from pipeline.places import VIEW, read_json
from pipeline.results import costs
from pipeline.tracking.store import as_param

FORMAT = "8"  # part of the fingerprint: raise it when what is logged of a cell changes
Points = dict[tuple[str, int], float]  # (metric, epoch): value
# Values of summary.json that are logged as params.
OWN = ("backbone", "head", "recipe", "letters", "deltas", "classifier", "method", "seed")
_TIMES = ("started", "ended")  # columns of timing/CELL.csv that are points in time, not curves


@dataclass(frozen=True)
class Record:
    """The content of one cell's files.

    `evaluated` says how the cell was evaluated: the arguments of `Predictor.load`. `artifacts` are the files by their
    folder in the run. `views` are pictures of a few test images, which are the same images in every cell.
    """

    cell: str
    fingerprint: str
    summary: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Points
    timing: Points
    checkpoint: Path
    evaluated: Mapping[str, Any]
    artifacts: Mapping[str, Sequence[Path]]
    views: Sequence[Path] = ()
    test_sha256: str = ""  # of the test data

    @property
    def model(self) -> str:
        """The digest of the packaged model; equal models have equal digests."""
        parts = [sha256(self.checkpoint), *map(str, self.evaluated.values())]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    @property
    def key(self) -> str:
        """The training's key, by which its live run is found."""
        return str(self.summary["key"])

    @property
    def curves(self) -> Points:
        """The metrics that have a value for each epoch."""
        return {at: value for at, value in self.timing.items() if at[0] not in _TIMES} | self.history

    @property
    def params(self) -> dict[str, str]:
        """All settings as text: those of params.yaml, the cell's own, each delta by its number, and those of boxes."""
        deltas = {f"delta_{number}": delta for number, delta in enumerate(self.summary["deltas"], 1)}
        own = {name: self.summary[name] for name in OWN if name in self.summary}
        # `log_model` logs the settings of boxes too, but says nothing when it fails.
        boxes = {"map": self.evaluated["map_name"]} | {name: str(self.evaluated[name]) for name in ("tau", "scales")}
        boxes |= {f"calibration/{name}": str(value) for name, value in asdict(self.evaluated["calibration"]).items()}
        settings = {**self.summary["parameters"], **own, **deltas}
        return {name: as_param(value) for name, value in settings.items()} | boxes

    @property
    def span(self) -> tuple[int, int]:
        """When the training began and ended, in milliseconds since 1970."""
        began, ended = ([at for (column, _), at in self.timing.items() if column == name] for name in _TIMES)
        return int(1000 * min(began)), int(1000 * max(ended))


def read_record(root: Path, cell: str) -> Record | None:
    """Read a cell's files; return None if one of them is missing. Raises `InputError` if one is damaged."""
    models, cams, timing = root / places.model(cell), root / "cams" / cell, root / places.timing(cell)
    summary, history, checkpoint = (models / name for name in ("summary.json", "history.csv", "best.pt"))
    results = [
        root / places.results(cell) / name for name in ("metrics.json", "details.json", "images.csv", "maps.npz")
    ]
    if not all(path.is_file() for path in (summary, history, checkpoint, timing, *results)) or not cams.is_dir():
        return None
    # Files of times are not in the fingerprint: they differ between equal trainings.
    pictures = sorted(path for path in cams.iterdir() if path.is_file())
    views = [path for path in pictures if path.name.startswith(VIEW)]
    fingerprinted = [summary, history, checkpoint, *results, *pictures]
    text = "\n".join([FORMAT, *(f"{path.relative_to(root).as_posix()} {sha256(path)}" for path in fingerprinted)])
    metrics, details = read_json(results[0]), read_json(results[1])
    # The evaluation measured the localization of each epoch; it is a curve like those of the training.
    located = enumerate(details.get("val_max_box_acc_v2", []), 1)
    return Record(
        cell,
        hashlib.sha256(text.encode()).hexdigest(),
        read_json(summary),
        {name: value for name, value in metrics.items() if isinstance(value, int | float)},
        {("val_max_box_acc_v2", epoch): float(value) for epoch, value in located} | _points(history),
        _points(timing, _TIMES) | {(name, 0): value for name, value in costs(cell, root).items()},
        checkpoint,
        how_evaluated(results[1]),
        {
            "panels": [path for path in pictures if path not in views],
            "results": results,
            "training": [summary, history, timing],
        },
        views,
        str(details.get("test_sha256", "")),
    )


def how_evaluated(path: Path) -> dict[str, Any]:
    """Read a cell's details.json; return the threshold, scales, calibration and map by which it was evaluated.

    They are the arguments of `Predictor.load`. Raises `InputError` if the file is damaged or lacks them.
    """
    details = read_json(path)
    try:
        return predictor_arguments(details | {"tau": details["tau"][details["tau"]["used"]]})
    except (KeyError, TypeError):
        raise InputError(f"{path}: names no box threshold or scales; run `dvc repro` again") from None


def predictor_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Predictor.load` from a model's stored settings; raises KeyError or TypeError."""
    return {
        "tau": settings["tau"],
        "scales": settings["scales"],
        "calibration": Calibration(**settings.get("calibration", {})),  # older models have neither this nor a map
        "map_name": settings.get("map", "cam"),
    }


def _points(path: Path, needed: Sequence[str] = ()) -> Points:
    """Read a table by epoch. Raises `InputError` if it is none, or has no values of a needed column."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            points = {
                (name, int(row["epoch"])): float(value)
                for row in csv.DictReader(file)
                for name, value in row.items()
                if name != "epoch" and value
            }
        if lacking := {*needed} - {name for name, _ in points}:
            raise ValueError(f"no column {min(lacking)}")
        return points
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table by epoch ({error}); run `dvc repro` again") from None
