"""What must be done so that MLflow agrees with the cells' files: the cases, and the action in each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.tracking.runs import COMPARISON_TAG, COMPLETE_TAG, FINGERPRINT_TAG, KEY_TAG, KnownRun

if TYPE_CHECKING:
    from pipeline.tracking.record import Record


@dataclass(frozen=True)
class Plan:
    """What to do, by run id; cells that already have a run are in `kept`."""

    kept: dict[str, str] = field(default_factory=dict)  # cell: its run
    restored: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)  # to be marked as finished
    logged: dict[str, list[str]] = field(default_factory=dict)  # cell without a run: runs that may be completed
    deleted: list[str] = field(default_factory=list)  # softly

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.restored or self.finished or self.logged or self.deleted)


def make_plan(
    files: Mapping[str, "Record"], waiting: Collection[str], known: Sequence[KnownRun], training: Collection[str] = ()
) -> Plan:
    """Decide from the cells' files and the known runs (latest first) what to do; the first case that matches counts.

    `waiting` are cells of the grid without complete files: their stages failed, or ran elsewhere. `training` are the
    runs into which a training is logging now.
    """
    chosen = {cell: run for cell in files if (run := _choose(cell, files[cell], known))}
    plan = Plan(logged={cell: [] for cell in files if cell not in chosen})
    for run in (run for run in known if run.cell):
        cell = str(run.cell)
        if run is chosen.get(cell):  # it agrees with its cell's files, and represents the cell
            if run.deleted:
                plan.restored.append(run.run_id)
            elif run.status != "FINISHED":
                plan.finished.append(run.run_id)
            else:
                plan.kept[cell] = run.run_id
        elif run.deleted:
            continue
        elif cell in files and _is_begun(run, files[cell]):  # the live run of the training that wrote these files
            (plan.deleted if cell in chosen else plan.logged[cell]).append(run.run_id)
        elif run.run_id not in training and cell not in waiting:  # a duplicate, of older files, or out of the grid
            plan.deleted.append(run.run_id)
    comparisons = [run.run_id for run in known if COMPARISON_TAG in run.tags and not run.deleted]
    plan.deleted.extend(comparisons[1:])  # two machines made the first one at once
    return plan


def _choose(cell: str, files: "Record", known: Sequence[KnownRun]) -> KnownRun | None:
    """Return the run that represents a cell: the latest that agrees with its files, preferably not a deleted one."""
    right = [
        run
        for run in known
        if run.cell == cell
        and COMPLETE_TAG in run.tags
        and run.tags.get(FINGERPRINT_TAG) == files.fingerprint
        and run.has_files
    ]
    return min(right, key=lambda run: run.deleted, default=None)


def _is_begun(run: KnownRun, files: "Record") -> bool:
    return (
        run.status in ("RUNNING", "FINISHED")
        and FINGERPRINT_TAG not in run.tags  # an earlier `track` was killed while logging it: its content is unknown
        and files.key is not None
        and run.tags.get(KEY_TAG) == files.key
    )
