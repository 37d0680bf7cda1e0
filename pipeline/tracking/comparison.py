"""The run `comparison`: the one run of the experiment that holds the report on all cells."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acol.files import sha256
from pipeline.places import read_json
from pipeline.tracking.known_runs import KnownRun
from pipeline.tracking.store import Store
from pipeline.tracking.tags import COMPARISON_TAG, NOTE_TAG, surroundings

_NAME = "comparison"
_REPORT = ("index.html", "table.md", "gallery.png", "curves.png")  # of report/
_ENVIRONMENT = ("params.yaml", "dvc.lock")
_NOTE_LENGTH = 7500  # MLflow takes 8,000


@dataclass(frozen=True)
class ReportFiles:
    """The report's files, and a summary of them."""

    fingerprint: str
    best: Mapping[str, Any]  # report/best.json
    note: str  # Markdown
    artifacts: Mapping[str, Sequence[Path]]  # folder in the run: files


def read_comparison(root: Path) -> ReportFiles | None:
    """Read the report; None if `compare` has written none. Raises `InputError` if report/best.json is damaged."""
    report = root / "report"
    best, table = report / "best.json", report / "table.md"
    if not best.is_file() or not table.is_file():
        return None
    pages = [report / name for name in _REPORT if (report / name).is_file()]
    environment = [root / name for name in _ENVIRONMENT if (root / name).is_file()]
    # Without dvc.lock: `track` itself is in it, so it changes again after `track`.
    counted = [best, *pages, *(path for path in environment if path.name == "params.yaml")]
    text = "\n".join(f"{path.name} {sha256(path)}" for path in counted)
    return ReportFiles(
        hashlib.sha256(text.encode()).hexdigest(),
        read_json(best),
        _cut(table.read_text(encoding="utf-8")),
        {"comparison": pages, "environment": environment},
    )


def is_shown(comparison: ReportFiles, known: Sequence[KnownRun]) -> bool:
    """Whether the experiment's run `comparison` holds this report."""
    standing = _standing(known)
    return standing is not None and standing.tags[COMPARISON_TAG] == comparison.fingerprint and standing.has_files


def show(comparison: ReportFiles, known: Sequence[KnownRun], store: Store, root: Path) -> None:
    """Update the run `comparison`, or make it if there is none.

    Its fingerprint is set last, so that an interrupted update can be recognised.
    """
    from mlflow.entities import Metric, RunTag

    client, standing = store.client, _standing(known)
    if standing is None:
        run_id = client.create_run(store.experiment_id, tags={COMPARISON_TAG: ""}, run_name=_NAME).info.run_id
    else:
        run_id = standing.run_id
        client.set_tag(run_id, COMPARISON_TAG, "")
    for folder, paths in comparison.artifacts.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder)
    now = int(time.time() * 1000)
    values = {name: value for name, value in comparison.best.get("values", {}).items() if value is not None}
    tags = {**surroundings(root, "pipeline.track"), NOTE_TAG: comparison.note}
    tags["best_cell"] = str(comparison.best.get("cell") or "")
    client.log_batch(
        run_id,
        [Metric(f"best_{name}", round(float(value), 4), now, 0) for name, value in values.items()],
        tags=[RunTag(*tag) for tag in tags.items()],
    )
    client.set_terminated(run_id, "FINISHED")
    client.set_tag(run_id, COMPARISON_TAG, comparison.fingerprint)


def _standing(known: Sequence[KnownRun]) -> KnownRun | None:
    return next((run for run in known if COMPARISON_TAG in run.tags and not run.deleted), None)


def _cut(text: str) -> str:
    if len(text) <= _NOTE_LENGTH:
        return text
    whole_lines = text[: text.rindex("\n", 0, _NOTE_LENGTH)]
    return f"{whole_lines}\n\nThe rest is in the artifact comparison/table.md.\n"
