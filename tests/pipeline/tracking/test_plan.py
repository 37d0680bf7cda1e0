"""The plan's cases, one by one."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.tracking.plan import Plan, make_plan
from pipeline.tracking.runs import KnownRun

FILES = {"a": SimpleNamespace(fingerprint="now", key="k")}
RIGHT = {"cell": "a", "acol.fingerprint": "now", "acol.complete": "true"}
OLDER = {"cell": "a", "acol.fingerprint": "before", "acol.complete": "true"}
BEGUN = {"cell": "a", "acol.key": "k"}


def run(tags: dict[str, str], status: str = "FINISHED", deleted: bool = False, run_id: str = "1") -> KnownRun:
    return KnownRun(run_id, status, deleted, tags)


def plan(*known: KnownRun, waiting: tuple[str, ...] = (), training: tuple[str, ...] = ()) -> Plan:
    return make_plan(FILES, waiting, known, training)


def test_a_cell_without_a_run_is_logged() -> None:
    assert plan() == Plan(logged={"a": []})


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (run(RIGHT), Plan(kept={"a": "1"})),
        (run(RIGHT, "RUNNING"), Plan(finished=["1"])),
        (run(RIGHT, deleted=True), Plan(restored=["1"])),
        (run(OLDER), Plan(logged={"a": []}, deleted=["1"])),
        (run(OLDER, deleted=True), Plan(logged={"a": []})),
        (run({"cell": "a", "acol.fingerprint": "now"}), Plan(logged={"a": []}, deleted=["1"])),  # killed half-way
        (run(BEGUN), Plan(logged={"a": ["1"]})),
        (run(BEGUN, "RUNNING"), Plan(logged={"a": ["1"]})),
        (run(BEGUN, "KILLED"), Plan(logged={"a": []}, deleted=["1"])),
        (run(BEGUN, "FAILED"), Plan(logged={"a": []}, deleted=["1"])),
        (run(BEGUN, deleted=True), Plan(logged={"a": []})),
        (run(BEGUN | {"acol.key": "another"}), Plan(logged={"a": []}, deleted=["1"])),
        (run(BEGUN | {"acol.fingerprint": "now"}), Plan(logged={"a": []}, deleted=["1"])),  # killed half-way
        (run({"cell": "gone"}), Plan(logged={"a": []}, deleted=["1"])),
        (run({"cell": "gone"}, deleted=True), Plan(logged={"a": []})),
        (run({"acol.comparison": "x"}), Plan(logged={"a": []})),
    ],
)
def test_one_run(known: KnownRun, wanted: Plan) -> None:
    assert plan(known) == wanted


def test_a_cell_that_waits_for_its_files_keeps_all_of_its_runs() -> None:
    known = [run({"cell": "b"}, run_id=name) for name in ("1", "2")]
    assert plan(run(RIGHT), *known, waiting=("b",)) == Plan(kept={"a": "1"})


def test_a_training_that_goes_on_keeps_its_run() -> None:
    next_one = run({"cell": "a", "acol.key": "next"}, "RUNNING", run_id="2")
    assert plan(run(RIGHT), next_one, training=("2",)) == Plan(kept={"a": "1"})
    assert plan(run(RIGHT), next_one) == Plan(kept={"a": "1"}, deleted=["2"])


def test_of_two_right_runs_the_latest_that_stands_is_kept() -> None:
    latest, earlier = run(RIGHT, run_id="2"), run(RIGHT, run_id="1")
    assert plan(latest, earlier) == Plan(kept={"a": "2"}, deleted=["1"])
    assert plan(run(RIGHT, deleted=True, run_id="2"), earlier) == Plan(kept={"a": "1"})
    assert plan(run(RIGHT, deleted=True, run_id="2"), run(RIGHT, deleted=True)) == Plan(restored=["2"])


def test_a_live_run_beside_a_right_one_goes() -> None:
    assert plan(run(BEGUN, run_id="2"), run(RIGHT)) == Plan(kept={"a": "1"}, deleted=["2"])


def test_of_two_comparisons_the_latest_is_kept() -> None:
    known = [run({"acol.comparison": "x"}, run_id=name) for name in ("2", "1")]
    assert plan(run(RIGHT, run_id="3"), *known) == Plan(kept={"a": "3"}, deleted=["1"])


def test_a_run_whose_files_are_gone_from_this_machine_has_none(tmp_path: Path) -> None:
    folder = tmp_path / "my runs"
    folder.mkdir()
    for place in (str(folder), folder.as_uri(), "mlflow-artifacts:/1/2", "s3://bucket/1"):
        assert KnownRun("1", "FINISHED", False, RIGHT, frozenset({place})).has_files
    folder.rmdir()
    for place in (str(folder), folder.as_uri()):
        assert not KnownRun("1", "FINISHED", False, RIGHT, frozenset({place})).has_files


def test_a_run_is_logged_here_while_the_process_on_this_machine_lives() -> None:
    for process, here in (
        (f"{socket.gethostname()}:{os.getpid()}", True),
        (f"elsewhere:{os.getpid()}", False),
        ("", False),
    ):
        for status in ("RUNNING", "FINISHED"):
            run = KnownRun("1", status, False, BEGUN | {"acol.process": process})
            assert run.is_logged_here == (here and status == "RUNNING")
