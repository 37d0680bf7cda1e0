"""track: shows every cell of the grid in MLflow as one finished run each, and the report as the run `comparison`.

    python -m pipeline.track

reads what the other stages wrote, and writes report/runs.json {cell: run id}. Files are the truth: a run is right if
it carries the fingerprint of its cell's files, no matter who logged it and when. So a cell from DVC's cache is logged
like any other. A second `track` changes nothing, and completes what an interrupted one left undone.
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
from pipeline.tracking.runs import (
    KEY_TAG,
    OUTPUT_TAG,
    REPRO_TAG,
    KnownRun,
    known_runs,
    surroundings,
)
from pipeline.tracking.store import Store, StoreError, failures, open_store, parent_tag, store_lock, store_uri

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

RUNS = Path("report/runs.json")
_ROUNDS = 8  # of planning and doing: up to four are needed, more if other machines track the same cells
_PATIENCE = 3  # refusals by MLflow, after which another machine cannot be the cause


@dataclass
class Found:
    """The content of the files: each cell's record, the cells without complete files, and the report.

    With `output` only the runs of that output folder count, and new ones carry its name.
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
        # The live run of the training that wrote the files does not say it yet.
        return any(run.tags.get(KEY_TAG) == record.key for record in self.records.values())


def track(cells: Sequence[str], root: Path, experiment: str, parent: str | None = None) -> dict[str, str]:
    """Bring the MLflow experiment in line with the files under `root`; return {cell: run id}.

    Afterwards each of `cells` that has all of its files has exactly one finished run, named after it; every other run
    of a cell is deleted softly (`mlflow runs restore` brings it back). New runs are shown under the run `parent`, if
    that is one of the experiment.
    Raises `StoreError` if MLflow fails. Damaged files raise `Faults`, after all other cells are logged.
    """
    found = read_files(cells, root)
    with failures(store_uri(root)), store_lock(root):
        ids = _carry_out(found, open_store(root, experiment), root, parent)
    if found.faults:
        raise Faults(found.faults)
    return ids


def track_one(cell: str, root: Path, experiment: str) -> str:
    """Show the one cell whose files are under `root`, beside the experiment's others; return its run's id.

    It replaces an earlier run of the cell only if that was of the same folder.

    Raises `InputError` for damaged or missing files and `StoreError` if MLflow fails.
    """
    record = read_record(root, cell)
    if record is None:
        raise InputError(f"{root}: no complete results of {cell}; run the training again")
    with failures(store_uri(root)), store_lock(root):
        store = open_store(root, experiment)
        others = {run.cell for run in known_runs(store) if run.cell} - {cell}
        found = Found({cell: record}, sorted(others), output=str(root.resolve()))
        return _carry_out(found, store, root)[cell]


def read_files(cells: Sequence[str], root: Path) -> Found:
    """Read the files of all cells and of the report; damaged ones are named in `faults`."""

    def read(cell: str) -> Record | InputError | None:
        try:
            return read_record(root, cell)
        except InputError as error:
            return error

    with ThreadPoolExecutor(4) as pool:  # hashing the checkpoints lets other threads run
        read_ones = dict(zip(cells, pool.map(read, cells), strict=True))
    found = Found({cell: record for cell, record in read_ones.items() if isinstance(record, Record)})
    found.waiting = [cell for cell in cells if cell not in found.records]
    found.faults = [str(error) for error in read_ones.values() if isinstance(error, InputError)]
    try:
        found.comparison = read_comparison(root)
    except InputError as error:
        found.faults.append(str(error))
    return found


def _carry_out(found: Found, store: Store, root: Path, parent: str | None = None) -> dict[str, str]:
    """Plan and do until nothing is left to do, since other machines may change the same runs meanwhile."""
    from mlflow.exceptions import MlflowException

    around = {REPRO_TAG: f"{datetime.now():%Y-%m-%d %H:%M:%S}", **parent_tag(store, parent)}
    if found.output is not None:
        around[OUTPUT_TAG] = found.output
    compared, refused = False, 0
    for _ in range(_ROUNDS):
        known = known_runs(store)
        plan = found.plan(known)
        try:
            if not plan.empty:
                _do(plan, found.records, store, root, around)
            elif found.comparison is None or compared or found.comparison.is_shown(known):
                return plan.kept
            else:  # only once: machines with different reports would replace each other's forever
                found.comparison.show(known, store, root)
                compared = True
        except MlflowException as error:
            refused += 1
            if refused == _PATIENCE or not _another_was_first(error):
                raise
    raise StoreError(f"MLflow at {store.uri}: other machines keep changing the runs of these cells; try again later")


def _do(plan: Plan, records: Mapping[str, Record], store: Store, root: Path, around: Mapping[str, str]) -> None:
    for run_id in plan.restored:
        store.client.restore_run(run_id)
    for run_id in plan.finished:
        store.client.set_terminated(run_id, "FINISHED")
    if plan.logged:
        tags = {**surroundings(root, "pipeline.track"), **around}
        for cell, begun in plan.logged.items():
            log_cell(records[cell], begun, store, root, tags)
    else:  # last, so that each cell keeps its old run until then
        for run_id in plan.deleted:
            store.client.delete_run(run_id)


def _another_was_first(error: "MlflowException") -> bool:
    # The other named the data set, or finished the cell and deleted our run; for the latter there is no error code.
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
