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
from pipeline.places import VIEW, read_json
from pipeline.results import costs
from pipeline.tracking.store import as_param

FORMAT = "8"  # part of the fingerprint: raise it when what is logged of a cell changes
Curve = dict[tuple[str, int], float]  # (metric, epoch): value
OWN = ("backbone", "head", "recipe", "letters", "deltas", "classifier", "method", "seed")  # of summary.json, as params
_TIMES = ("started", "ended")  # columns of timing/CELL.csv that are points in time, not curves


@dataclass(frozen=True)
class Record:
    """The content of one cell's files."""

    cell: str
    fingerprint: str
    summary: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Curve
    timing: Curve
    checkpoint: Path
    evaluated: Mapping[str, Any]  # how: the arguments of `Predictor.load`
    artifacts: Mapping[str, Sequence[Path]]  # folder in the run: files
    views: Sequence[Path] = ()  # a picture of each of a few test images, the same ones in every cell
    test_sha256: str = ""  # of the test data

    @property
    def model(self) -> str:
        """Return a digest of the packaged model; equal models have equal digests."""
        parts = [sha256(self.checkpoint), *map(str, self.evaluated.values())]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    @property
    def key(self) -> str | None:
        """Return the training's key, by which its live run is found."""
        return self.summary.get("key")

    @property
    def curves(self) -> Curve:
        """Every metric that has a value for each epoch."""
        return {at: value for at, value in self.timing.items() if at[0] not in _TIMES} | self.history

    @property
    def params(self) -> dict[str, str]:
        """Every setting as text: the cell's own, each delta by its number, params.yaml's, and how boxes are made."""
        deltas = {f"delta_{number}": delta for number, delta in enumerate(self.summary["deltas"], 1)}
        own = {name: self.summary[name] for name in OWN if name in self.summary}
        # `log_model` logs these too, but fails silently.
        boxes = {"map": self.evaluated["map_name"]} | {name: str(self.evaluated[name]) for name in ("tau", "scales")}
        boxes |= {f"calibration/{name}": str(value) for name, value in asdict(self.evaluated["calibration"]).items()}
        settings = {**self.summary["parameters"], **own, **deltas}
        return {name: as_param(value) for name, value in settings.items()} | boxes

    def span(self, now: float) -> tuple[int, int]:
        """Return when the training began and ended, in milliseconds since 1970.

        If that was not recorded, the end is `now` (seconds since 1970) and the start is the epochs' time before it.
        """
        times: dict[str, list[float]] = {}
        for (name, _), value in self.timing.items():
            times.setdefault(name, []).append(value)
        ended = max(times.get("ended", [now]))
        started = min(times.get("started", [ended - sum(times.get("seconds", []))]))
        return int(1000 * started), int(1000 * ended)


def read_record(root: Path, cell: str) -> Record | None:
    """Read a cell's files; None if one of them is missing. Raises `InputError` for one that is damaged."""
    models, cams, timing = root / "models" / cell, root / "cams" / cell, root / "timing" / f"{cell}.csv"
    summary, history, checkpoint = (models / name for name in ("summary.json", "history.csv", "best.pt"))
    results = [root / "results" / cell / name for name in ("metrics.json", "details.json", "images.csv", "maps.npz")]
    if not all(path.is_file() for path in (summary, history, checkpoint, *results)) or not cams.is_dir():
        return None
    pictures = sorted(path for path in cams.iterdir() if path.is_file())
    views = [path for path in pictures if path.name.startswith(VIEW)]
    fingerprinted = [summary, history, checkpoint, *results, *pictures]
    text = "\n".join([FORMAT, *(f"{path.relative_to(root).as_posix()} {sha256(path)}" for path in fingerprinted)])
    metrics, details = read_json(results[0]), read_json(results[1])
    # The localization of each epoch, which the evaluation measured.
    located = enumerate(details.get("val_max_box_acc_v2", []), 1)
    return Record(
        cell,
        hashlib.sha256(text.encode()).hexdigest(),
        read_json(summary),
        {name: value for name, value in metrics.items() if isinstance(value, int | float)},
        _curve(history) | {("val_max_box_acc_v2", epoch): float(value) for epoch, value in located},
        (_curve(timing) if timing.is_file() else {}) | {(name, 0): value for name, value in costs(cell, root).items()},
        checkpoint,
        how_evaluated(results[1]),
        {
            "panels": [path for path in pictures if path not in views],
            "results": results,
            "training": [path for path in (summary, history, timing) if path.is_file()],
        },
        views,
        str(details.get("test_sha256", "")),
    )


def how_evaluated(path: Path) -> dict[str, Any]:
    """Read from a cell's details.json by which threshold, sizes, calibration and map it was evaluated.

    Returns the arguments of `Predictor.load`. Raises `InputError` if the file is damaged or names none.
    """
    details = read_json(path)
    try:
        return arguments_of(details | {"tau": details["tau"][details["tau"]["used"]]})
    except (KeyError, TypeError):
        raise InputError(f"{path}: names no box threshold or scales; run `dvc repro` again") from None


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Predictor.load` in a model's stored settings; raises KeyError or TypeError."""
    return {
        "tau": settings["tau"],
        "scales": settings["scales"],
        "calibration": Calibration(**settings.get("calibration", {})),  # models of before have none, nor a map
        "map_name": settings.get("map", "cam"),
    }


def _curve(path: Path) -> Curve:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                (name, int(row["epoch"])): float(value)
                for row in csv.DictReader(file)
                for name, value in row.items()
                if name != "epoch" and value
            }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table by epoch ({error}); run `dvc repro` again") from None
