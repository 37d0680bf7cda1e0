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
from pipeline.tracking.batches import as_param

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
    started: float | None  # of the training, in seconds since 1970; None if it was not recorded
    ended: float | None
    checkpoint: Path
    tau: float  # the box threshold, sizes and calibration by which the cell was evaluated
    scales: Sequence[float]
    calibration: Calibration
    map_name: str  # of `acol.localization.evidence.MAPS`
    artifacts: Mapping[str, Sequence[Path]]  # folder in the run: files
    views: Sequence[Path] = ()  # a picture of each of a few test images, the same ones in every cell
    test_sha256: str = ""  # of the test data

    @property
    def model(self) -> str:
        """Return a digest of the packaged model; equal models have equal digests."""
        return hashlib.sha256(
            f"{sha256(self.checkpoint)} {self.tau} {self.scales} {self.calibration} {self.map_name}".encode()
        ).hexdigest()

    @property
    def key(self) -> str | None:
        """Return the training's key, by which its live run is found."""
        return self.summary.get("key")

    @property
    def params(self) -> dict[str, str]:
        """Every setting as text: the cell's own, each delta by its number, params.yaml's, and how boxes are made."""
        deltas = {f"delta_{number}": delta for number, delta in enumerate(self.summary["deltas"], 1)}
        own = {name: self.summary[name] for name in OWN if name in self.summary}
        # `log_model` logs these too, but fails silently.
        boxes = {"map": self.map_name, "tau": str(self.tau), "scales": str(self.scales)}
        boxes |= {f"calibration/{name}": str(value) for name, value in asdict(self.calibration).items()}
        settings = {**self.summary["parameters"], **own, **deltas}
        return {name: as_param(value) for name, value in settings.items()} | boxes

    def span(self, now: float) -> tuple[int, int]:
        """Return when the training began and ended, in milliseconds since 1970.

        If that was not recorded, the end is `now` (seconds since 1970) and the start is the epochs' time before it.
        """
        ended = now if self.ended is None else self.ended
        took = sum(value for (name, _), value in self.timing.items() if name == "seconds")
        started = ended - took if self.started is None else self.started
        return int(1000 * started), int(1000 * ended)


def read_record(root: Path, cell: str) -> Record | None:
    """Read a cell's files; None if one of them is missing. Raises `InputError` for one that is damaged."""
    models, results, cams = root / "models" / cell, root / "results" / cell, root / "cams" / cell
    training = [models / "summary.json", models / "history.csv"]
    results_files = [results / name for name in ("metrics.json", "details.json", "images.csv", "maps.npz")]
    checkpoint = models / "best.pt"
    if not all(path.is_file() for path in (*training, checkpoint, *results_files)) or not cams.is_dir():
        return None
    pictures = sorted(path for path in cams.iterdir() if path.is_file())
    views = [path for path in pictures if path.name.startswith(VIEW)]
    fingerprinted = [*training, checkpoint, *results_files, *pictures]
    text = "\n".join([FORMAT, *(f"{path.relative_to(root).as_posix()} {sha256(path)}" for path in fingerprinted)])
    timing_file = root / "timing" / f"{cell}.csv"
    timing = _curve(timing_file) if timing_file.is_file() else {}
    return Record(
        cell,
        hashlib.sha256(text.encode()).hexdigest(),
        read_json(training[0]),
        {name: value for name, value in read_json(results_files[0]).items() if isinstance(value, int | float)},
        _curve(training[1]) | _by_epoch(results_files[1]),
        {at: value for at, value in timing.items() if at[0] not in _TIMES},
        min((value for (name, _), value in timing.items() if name == "started"), default=None),
        max((value for (name, _), value in timing.items() if name == "ended"), default=None),
        checkpoint,
        *box_settings(results_files[1]),
        {
            "panels": [path for path in pictures if path not in views],
            "results": results_files,
            "training": [path for path in (*training, timing_file) if path.is_file()],
        },
        views,
        str(read_json(results_files[1]).get("test_sha256", "")),
    )


def box_settings(path: Path) -> tuple[float, list[float], Calibration, str]:
    """Read from a cell's details.json the box threshold, scales, calibration and map by which it was evaluated.

    Raises `InputError` if it is damaged or names none.
    """
    details = read_json(path)
    try:
        calibration = Calibration(**details.get("calibration", {}))  # results of before have none, nor a map
        return details["tau"][details["tau"]["used"]], details["scales"], calibration, details.get("map", "cam")
    except (KeyError, TypeError):
        raise InputError(f"{path}: names no box threshold or scales; run `dvc repro` again") from None


def _by_epoch(details: Path) -> Curve:
    """The localization of each epoch, which the evaluation measured."""
    found = read_json(details).get("val_max_box_acc_v2", [])
    return {("val_max_box_acc_v2", epoch): float(value) for epoch, value in enumerate(found, 1)}


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
