"""What must be done so that MLflow agrees with the cells' files: the cases, and the action in each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from pipeline.tracking.known_runs import KnownRun
from pipeline.tracking.tags import COMPARISON_TAG, COMPLETE_TAG, FINGERPRINT_TAG, KEY_TAG


class Files(Protocol):
    """What the plan needs to know of a cell's files."""

    @property
    def fingerprint(self) -> str:
        """Return a digest of the files."""

    @property
    def key(self) -> str | None:
        """Return the key of the training that wrote them."""


class Kind(Enum):
    """What a run is, compared with the files."""

    CHOSEN = auto()  # it agrees with its cell's files, and is the one that represents the cell
    BEGUN = auto()  # the live run of the training that wrote its cell's files
    TRAINING = auto()  # a training is logging into it now
    WAITING = auto()  # its cell is in the grid, but has no complete files: its stages failed, or ran elsewhere
    OTHER = auto()  # anything else: a duplicate, a run of older files, a cell that left the grid


class Action(Enum):
    """What to do with a run."""

    KEEP = auto()
    FINISH = auto()  # mark it as finished
    RESTORE = auto()  # it was deleted softly
    COMPLETE = auto()  # it may become the cell's run, if its content agrees with the files
    DELETE = auto()  # softly
    LEAVE = auto()  # do nothing


@dataclass(frozen=True)
class Plan:
    """What to do, by run id; cells that already have a run are in `kept`."""

    kept: dict[str, str] = field(default_factory=dict)  # cell: its run
    restored: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    logged: dict[str, list[str]] = field(default_factory=dict)  # cell without a run: runs that may be completed
    deleted: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.restored or self.finished or self.logged or self.deleted)


def make_plan(
    files: Mapping[str, Files], waiting: Collection[str], known: Sequence[KnownRun], training: Collection[str] = ()
) -> Plan:
    """Decide from the cells' files and the known runs (latest first) what to do.

    `waiting` are cells of the grid without complete files, `training` the runs into which a training is logging now.
    """
    chosen = {cell: run.run_id for cell in files if (run := _choose(cell, files[cell], known))}
    plan = Plan(logged={cell: [] for cell in files if cell not in chosen})
    for run in (run for run in known if run.cell):
        match decide(_kind(run, files, waiting, chosen, training), run, run.cell in chosen):
            case Action.KEEP:
                plan.kept[str(run.cell)] = run.run_id
            case Action.FINISH:
                plan.finished.append(run.run_id)
            case Action.RESTORE:
                plan.restored.append(run.run_id)
            case Action.COMPLETE:
                plan.logged[str(run.cell)].append(run.run_id)
            case Action.DELETE:
                plan.deleted.append(run.run_id)
    comparisons = [run.run_id for run in known if COMPARISON_TAG in run.tags and not run.deleted]
    plan.deleted.extend(comparisons[1:])  # two machines made the first one at once
    return plan


def decide(kind: Kind, run: KnownRun, has_chosen: bool) -> Action:
    """Return what to do with a run of a cell; `has_chosen`: whether its cell has a run that is `Kind.CHOSEN`.

    The first case that matches counts.
    """
    match kind, run.deleted, has_chosen:
        case Kind.CHOSEN, True, _:
            return Action.RESTORE
        case Kind.CHOSEN, False, _:
            return Action.KEEP if run.status == "FINISHED" else Action.FINISH
        case _, True, _:
            return Action.LEAVE
        case Kind.BEGUN, _, False:
            return Action.COMPLETE
        case Kind.TRAINING | Kind.WAITING, _, _:
            return Action.LEAVE
        case _:
            return Action.DELETE


def _choose(cell: str, files: Files, known: Sequence[KnownRun]) -> KnownRun | None:
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


def _kind(
    run: KnownRun,
    files: Mapping[str, Files],
    waiting: Collection[str],
    chosen: Mapping[str, str],
    training: Collection[str],
) -> Kind:
    cell = str(run.cell)
    if chosen.get(cell) == run.run_id:
        return Kind.CHOSEN
    if cell in files and _is_begun(run, files[cell]):
        return Kind.BEGUN
    if run.run_id in training:
        return Kind.TRAINING
    return Kind.WAITING if cell in waiting else Kind.OTHER


def _is_begun(run: KnownRun, files: Files) -> bool:
    return (
        run.status in ("RUNNING", "FINISHED")
        and FINGERPRINT_TAG not in run.tags  # an earlier `track` was killed while logging it: its content is unknown
        and files.key is not None
        and run.tags.get(KEY_TAG) == files.key
    )
