"""track: shows each cell of the grid in MLflow as one finished run, and the report as the run `comparison`.

    python -m pipeline.track

reads what the other stages wrote, and writes report/runs.json {cell: run id}. The files are the truth: a run is right
if it has the fingerprint of its cell's files, no matter who logged it and when. So a cell from DVC's cache is logged
like any other. A second `track` changes nothing, but completes what an interrupted one left undone.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from acol.errors import Faults, InputError
from acol.files import atomic_write
from pipeline import cli
from pipeline.params import load_params
from pipeline.tracking.cell_run import log_cell
from pipeline.tracking.comparison import ReportFiles, read_comparison
from pipeline.tracking.plan import Plan, make_plan
from pipeline.tracking.record import Record, read_record
from pipeline.tracking.runs import KEY_TAG, OUTPUT_TAG, REPRO_TAG, KnownRun, environment_tags, known_runs
from pipeline.tracking.store import (
    Store,
    StoreError,
    failures,
    open_store,
    parent_tag,
    store_lock,
    store_uri,
    without_password,
)

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

RUNS = Path("report/runs.json")
_ROUNDS = 8  # of planning and acting: four are enough, unless other machines track the same cells
_PATIENCE = 3  # times that MLflow may refuse a call because another machine was faster


@dataclass
class Content:
    """The content of the files: each cell's record, the cells without complete files, and the report.

    With `output` only the runs of that output folder count, and new runs get its name as a tag.
    """

    records: dict[str, Record] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    comparison: ReportFiles | None = None
    faults: list[str] = field(default_factory=list)  # a line for each damaged file
    output: str | None = None

    def plan(self, known: Sequence[KnownRun]) -> Plan:
        """Return what to do with the cells' runs."""
        known = [run for run in known if self._is_of_output(run)]
        return make_plan(self.records, self.waiting, known, [run.run_id for run in known if run.is_logged_here])

    def _is_of_output(self, run: KnownRun) -> bool:
        if self.output is None:
            return True
        if OUTPUT_TAG in run.tags:
            return run.tags[OUTPUT_TAG] == self.output
        # A live run has no such tag yet. It counts if its training wrote the files.
        return any(run.tags.get(KEY_TAG) == record.key for record in self.records.values())


def track(cells: Sequence[str], root: Path, experiment: str, parent: str | None = None) -> dict[str, str]:
    """Make the MLflow experiment agree with the files under `root`; return {cell: run id}.

    Afterwards each of `cells` that has all of its files has exactly one finished run with its name. Every other run of
    a cell is deleted softly (`mlflow runs restore` brings it back). New runs are shown below the run `parent`, if that
    is in the experiment.

    Raises `StoreError` if MLflow fails. Damaged files raise `Faults`, after all other cells are logged.
    """
    content = read_files(cells, root)
    with failures(store_uri(root)), store_lock(root):
        ids = _carry_out(content, open_store(root, experiment), root, parent)
    if content.faults:
        raise Faults(content.faults)
    return ids


def track_one(cell: str, root: Path, experiment: str) -> str:
    """Log the one cell whose files are under `root`, and leave the experiment's others; return the id of its run.

    An earlier run of the cell is replaced only if it was of the same folder.

    Raises `InputError` for damaged or missing files and `StoreError` if MLflow fails.
    """
    record = read_record(root, cell)
    if record is None:
        raise InputError(f"{root}: no complete results of {cell}; run the training again")
    with failures(store_uri(root)), store_lock(root):
        store = open_store(root, experiment)
        elsewhere = {run.cell for run in known_runs(store) if run.cell} - {cell}
        content = Content({cell: record}, sorted(elsewhere), output=str(root.resolve()))
        return _carry_out(content, store, root)[cell]


def read_files(cells: Sequence[str], root: Path) -> Content:
    """Read the files of all cells and of the report. `faults` names the damaged ones."""

    def read(cell: str) -> Record | InputError | None:
        try:
            return read_record(root, cell)
        except InputError as error:
            return error

    with ThreadPoolExecutor(4) as pool:  # while a checkpoint is hashed, other threads can run
        outcomes = dict(zip(cells, pool.map(read, cells), strict=True))
    content = Content({cell: record for cell, record in outcomes.items() if isinstance(record, Record)})
    content.waiting = [cell for cell in cells if cell not in content.records]
    content.faults = [str(error) for error in outcomes.values() if isinstance(error, InputError)]
    try:
        content.comparison = read_comparison(root)
    except InputError as error:
        content.faults.append(str(error))
    return content


def _carry_out(content: Content, store: Store, root: Path, parent: str | None = None) -> dict[str, str]:
    """Plan and act until nothing is left to do, since other machines may change the same runs meanwhile."""
    from mlflow.exceptions import MlflowException

    tags = {REPRO_TAG: f"{datetime.now():%Y-%m-%d %H:%M:%S}", **parent_tag(store, parent)}
    if content.output is not None:
        tags[OUTPUT_TAG] = content.output
    report, replaced, refused = content.comparison, False, 0
    for _ in range(_ROUNDS):
        known = known_runs(store)
        plan = content.plan(known)
        try:
            if not plan.empty:
                _act(plan, content.records, store, root, tags)
            elif report is None or replaced or report.is_shown(known):
                return plan.kept
            else:  # only once: machines with different reports would replace each other's forever
                report.show(known, store, root)
                replaced = True
        except MlflowException as error:
            refused += 1
            if refused == _PATIENCE or not _another_was_first(error):
                raise
    where = f"MLflow at {without_password(store.uri)}"
    raise StoreError(f"{where}: other machines keep changing the runs of these cells; try again later")


def _act(plan: Plan, records: Mapping[str, Record], store: Store, root: Path, tags: Mapping[str, str]) -> None:
    """Do what a plan says. Runs are deleted in the next round, so that each cell keeps its old run until then."""
    for run_id in plan.restored:
        store.client.restore_run(run_id)
    for run_id in plan.finished:
        store.client.set_terminated(run_id, "FINISHED")
    if plan.logged:
        around = {**environment_tags(root, "pipeline.track"), **tags}
        for cell, begun in plan.logged.items():
            log_cell(records[cell], begun, store, root, around)
    else:
        for run_id in plan.deleted:
            store.client.delete_run(run_id)


def _another_was_first(error: "MlflowException") -> bool:
    """Return whether MLflow refused a call because another machine was faster.

    That one made the same data set, or finished the cell and deleted our run. The latter has no error code of its own.
    """
    refusals = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"}
    return error.error_code in refusals or "deleted state" in str(error)


@cli.main
def main() -> None:
    """Run the stage `track`."""
    cli.no_arguments("Log into MLflow what the other stages left in files.")
    parent = os.environ.pop("MLFLOW_RUN_ID", None)  # else all cells would go into the run of `mlflow run`
    params = load_params()
    cells = [cell.name for cell in params.cells()]
    try:
        runs = track(cells, Path.cwd(), params.tracking.experiment, parent)
        with atomic_write(RUNS) as temporary:
            temporary.write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    except (StoreError, OSError) as error:
        print(f"error: {error}; the files are complete: run `dvc repro` again to log them", file=sys.stderr)
        sys.exit(1)
    if absent := [cell for cell in cells if cell not in runs]:
        print(f"error: no complete results of {', '.join(absent)}; run `dvc repro` for them", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
