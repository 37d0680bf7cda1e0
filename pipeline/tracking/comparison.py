"""The run `comparison`: the one run of the experiment that holds the report about all cells."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acol.files import sha256
from pipeline.places import read_json
from pipeline.tracking.runs import COMPARISON_TAG, KnownRun, environment_tags
from pipeline.tracking.store import Store

_REPORT = ("index.html", "table.md", "gallery.png", "curves.png")  # of report/
# The run's description: the UI shows it first. MLflow takes 8,000 characters.
_NOTE_TAG, _NOTE_LENGTH = "mlflow.note.content", 7500


@dataclass(frozen=True)
class ReportFiles:
    """The report's files by their folder in the run, with their fingerprint, and what is shown of them.

    `best` is the content of report/best.json, `note` the run's description in Markdown.
    """

    fingerprint: str
    best: Mapping[str, Any]
    note: str
    artifacts: Mapping[str, Sequence[Path]]

    def is_shown(self, known: Sequence[KnownRun]) -> bool:
        """Return whether the experiment's run `comparison` holds this report."""
        run = _run_of(known)
        return run is not None and run.tags[COMPARISON_TAG] == self.fingerprint and run.has_files

    def show(self, known: Sequence[KnownRun], store: Store, root: Path) -> None:
        """Update the run `comparison`, or make it if there is none.

        Its fingerprint is set last, so that an interrupted update can be recognised.
        """
        from mlflow.entities import Metric, RunTag

        client, run = store.client, _run_of(known)
        if run is None:
            run_id = client.create_run(store.experiment_id, None, {COMPARISON_TAG: ""}, "comparison").info.run_id
        else:
            run_id = run.run_id
            client.set_tag(run_id, COMPARISON_TAG, "")
        for folder, paths in self.artifacts.items():
            for path in paths:
                client.log_artifact(run_id, str(path), folder)
        now = int(time.time() * 1000)
        values = {name: value for name, value in self.best.get("values", {}).items() if value is not None}
        tags = {**environment_tags(root, "pipeline.track"), _NOTE_TAG: self.note}
        tags["best_cell"] = str(self.best.get("cell") or "")
        client.log_batch(
            run_id,
            [Metric(f"best_{name}", round(float(value), 4), now, 0) for name, value in values.items()],
            tags=[RunTag(*tag) for tag in tags.items()],
        )
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, COMPARISON_TAG, self.fingerprint)


def read_comparison(root: Path) -> ReportFiles | None:
    """Read the report; return None if there is none. Raises `InputError` if report/best.json is damaged."""
    best, table = root / "report" / "best.json", root / "report" / "table.md"
    if not best.is_file() or not table.is_file():
        return None
    pages = [path for name in _REPORT if (path := root / "report" / name).is_file()]
    environment = [path for name in ("params.yaml", "dvc.lock") if (path := root / name).is_file()]
    # The fingerprint is without dvc.lock, which changes again after `track`.
    fingerprinted = [best, *pages, *(path for path in environment if path.name == "params.yaml")]
    text = "\n".join(f"{path.name} {sha256(path)}" for path in fingerprinted)
    note = table.read_text(encoding="utf-8")
    if len(note) > _NOTE_LENGTH:
        whole_lines = note[: note.rindex("\n", 0, _NOTE_LENGTH)]
        note = f"{whole_lines}\n\nThe rest is in the artifact comparison/table.md.\n"
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return ReportFiles(fingerprint, read_json(best), note, {"comparison": pages, "environment": environment})


def _run_of(known: Sequence[KnownRun]) -> KnownRun | None:
    return next((run for run in known if COMPARISON_TAG in run.tags and not run.deleted), None)
