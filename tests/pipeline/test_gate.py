import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from acol.errors import InputError
from pipeline import gate as command
from pipeline.gate import gate
from pipeline.params import load_params
from pipeline.results import read_images
from pipeline.track import track
from pipeline.tracking.registry import champion_version
from pipeline.tracking.store import StoreError, open_existing

Writer = Callable[[Path], Callable[..., None]]
ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml")
IMAGES = 60
LOW, EVEN, HIGH = "tiny-p", "tiny-pp-0.6", "tiny-pn-0.9"
FOUND = {LOW: 30, EVEN: 31, HIGH: 50}  # of 60 test images
pytestmark = [
    pytest.mark.usefixtures("mlflow_environment"),
    pytest.mark.filterwarnings("ignore:.*input example was not provided"),
]


@pytest.fixture(scope="module", autouse=True)
def light_models() -> Iterator[None]:
    """The library's source and an example of input are 40 more files of each model."""
    whole = mlflow.pyfunc.save_model
    with pytest.MonkeyPatch.context() as patched:
        light = {"code_paths": None, "input_example": None}
        patched.setattr(mlflow.pyfunc, "save_model", lambda **options: whole(**options | light))
        yield


@pytest.fixture(scope="module")
def three_cells(tmp_path_factory: pytest.TempPathFactory, initialised_store: Path, cell_writer: Writer) -> Path:
    """A project of three tracked cells: the last is surely better than the others, which are level."""
    root = tmp_path_factory.mktemp("gate") / "project"
    root.mkdir()
    shutil.copy(initialised_store, root / "mlflow.db")
    for cell, count in FOUND.items():
        cell_writer(root)(cell, key=cell, found=[number < count for number in range(IMAGES)])
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        (root / "report").mkdir()
        (root / "report" / "runs.json").write_text(json.dumps(track([*FOUND], root, "acol")))
    return root


@pytest.fixture
def root(three_cells: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three_cells, tmp_path / "project"))


def choose(root: Path, cell: str) -> None:
    (root / "report" / "best.json").write_text(json.dumps({"cell": cell, "rule": "highest max_box_acc_v2"}))


def pass_gate(root: Path, cell: str) -> command.Decision:
    choose(root, cell)
    return gate(root, PARAMS)


def run_of(root: Path, cell: str) -> str:
    return str(json.loads((root / "report" / "runs.json").read_text())[cell])


def registry(root: Path) -> tuple[str | None, dict[str, tuple[str, dict[str, str]]]]:
    """The champion's cell, and each version's cell and tags."""
    mlflow.set_tracking_uri(None)  # else MLflow's own variable keeps naming the last project's store
    client = open_existing(root)
    versions = {str(v.version): (v.tags["cell"], v.tags) for v in client.search_model_versions("name = 'acol'")}
    current = champion_version(client, "acol")
    return (None if current is None else versions[str(current.version)][0]), versions


def retrack(root: Path, write: Callable[[], None]) -> None:
    """Change files of cells and track them again, as `dvc repro` does."""
    write()
    (root / "report" / "runs.json").write_text(json.dumps(track([*FOUND], root, "acol")))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_first_is_the_champion_and_the_second_time_nothing_changes(root: Path) -> None:
    first = pass_gate(root, LOW)
    assert (first.decision, first.version, first.champion) == ("promoted", 1, 1)
    after = registry(root)
    assert after[0] == LOW
    version = champion_version(open_existing(root), "acol")
    assert version is not None
    assert version.run_id == run_of(root, LOW)
    assert (Path(mlflow.artifacts.download_artifacts("models:/acol@champion")) / "MLmodel").is_file()
    assert json.loads(version.tags["gate"])["value"] == 0.5
    assert (version.tags["pretrained"], version.tags["pretrained.licence"]) == ("package", "Apache-2.0")
    again = pass_gate(root, LOW)
    assert (again.decision, again.version, again.champion) == ("unchanged", 1, 1)
    assert registry(root) == after


