"""The parent run: one for each `dvc repro` that made runs of cells, over these, with what belongs to them all."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from acol.errors import InputError
from pipeline.tracking.store import COMPLETE_TAG, PARENT_TAG, REPRO_TAG, Store, surroundings

COMPARISON = ("index.html", "table.md", "gallery.png", "curves.png")  # of report/
ENVIRONMENT = ("params.yaml", "dvc.lock")
NOTE_TAG = "mlflow.note.content"  # what the UI shows, as Markdown, above everything else of a run
NOTE_LENGTH = 7500  # MLflow takes 8,000


def adopt(runs: Sequence[str], unfinished: Sequence[str], store: Store, root: Path) -> None:
    """Show the runs under one parent, the first of the `unfinished` that killed calls left or a new one; complete all.

    A parent is marked as complete last, so that the next call finds and does what a killed one left undone. Raises
    `InputError` where report/best.json is damaged; nothing has been done then.
    """
    best = _best(root / "report" / "best.json")
    parents = [*unfinished] or [_create(store)]
    for run_id in runs:
        store.client.set_tag(run_id, PARENT_TAG, parents[0])
    for parent in parents:
        _complete(parent, best, store, root)


def _create(store: Store) -> str:
    name = f"dvc repro {datetime.now():%Y-%m-%d %H:%M:%S}"
    return str(store.client.create_run(store.experiment_id, tags={REPRO_TAG: "true"}, run_name=name).info.run_id)


def _complete(parent: str, best: Mapping[str, Any], store: Store, root: Path) -> None:
    from mlflow.entities import Metric, RunTag

    for folder, paths in _artifacts(root).items():
        for path in paths:
            store.client.log_artifact(parent, str(path), folder)
    now = int(time.time() * 1000)
    values = {f"best_{name}": value for name, value in best.get("values", {}).items() if value is not None}
    store.client.log_batch(
        parent,
        [Metric(name, float(value), now, 0) for name, value in values.items()],
        tags=[RunTag(*tag) for tag in _tags(root, best).items()],
    )
    store.client.set_terminated(parent, "FINISHED")
    store.client.set_tag(parent, COMPLETE_TAG, "true")


def _artifacts(root: Path) -> dict[str, list[Path]]:
    wanted = {
        "comparison": [root / "report" / name for name in COMPARISON],
        "environment": [root / name for name in ENVIRONMENT],
    }
    return {folder: [path for path in paths if path.is_file()] for folder, paths in wanted.items()}


def _best(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); run `dvc repro` again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; run `dvc repro` again")
    return content


def _tags(root: Path, best: Mapping[str, Any]) -> dict[str, str]:
    table = root / "report" / "table.md"
    note = {NOTE_TAG: _cut(table.read_text(encoding="utf-8"))} if table.is_file() else {}
    cell = {"best_cell": best["cell"]} if best.get("cell") else {}
    return surroundings(root, "dvc repro") | note | cell


def _cut(text: str) -> str:
    if len(text) <= NOTE_LENGTH:
        return text
    whole_lines = text[: text.rindex("\n", 0, NOTE_LENGTH)]
    return f"{whole_lines}\n\nThe rest is in the artifact comparison/table.md.\n"
