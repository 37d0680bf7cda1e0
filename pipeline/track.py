"""track: shows every cell of the grid in MLflow, as one finished run each, under the `dvc repro` that made it.

    python -m pipeline.track

reads what the other stages wrote of each cell, and writes report/runs.json {cell: run id}. Files are the truth: a run
is right if it carries the fingerprint of the cell's files, whoever logged them and when. So a cell that came from DVC's
cache is logged like any other, a second time does nothing, and whatever an earlier call left undone is made good.
"""

import json
import math
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acol.errors import Faults, InputError
from acol.files import atomic_write
from pipeline import cli
from pipeline.params import load_params
from pipeline.tracking.parent import adopt
from pipeline.tracking.record import Record, read_json, read_record
from pipeline.tracking.store import (
    BATCH_METRICS,
    BATCH_PARAMS,
    CELL_TAG,
    COMPLETE_TAG,
    KEY_TAG,
    PARENT_TAG,
    PROCESS_TAG,
    KnownRun,
    Store,
    StoreError,
    failures,
    known_runs,
    known_runs_on_disk,
    open_store,
    store_lock,
    store_uri,
    surroundings,
)

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.exceptions import MlflowException

RUNS = Path("report/runs.json")
FINGERPRINT_TAG = "acol.fingerprint"  # of the files that `track` logs into this run; set before the first of them
MODEL_TAG = "acol.model"  # digest of the packaged model
SUMMARY_METRICS = ("best_epoch", "epochs_run", "best_val_accuracy", "best_val_loss")
ROUNDS = 8  # of planning and doing: it takes up to four, more where other machines track the same cells
PATIENCE = 3  # refusals that are not another machine's doing any more


# --- which runs stay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What must happen so that MLflow shows the cells as the files say."""

    kept: Mapping[str, str]  # cell: run that is right as it is
    restored: Mapping[str, str]  # cell: run that is right, but softly deleted
    closed: Sequence[str]  # runs that are right, but never marked as finished
    logged: Mapping[str, Sequence[str]]  # cell to log: its live runs, of which one may be taken over
    orphans: Sequence[str]  # runs that are right, but have no parent
    returning: Sequence[str]  # softly deleted parents of runs that stay or are restored
    unfinished: Sequence[str]  # parents that an earlier call did not complete
    superseded: Sequence[str]  # runs to delete softly, and parents that have no run left

    @property
    def empty(self) -> bool:
        """Whether all is as it should be."""
        to_do = (self.restored, self.closed, self.logged, self.orphans, self.returning, self.unfinished)
        return not (any(to_do) or self.superseded)


def make_plan(
    records: Mapping[str, Record], kept_cells: Sequence[str], known: Sequence[KnownRun], *, adopting: bool
) -> Plan:
    """Decide from the cells' files and the known runs (latest first) what is to do.

    `kept_cells` are in the grid but have no files, since their stages failed or did not run: their runs stay. Unless
    `adopting`, no run gets a parent, and parents are not completed.
    """
    runs = [run for run in known if run.cell]
    kept, restored, logged = {}, {}, {}
    for cell, record in records.items():
        mine = [run for run in runs if run.cell == cell]
        right = [run for run in mine if run.tags.get(COMPLETE_TAG) and _says(run, FINGERPRINT_TAG, record.fingerprint)]
        active = [run.run_id for run in right if not run.deleted]
        if active:
            kept[cell] = active[0]
        elif right:
            restored[cell] = right[0].run_id
        else:
            logged[cell] = [
                run.run_id
                for run in mine
                if not run.deleted
                and run.status in {"RUNNING", "FINISHED"}
                and FINGERPRINT_TAG not in run.tags  # an earlier call died over it: rather begin anew
                and _says(run, KEY_TAG, record.summary.get("key"))
            ]
    right_runs = {*kept.values(), *restored.values()}
    shown = [run for run in runs if run.run_id in right_runs]
    superseded, named = [], {run.tags.get(PARENT_TAG) for run in shown}
    for run in runs:
        if not run.deleted and run.run_id not in right_runs:
            if run.cell in kept_cells or _is_training(run):
                named.add(run.tags.get(PARENT_TAG))
            else:
                superseded.append(run.run_id)
    parents = [run for run in known if not run.cell]
    wanted = [run for run in parents if run.run_id in named]
    return Plan(
        kept,
        restored,
        [run.run_id for run in shown if run.status != "FINISHED"],
        logged,
        [run.run_id for run in shown if adopting and PARENT_TAG not in run.tags],
        [run.run_id for run in wanted if run.deleted],
        [run.run_id for run in wanted if adopting and COMPLETE_TAG not in run.tags],
        [*superseded, *(run.run_id for run in parents if not run.deleted and run.run_id not in named)],
    )