def test_only_a_surely_better_cell_becomes_the_champion(root: Path) -> None:
    pass_gate(root, LOW)
    kept = pass_gate(root, EVEN)  # better by one image of 60
    assert (kept.decision, kept.version, kept.champion) == ("kept", 2, 1)
    assert kept.difference == pytest.approx(1 / 60)
    assert kept.low is not None
    assert kept.low <= 0 < kept.difference
    assert "clearly" in kept.line()
    after = registry(root)
    assert after[0] == LOW
    assert json.loads(after[1]["2"][1]["gate"])["decision"] == "kept"
    pass_gate(root, EVEN)
    assert registry(root) == after

    promoted = pass_gate(root, HIGH)
    assert (promoted.decision, promoted.version, promoted.champion) == ("promoted", 3, 3)
    assert promoted.low is not None
    assert promoted.low > 0.2
    assert registry(root)[0] == HIGH
    assert pass_gate(root, LOW).decision == "kept"
    assert [cell for cell, _ in registry(root)[1].values()] in ([LOW, EVEN, HIGH], [HIGH, EVEN, LOW])


def test_a_gain_smaller_than_asked_for_is_not_enough(root: Path) -> None:
    pass_gate(root, LOW)
    choose(root, HIGH)
    rule = replace(PARAMS.gate, min_gain=0.3)
    kept = gate(root, replace(PARAMS, gate=rule))
    assert kept.decision == "kept"
    assert kept.difference is not None
    assert kept.difference > 0.3
    assert pass_gate(root, HIGH).decision == "promoted"  # the same version, by the softer rule
    assert len(registry(root)[1]) == 2


def test_a_cell_that_beats_no_baseline_becomes_no_champion_unless_told(root: Path) -> None:
    row = {"baseline": "centred_box", "title": "centred box", "metric": "max_box_acc_v2"}
    row |= {"value": 0.217, "baseline_value": 0.267}
    close = {**row, "baseline": "imagenet_cam", "baseline_value": 0.2}  # above it, if not significantly
    majority = {**row, "baseline": "majority_class", "title": "majority class", "metric": "accuracy_top1"}
    (root / "report/best.json").write_text(json.dumps({"cell": HIGH, "below": [row, close, majority]}))
    refused = gate(root, PARAMS)
    assert (refused.decision, refused.champion) == ("kept", None)
    assert refused.reason == (
        "MaxBoxAccV2 21.7 % is not above the centred box's 26.7 %; to accept that, set gate.accept_below: [centred_box]"
    )
    accepting = replace(PARAMS, gate=replace(PARAMS.gate, accept_below=("centred_box",)))
    assert gate(root, accepting).decision == "promoted"


def test_the_best_of_many_cells_must_be_more_clearly_above_the_champion(root: Path, cell_writer: Writer) -> None:
    pass_gate(root, LOW)
    # Better on seven images, worse on none: z = 7 / sqrt(8) is 2.47, for which p is 0.013.
    retrack(root, lambda: cell_writer(root)(EVEN, key="new", found=[number < 37 for number in range(IMAGES)]))
    for cells, decision in ((4, "kept"), (3, "promoted")):  # 0.05 / 4 = 0.0125
        (root / "report/best.json").write_text(json.dumps({"cell": EVEN, "of": cells}))
        outcome = gate(root, PARAMS)
        assert (outcome.decision, f"for the best of {cells} cells" in outcome.line()) == (decision, True)


def test_images_without_boxes_are_judged_by_accuracy(root: Path) -> None:
    for cell in (LOW, HIGH):
        right = float(read_images(root / "results" / cell / "images.csv")["correct"].mean())
        metrics = {"max_box_acc_v2": None, "accuracy_top1": right}
        retrack(root, lambda cell=cell, new=metrics: edit(root / "results" / cell / "metrics.json", **new))
    (root / "report/best.json").write_text(json.dumps({"cell": LOW, "boxes": False}))
    first = gate(root, PARAMS)
    assert (first.decision, first.metric) == ("promoted", "accuracy_top1")
    assert "with Accuracy " in first.line()


def nan(results: Path) -> None:
    edit(results / "metrics.json", max_box_acc_v2=float("nan"))


def missing(results: Path) -> None:
    (results / "metrics.json").write_text("{}")


def other(results: Path) -> None:
    edit(results / "metrics.json", max_box_acc_v2=0.99)


def unnamed(results: Path) -> None:
    edit(results / "details.json", test_sha256=None)


def boxless(results: Path) -> None:
    with np.load(results / "maps.npz") as maps:
        np.savez(results / "maps.npz", paths=maps["paths"])


def broken(results: Path) -> None:
    (results / "maps.npz").write_bytes(b"PK")


