"""The plan of `track`: which runs must change so that MLflow agrees with the cells' files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.tracking.runs import COMPARISON_TAG, COMPLETE_TAG, FINGERPRINT_TAG, KEY_TAG, KnownRun

if TYPE_CHECKING:
    from pipeline.tracking.record import Record


@dataclass(frozen=True)
class Plan:
    """What to do with each run, by its id.

    `kept` has the run of each cell for which nothing is to do. `logged` has the cells that must be logged; for each,
    the runs that may be completed instead of making a new one.
    """

    kept: dict[str, str] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)  # to be marked as finished
    logged: dict[str, list[str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)  # softly

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.restored or self.finished or self.logged or self.deleted)


def make_plan(
    files: Mapping[str, "Record"], waiting: Collection[str], known: Sequence[KnownRun], training: Collection[str] = ()
) -> Plan:
    """Compare the cells' files with the known runs (latest first), and return what to do.

    `waiting` are cells of the grid without complete files: their stages failed, or ran elsewhere. `training` are the
    runs into which a training is logging now.
    """
    # For each run the first case that matches counts.
    chosen = {cell: run for cell in files if (run := _choose(cell, files[cell], known))}
    plan = Plan(logged={cell: [] for cell in files if cell not in chosen})
    for run in (run for run in known if run.cell):
        cell = str(run.cell)
        if run is chosen.get(cell):  # it represents its cell
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
        elif run.run_id not in training and cell not in waiting:  # a duplicate, or of older files or a removed cell
            plan.deleted.append(run.run_id)
    # There are several runs `comparison` if two machines made the first one at the same time.
    comparisons = [run.run_id for run in known if COMPARISON_TAG in run.tags and not run.deleted]
    plan.deleted.extend(comparisons[1:])
    return plan


def _choose(cell: str, files: "Record", known: Sequence[KnownRun]) -> KnownRun | None:
    """Return the run that represents a cell: the latest complete run of its files, preferably one not deleted."""
    complete = [
        run
        for run in known
        if run.cell == cell
        and COMPLETE_TAG in run.tags
        and run.tags.get(FINGERPRINT_TAG) == files.fingerprint
        and run.has_files
    ]
    return min(complete, key=lambda run: run.deleted, default=None)


def _is_begun(run: KnownRun, files: "Record") -> bool:
    """Return whether a run is the training's live run, which `track` can complete."""
    return (
        run.status in ("RUNNING", "FINISHED")
        and FINGERPRINT_TAG not in run.tags  # an earlier `track` was killed while logging it: its content is unknown
        and run.tags.get(KEY_TAG) == files.key
    )