def _says(run: KnownRun, tag: str, value: str | None) -> bool:
    return value is not None and run.tags.get(tag) == value


def _is_training(run: KnownRun) -> bool:
    host, _, process = run.tags.get(PROCESS_TAG, "").rpartition(":")
    if run.status != "RUNNING" or host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


# --- the stage ---------------------------------------------------------------------------------------------------


def track(cells: Sequence[str], root: Path, experiment: str, parent: str | None = None) -> dict[str, str]:
    """Bring the MLflow experiment in line with the files under `root`; return {cell: run id}.

    Afterwards each of `cells` that has all of its files has exactly one finished run, named after it; every other run
    of a cell is deleted softly (`mlflow runs restore` brings it back). `parent` is the run that new runs are shown
    under; without it, runs that have none get one of their own, which goes with the last and returns with the first of
    them. Raises `StoreError` where MLflow does not take the runs and, once all others are there, `Faults` for cells
    with damaged files.
    """

    def read(cell: str) -> Record | InputError | None:
        try:
            return read_record(root, cell)
        except InputError as error:
            return error

    with ThreadPoolExecutor(4) as pool:  # hashing the checkpoints lets other threads run
        found = dict(zip(cells, pool.map(read, cells), strict=True))
    records = {cell: record for cell, record in found.items() if isinstance(record, Record)}
    ids = _bring_in_line(records, [cell for cell in cells if cell not in records], root, experiment, parent)
    if damaged := [str(error) for error in found.values() if isinstance(error, InputError)]:
        raise Faults(damaged)
    return ids


def _bring_in_line(
    records: Mapping[str, Record], absent: Sequence[str], root: Path, experiment: str, parent: str | None
) -> dict[str, str]:
    with failures(store_uri(root)), store_lock(root):
        runs = known_runs_on_disk(root, experiment)
        if runs is not None:
            plan = make_plan(records, absent, runs, adopting=parent is None)
            if plan.empty:
                return dict(plan.kept)
        return _carry_out(records, absent, open_store(root, experiment), root, parent, adopting=parent is None)


def track_one(cell: str, root: Path, experiment: str) -> str:
    """Show the one cell whose files lie under `root`, beside the experiment's others; return its run's id.

    Raises `InputError` for damaged or missing files and `StoreError` where MLflow does not take the run.
    """
    record = read_record(root, cell)
    if record is None:
        raise InputError(f"{root}: holds no complete results of {cell}; run the training again")
    with failures(store_uri(root)), store_lock(root):
        store = open_store(root, experiment)
        others = sorted({run.cell for run in known_runs(store) if run.cell} - {cell})
        return _carry_out({cell: record}, others, store, root, None, adopting=False)[cell]


def _carry_out(
    records: Mapping[str, Record],
    absent: Sequence[str],
    store: Store,
    root: Path,
    parent: str | None,
    *,
    adopting: bool,
) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    nested = {PARENT_TAG: parent} if parent else {}
    refused = 0
    for _ in range(ROUNDS):
        plan = make_plan(records, absent, known_runs(store), adopting=adopting)
        if plan.empty:
            return dict(plan.kept)
        try:
            for run_id in (*plan.restored.values(), *plan.returning):
                store.client.restore_run(run_id)
            for run_id in plan.closed:
                store.client.set_terminated(run_id, "FINISHED")
            if plan.logged:
                around = surroundings(root, "pipeline.track") | nested
                for cell, live in plan.logged.items():
                    _log(records[cell], live, store, root, around)
            elif plan.orphans or plan.unfinished:
                adopt(plan.orphans, plan.unfinished, store, root)
            else:  # last: until here each cell keeps the run that it had
                for run_id in plan.superseded:
                    store.client.delete_run(run_id)
        except MlflowException as error:
            refused += 1
            if refused == PATIENCE or not _another_was_first(error):
                raise
    raise StoreError(f"MLflow at {store.uri}: other machines keep changing the runs of these cells")


def _another_was_first(error: "MlflowException") -> bool:
    # The other has named the data set, or finished the cell and so deleted our run: for that `start_run` has no code.
    refusals = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"}
    return error.error_code in refusals or "deleted state" in str(error)


# --- logging one cell --------------------------------------------------------------------------------------------