UNSOUND = {
    nan: "its max_box_acc_v2 is nan",
    missing: "its max_box_acc_v2 is missing",
    other: "its max_box_acc_v2 is 0.99 in metrics.json, but 0.83",
    unnamed: "its details.json does not name the test data",
    boxless: "in metrics.json, but None over the images",
    broken: "maps.npz: cannot be read",
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_scores_that_are_not_sound_never_win(fault: Callable[[Path], None], root: Path) -> None:
    retrack(root, lambda: fault(root / "results" / HIGH))
    alone = pass_gate(root, HIGH)
    assert (alone.decision, alone.champion) == ("kept", None)
    assert UNSOUND[fault] in alone.reason
    assert "\n" not in alone.line()
    pass_gate(root, LOW)
    assert pass_gate(root, HIGH).decision == "kept"
    assert registry(root)[0] == LOW


def other_digest(results: Path) -> None:
    edit(results / "details.json", test_sha256="u" * 64)


def other_images(results: Path) -> None:
    file = results / "images.csv"
    file.write_text(file.read_text().replace("a b 000.png", "c.png"))
    with np.load(results / "maps.npz") as maps:
        paths = np.where(maps["paths"] == "a b 000.png", "c.png", maps["paths"])
        np.savez(results / "maps.npz", paths=paths, iou_curves=maps["iou_curves"])


@pytest.mark.parametrize("change", [other_digest, other_images])
def test_other_test_data_compare_with_nothing(change: Callable[[Path], None], root: Path) -> None:
    pass_gate(root, LOW)
    retrack(root, lambda: change(root / "results" / HIGH))
    kept = pass_gate(root, HIGH)
    assert (kept.decision, kept.champion) == ("kept", 1)
    assert kept.reason == "version 1 was tested on other data than this one"


def test_the_champion_is_compared_with_after_its_cell_was_retrained(root: Path, cell_writer: Writer) -> None:
    pass_gate(root, EVEN)
    old = run_of(root, EVEN)
    retrack(root, lambda: cell_writer(root)(EVEN, key="new", found=[number % 2 == 0 for number in range(IMAGES)]))
    assert open_existing(root).get_run(old).info.lifecycle_stage == "deleted"
    kept = pass_gate(root, EVEN)
    assert (kept.version, kept.champion, kept.against_value) == (2, 1, pytest.approx(31 / 60))
    assert kept.decision == "kept"
    assert Path(mlflow.artifacts.download_artifacts("models:/acol@champion")).is_dir()


def test_the_same_model_evaluated_anew_is_the_champion_already(root: Path) -> None:
    pass_gate(root, LOW)
    before = registry(root)
    old = run_of(root, LOW)
    retrack(root, lambda: edit(root / "results" / LOW / "details.json", more="1"))
    assert run_of(root, LOW) != old
    assert pass_gate(root, LOW).decision == "unchanged"
    assert registry(root) == before


def test_a_champion_without_scores_is_kept(root: Path) -> None:
    pass_gate(root, LOW)
    shutil.rmtree(root / "mlartifacts" / "acol" / run_of(root, LOW) / "artifacts" / "results")
    kept = pass_gate(root, HIGH)
    assert (kept.decision, kept.champion) == ("kept", 1)
    assert kept.reason == "the champion, version 1, cannot be compared: its run or the run's results are missing"


@pytest.mark.parametrize("lost", ["*", "acol/models", "acol/models/*/artifacts"])
def test_a_champion_whose_files_are_lost_is_replaced(lost: str, root: Path) -> None:
    pass_gate(root, HIGH)
    for place in (root / "mlartifacts").glob(lost):
        shutil.rmtree(place)
    retrack(root, lambda: None)
    same = pass_gate(root, HIGH)
    assert (same.decision, same.champion) == ("promoted", 2)
    assert same.reason.startswith("the files of version 1 are gone, and this one has MaxBoxAccV2 ")
    assert (Path(mlflow.artifacts.download_artifacts("models:/acol@champion")) / "MLmodel").is_file()
    assert pass_gate(root, LOW).decision == "kept"


def test_a_run_that_is_not_of_the_files_is_refused(root: Path) -> None:
    edit(root / "results" / LOW / "metrics.json", accuracy_top1=0.9)
    with pytest.raises(InputError, match="the run of tiny-p does not match its files; run `dvc repro` again"):
        pass_gate(root, LOW)
    (root / "report" / "runs.json").write_text("{}")
    with pytest.raises(InputError, match="tiny-p is not complete"):
        pass_gate(root, LOW)
    (root / "report" / "best.json").write_text('{"cell": null, "rule": "no cell has top1_loc"}')
    with pytest.raises(InputError, match="there is no best cell"):
        gate(root, PARAMS)
    assert registry(root) == (None, {})


CALLS = ["create_registered_model", "create_model_version", "set_registered_model_alias", "set_model_version_tag"]


@pytest.mark.parametrize("call", CALLS)
def test_while_the_store_takes_no_call_the_champion_stays(
    call: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_gate(root, LOW)
    pass_gate(root, EVEN)
    choose(root, EVEN if call == "set_model_version_tag" else HIGH)
    wrong = OSError("no space left")
    rule = replace(PARAMS.gate, model="fresh" if call == "create_registered_model" else "acol")
    changed = replace(PARAMS, gate=replace(rule, confidence=0.9))

    def fail(*arguments: object, **options: object) -> None:
        raise wrong

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, fail)
        with pytest.raises(StoreError, match="no space left"):
            gate(root, changed)
    assert registry(root)[0] == LOW


# Forks twice for each transaction of the gate that writes, and kills the child before its first write or its commit.
KILLED_EVERYWHERE = """
import os, shutil, signal, sys
from pathlib import Path
import sqlalchemy
import mlflow.artifacts, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from pipeline.gate import gate
from pipeline.params import load_params
from pipeline.results import read_images
params, source, number = load_params(sys.argv[1]), sys.argv[2:], 0
while source:
    number += 1
    copy = Path(shutil.copytree(source[0], f"{source[0]}-{number}"))
    child = os.fork()
    if child == 0:
        count, writing = 0, False
        def step(now):
            global count, writing
            if now != writing:
                writing, count = now, count + 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
        def execute(connection, cursor, statement, *rest):
            if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
                step(True)
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", execute)
        sqlalchemy.event.listen(sqlalchemy.Engine, "commit", lambda connection: step(False))
        gate(copy, params)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        print(os.WTERMSIG(status))
    else:
        print("exit", os.WEXITSTATUS(status) or "")
        source, number = source[1:], 0
"""


def test_killed_anywhere_the_champion_is_the_old_or_the_new_and_the_next_time_completes_it(root: Path) -> None:
    later = Path(shutil.copytree(root, root.with_name("later")))
    mlflow.set_tracking_uri(None)
    pass_gate(later, LOW)
    before = {project: registry(project) for project in (root, later)}
    for project in before:
        choose(project, HIGH)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, ROOT / "params.yaml", *before],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["9"] * 6 + ["exit"] + ["9"] * 4 + ["exit"], done.stderr  # two for each changing call
    for project, killed in {root: 6, later: 4}.items():
        old, versions = before[project]
        after = registry(project.with_name(f"{project.name}-{killed + 1}"))
        assert after[0] == HIGH
        assert len(after[1]) == len(versions) + 1
        states = set()
        for number in range(1, killed + 1):
            copy = project.with_name(f"{project.name}-{number}")
            state = registry(copy)
            assert state[1] in (versions, after[1])  # a version is there with its decision, or not at all
            states.add((state[0], len(state[1])))
            gate(copy, PARAMS)
            assert registry(copy) == after
        assert states == {(old, len(versions)), (old, len(after[1]))}


def test_the_command_says_its_decision_in_one_line_a_file_and_its_exit_status(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    shutil.copy(ROOT / "params.yaml", root)
    choose(root, LOW)
    command.main()
    assert (
        capsys.readouterr().out == f"promoted: {LOW}, version 1 of acol: the first version, with MaxBoxAccV2 50.0 %\n"
    )
    command.main()
    assert capsys.readouterr().out == f"unchanged: {LOW}, version 1 of acol: it is already the champion\n"
    choose(root, EVEN)
    with pytest.raises(SystemExit) as exit_status:
        command.main()
    assert exit_status.value.code == 3
    line = capsys.readouterr().out
    assert line.startswith(
        f"kept: {EVEN}, version 2 of acol: MaxBoxAccV2 51.7 %, version 1 has 50.0 %; the difference "
    )
    assert line.count("\n") == 1
    stored = json.loads((root / "report" / "gate.json").read_text())
    assert (stored["decision"], stored["cell"], stored["version"], stored["champion"]) == ("kept", EVEN, 2, 1)
    assert stored["low"] <= stored["difference"] <= stored["high"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit) as exit_status:
        command.main()
    assert exit_status.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert error.count("\n") == 1