def _log(record: Record, live: Sequence[str], store: Store, root: Path, around: Mapping[str, str]) -> str:
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    client = store.client
    tags = _tags(record)
    for run_id in live:
        known = _agreeing(record, run_id, store)
        if known is not None:
            params, curve = known
            client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
            break
    else:
        run_id = client.create_run(store.experiment_id, tags={**tags, **around}, run_name=record.cell).info.run_id
        params, curve = set(), set()

    now = int(time.time() * 1000)
    missing = [Param(*item) for item in record.params.items() if item[0] not in params]
    for start in range(0, len(missing), BATCH_PARAMS):
        client.log_batch(run_id, params=missing[start : start + BATCH_PARAMS])
    points = [Metric(name, value, now, 0) for name, value in _headline(record).items()]
    points += [
        Metric(name, value, now, epoch)
        for (name, epoch), value in {**record.timing, **record.history}.items()
        if (name, epoch) not in curve
    ]
    for start in range(0, len(points), BATCH_METRICS):
        client.log_batch(run_id, metrics=points[start : start + BATCH_METRICS])
    client.log_inputs(run_id, [_data_set(record, root)])
    _log_artifacts(record, run_id, store, root)

    with mlflow.start_run(run_id=run_id):  # `log_model` knows no other way to name the run; finishes it, too
        from pipeline.tracking.packaged_model import log_model

        log_model(record.checkpoint, record.tau, record.scales)
        client.set_tag(run_id, COMPLETE_TAG, "true")
    return run_id


def _headline(record: Record) -> dict[str, float]:
    columns = {name for name, _ in (*record.history, *record.timing)}
    summary = {name: record.summary[name] for name in SUMMARY_METRICS if name in record.summary}
    numbers = {**summary, **record.metrics}
    return {name: float(value) for name, value in numbers.items() if value is not None and name not in columns}


def _agreeing(record: Record, run_id: str, store: Store) -> tuple[set[str], set[tuple[str, int]]] | None:
    """Return the params and (metric, epoch) that a live run holds, or None if it says other than the files."""
    run = store.client.get_run(run_id)
    params = record.params
    columns = {name for name, _ in record.history}
    if any(params.get(name, value) != value for name, value in run.data.params.items()):
        return None
    seen: set[tuple[str, int]] = set()
    for name in run.data.metrics:
        for point in store.client.get_metric_history(run_id, name):
            at = (name, point.step)
            if at in seen:
                return None
            if name in columns and (at not in record.history or not _same(point.value, record.history[at])):
                return None
            seen.add(at)
    return set(run.data.params), seen


def _same(logged: float, wanted: float) -> bool:
    if math.isnan(wanted) or abs(wanted) > 1e308:  # an infinity comes back as the largest double
        return math.isnan(logged) == math.isnan(wanted) and not abs(logged) <= 1e308
    return math.isclose(logged, wanted, rel_tol=1e-3, abs_tol=1e-6)


def _tags(record: Record) -> dict[str, str]:
    tags = {
        FINGERPRINT_TAG: record.fingerprint,
        CELL_TAG: record.cell,
        MODEL_TAG: record.model,
        "backbone": record.summary["backbone"],
        "recipe": record.summary["recipe"],
        "data_sha256": record.summary.get("data_sha256", ""),
    }
    return tags | ({KEY_TAG: record.summary["key"]} if "key" in record.summary else {})


def _data_set(record: Record, root: Path) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    manifest = Path("data/split/manifest.json")
    digest = str(record.summary.get("data_sha256", ""))
    images = read_json(root / manifest)["images"] if (root / manifest).is_file() else []
    counts: dict[str, Counter[str]] = {}
    for image in images:
        counts.setdefault(image["split"], Counter())[image["label"]] += 1
    return DatasetInput(
        Dataset(
            name="images",
            digest=digest[:32],  # MLflow keeps 36 characters
            source_type="local",
            source=json.dumps({"uri": manifest.as_posix()}),
            profile=json.dumps({"images": len(images), "per_class": counts}),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def _log_artifacts(record: Record, run_id: str, store: Store, root: Path) -> None:
    for folder, paths in record.artifacts.items():
        for path in paths:
            store.client.log_artifact(run_id, str(path), folder)
    for name in ("params.yaml", "dvc.lock", "requirements.lock"):
        if (root / name).is_file():
            store.client.log_artifact(run_id, str(root / name), "environment")


@cli.main
def main() -> None:
    """Run the stage `track`."""
    parent = os.environ.pop("MLFLOW_RUN_ID", None)  # else `mlflow run`'s one run would take all cells
    params = load_params()
    cells = [cell.name for cell in params.cells()]
    try:
        runs = track(cells, Path.cwd(), params.tracking.experiment, parent)
        with atomic_write(RUNS) as temporary:
            temporary.write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    except (StoreError, OSError) as error:
        print(f"error: {error}; the files are complete: `dvc repro` goes on from here", file=sys.stderr)
        sys.exit(1)
    absent = [cell for cell in cells if cell not in runs]
    if absent:
        print(f"error: no complete results of {', '.join(absent)}; run `dvc repro` for them", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
