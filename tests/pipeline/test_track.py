import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, Run, ViewType

from acol.errors import InputError
from acol.metrics.calibration import Calibration
from pipeline import track as stage
from pipeline.track import track, track_one
from pipeline.tracking import packaged_model
from pipeline.tracking import runs as tags
from pipeline.tracking.store import StoreError, open_store

Write = Callable[..., None]
CELL, OTHER = "tiny-pn-0.9", "tiny-p"


@pytest.fixture(autouse=True)
def light_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging the real model takes a second: the tests of `packaged_model` do that."""

    def log_model(checkpoint: Path, tau: float, scales: list[float], calibration: Calibration, map_name: str) -> str:
        mlflow.log_artifact(str(checkpoint), "model")
        logged = mlflow.create_external_model(name="model")
        (Path(logged.artifact_location) / "artifacts").mkdir(parents=True)
        shutil.copy(checkpoint, Path(logged.artifact_location) / "artifacts")
        return str(logged.model_id)

    monkeypatch.setattr(packaged_model, "log_model", log_model)


def runs(root: Path, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """All runs but the comparison."""
    return [run for run in all_runs(root, view) if tags.COMPARISON_TAG not in run.data.tags]


def all_runs(root: Path, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    store = open_store(root, "acol")
    return list(store.client.search_runs([store.experiment_id], run_view_type=view))


def comparison(root: Path) -> Run:
    """The one run `comparison`, which must be finished."""
    (run,) = [run for run in all_runs(root) if tags.COMPARISON_TAG in run.data.tags]
    assert (run.info.run_name, run.info.status) == ("comparison", "FINISHED")
    return run


def finished(root: Path) -> dict[str, str]:
    """{run's name: run id} of the active runs, all of which must be finished and of different names."""
    active = runs(root)
    assert {run.info.status for run in active} <= {"FINISHED"}
    assert len({run.info.run_name for run in active}) == len(active)
    return {str(run.info.run_name): run.info.run_id for run in active}


def artifacts(root: Path, run_id: str) -> set[str]:
    client = open_store(root, "acol").client
    files = [file for folder in client.list_artifacts(run_id) for file in client.list_artifacts(run_id, folder.path)]
    return {file.path.partition("+")[0] for file in files}  # after + the names of images hold the time


def live_run(root: Path, key: str = "k1", status: str = "FINISHED", losses: tuple[float, ...] = (2.0, 1.0)) -> str:
    """A run as `pipeline.live` makes it: epochs 1, 2, ... of a training."""
    store = open_store(root, "acol")
    run_id = store.client.create_run(
        store.experiment_id, run_name=CELL, tags={"cell": CELL, "acol.key": key, "acol.process": "elsewhere:1"}
    ).info.run_id
    store.client.log_batch(
        run_id,
        [Metric("train_loss", loss, 1000 + n, n) for n, loss in enumerate(losses, 1)],
        [Param("train.lr", "0.01")],
    )
    if status != "RUNNING":
        store.client.set_terminated(run_id, status)
    return str(run_id)


def curve(root: Path, run_id: str, name: str) -> list[tuple[int, float]]:
    history = open_store(root, "acol").client.get_metric_history(run_id, name)
    return sorted((point.step, point.value) for point in history)


def test_a_fresh_experiment_gets_all_there_is_of_each_cell(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    write_cell(OTHER, epochs=2)
    ids = track([CELL, OTHER], project, "acol")
    assert ids == finished(project)
    run = open_store(project, "acol").client.get_run(ids[CELL])
    assert run.data.params == {
        "backbone": "tiny",
        "head": "pn-0.9",
        "recipe": "pn-0.9",
        "letters": "pn",
        "deltas": "0.9",
        "delta_1": "0.9",
        "seed": "7",
        "train.lr": "0.01",
        "data.annotations": "None",
        "pretrained.mean": "0.5,0.4,0.3",
        "pretrained": "package",
        "pretrained.licence": "Apache-2.0",
        "map": "cam",
        "tau": "0.4",
        "scales": "[1.0]",
        "calibration/temperature": "1.0",
        "calibration/most": "1.0",
        "calibration/images": "0",
        "calibration/calibrated": "False",
    }
    assert curve(project, ids[CELL], "train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
    assert curve(project, ids[CELL], "train_images_per_s") == [(1, 101.0), (2, 102.0), (3, 103.0)]
    assert curve(project, ids[CELL], "accuracy_top1") == [(0, 0.75)]
    assert run.data.metrics["best_epoch"] == 3
    found = run.data.tags
    assert (found["cell"], found["backbone"], found["recipe"]) == (CELL, "tiny", "pn-0.9")
    assert found["data_sha256"] == "d" * 64
    data, tests = sorted((its.dataset for its in run.inputs.dataset_inputs), key=lambda its: its.name)
    assert json.loads(data.profile) == {"images": 3, "per_class": {"train": {"keeper": 2, "referee": 1}}}
    assert json.loads(tests.profile) == {"images": 1, "per_class": {"test": {"keeper": 1}}}
    assert data.digest == "d" * 32
    contexts = {its.dataset.name: its.tags[0].value for its in run.inputs.dataset_inputs}
    assert contexts == {"images": "training", "test images": "testing"}
    models = open_store(project, "acol").client.search_logged_models([run.info.experiment_id])
    (model,) = (model for model in models if model.source_run_id == ids[CELL])
    tied = {metric.key: (metric.dataset_name, metric.dataset_digest) for metric in model.metrics}
    assert tied == dict.fromkeys(("accuracy_top1", "max_box_acc_v2"), ("test images", "t" * 32))
    assert artifacts(project, ids[CELL]) == {
        "panels/sample-01.png",
        "panels/curves.png",
        "results/metrics.json",
        "results/details.json",
        "results/images.csv",
        "results/maps.npz",
        "training/summary.json",
        "training/history.csv",
        f"training/{CELL}.csv",
        "environment/params.yaml",
        "model/best.pt",
        "model/MLmodel",
        "model/artifacts",
        "images/test photograph 1",
    }


def test_the_second_time_nothing_happens(project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cell(CELL)
    first = track([CELL], project, "acol")
    for call in CALLS:
        monkeypatch.setattr(mlflow.MlflowClient, call, None)
    assert track([CELL], project, "acol") == first


def test_a_live_run_is_taken_over_and_completed(project: Path, write_cell: Write) -> None:
    live = live_run(project)
    write_cell(CELL)
    assert track([CELL], project, "acol") == {CELL: live} == finished(project)
    assert curve(project, live, "train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
    assert curve(project, live, "val_loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert len(runs(project, ViewType.ALL)) == 1


@pytest.mark.parametrize(
    "live",
    [
        {"key": "another training"},
        {"losses": (2.0, 1.5)},  # says other than history.csv
        {"losses": (2.0, 1.0, 2.0 / 3, 0.5)},  # an epoch that history.csv does not have
        {"status": "KILLED"},
        {"status": "FAILED"},
    ],
)
def test_any_other_live_run_is_replaced(live: dict[str, Any], project: Path, write_cell: Write) -> None:
    other = live_run(project, **live)
    write_cell(CELL)
    ids = track([CELL], project, "acol")
    assert ids == finished(project)
    assert ids[CELL] != other


def test_a_live_run_whose_process_was_killed_is_taken_over(project: Path, write_cell: Write) -> None:
    live = live_run(project, status="RUNNING")
    write_cell(CELL)
    assert track([CELL], project, "acol") == {CELL: live} == finished(project)


def test_a_training_that_is_going_on_keeps_its_live_run(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    live = live_run(project, key="the next training", status="RUNNING")
    client = open_store(project, "acol").client
    client.set_tag(live, tags.PROCESS_TAG, f"{socket.gethostname()}:{os.getpid()}")
    ids = track([CELL], project, "acol")
    assert {run.info.run_id for run in runs(project)} == {live, ids[CELL]}


def test_duplicates_go_and_what_is_not_ours_stays(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    ids = track([CELL], project, "acol")
    store = open_store(project, "acol")
    copied = store.client.get_run(ids[CELL]).data.tags
    copy = store.client.create_run(store.experiment_id, tags=copied, run_name=CELL)
    store.client.set_terminated(copy.info.run_id)
    note = store.client.create_run(store.experiment_id, run_name="by hand")
    store.client.set_terminated(note.info.run_id)
    assert len(track([CELL], project, "acol")) == 1
    assert sorted(finished(project)) == ["by hand", CELL]


def test_a_cell_that_leaves_the_grid_is_restored_when_it_returns(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    write_cell(OTHER)
    both = track([CELL, OTHER], project, "acol")
    assert track([OTHER], project, "acol") == {OTHER: both[OTHER]} == finished(project)
    assert track([CELL, OTHER], project, "acol") == both == finished(project)


def test_a_changed_result_is_a_new_run_and_the_old_one_returns_with_the_old_result(
    project: Path, write_cell: Write
) -> None:
    write_cell(CELL)
    old = track([CELL], project, "acol")
    write_cell(CELL, accuracy=0.8)
    new = track([CELL], project, "acol")
    assert new == finished(project)
    assert new != old
    write_cell(CELL)
    assert track([CELL], project, "acol") == old == finished(project)


def test_a_cell_without_results_is_left_as_it_is(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    write_cell(OTHER)
    both = track([CELL, OTHER], project, "acol")
    (project / "results" / CELL / "metrics.json").unlink()
    assert track([CELL, OTHER], project, "acol") == {OTHER: both[OTHER]}
    assert finished(project) == both


CALLS = ["create_run", "log_batch", "log_inputs", "log_artifact", "set_tag", "set_terminated", "delete_run"]


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, call: str, at: int) -> Iterator[list[int]]:
    """Let `track` run into an interruption at the call of that name with number `at`; yields what was counted."""
    real, counted = getattr(mlflow.MlflowClient, call), [0]

    def fail(*arguments: object, **options: object) -> object:
        counted[0] += 1
        if counted[0] > at:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, call, fail)
        yield counted
    while mlflow.active_run():
        mlflow.end_run()


@pytest.mark.parametrize("call", CALLS)
def test_wherever_it_is_interrupted_the_next_time_completes_it(
    call: str, project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_run(project, key="superseded")
    write_cell(CELL)
    with interrupted(monkeypatch, call, at=0), pytest.raises(KeyboardInterrupt):
        track([CELL], project, "acol")
    ids = track([CELL], project, "acol")
    assert ids == finished(project)
    assert curve(project, ids[CELL], "train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
    assert (project / "mlartifacts" / "acol" / ids[CELL] / "artifacts" / "model" / "best.pt").exists()


# --- when, and by which repro -------------------------------------------------------------------------------------


def test_a_run_starts_and_ends_when_the_training_did(project: Path, write_cell: Write) -> None:
    write_cell(CELL, times=(1_699_999_900.0, 1_700_000_000.0))
    info = open_store(project, "acol").client.get_run(track([CELL], project, "acol")[CELL]).info
    assert (info.start_time, info.end_time) == (1_699_999_900_000, 1_700_000_000_000)


def test_a_live_run_keeps_its_start_and_ends_with_the_training(project: Path, write_cell: Write) -> None:
    live = live_run(project)
    before = open_store(project, "acol").client.get_run(live).info
    write_cell(CELL, times=(before.start_time / 1000 + 1, before.start_time / 1000 + 5))
    track([CELL], project, "acol")
    after = open_store(project, "acol").client.get_run(live).info
    assert (after.start_time, after.end_time) == (before.start_time, before.start_time + 5000)


def test_the_runs_of_one_repro_have_the_same_tag(
    project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(second: int) -> None:
        moment = datetime(2026, 1, 2, 3, 4, second)
        monkeypatch.setattr(stage, "datetime", SimpleNamespace(now=lambda: moment))

    def repros() -> dict[str, str]:
        return {str(run.info.run_name): run.data.tags["repro"] for run in runs(project)}

    at(5)
    write_cell(CELL)
    write_cell(OTHER)
    track([CELL, OTHER], project, "acol")
    assert repros() == {CELL: "2026-01-02 03:04:05", OTHER: "2026-01-02 03:04:05"}
    at(6)
    write_cell(CELL, accuracy=0.8)
    track([CELL, OTHER], project, "acol")
    assert repros() == {CELL: "2026-01-02 03:04:06", OTHER: "2026-01-02 03:04:05"}


def test_scores_are_rounded_and_curves_are_not(project: Path, write_cell: Write) -> None:
    write_cell(CELL, accuracy=2 / 3)
    ids = track([CELL], project, "acol")
    assert curve(project, ids[CELL], "accuracy_top1") == [(0, 0.6667)]
    assert curve(project, ids[CELL], "train_loss")[-1] == (3, 2.0 / 3)


# --- the comparison ------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(project: Path, write_cell: Write) -> Path:
    """A project of two cells with their comparison."""
    write_cell(CELL)
    write_cell(OTHER)
    report = project / "report"
    report.mkdir()
    (report / "best.json").write_text(json.dumps({"cell": CELL, "values": {"max_box_acc_v2": 0.75, "pxap": None}}))
    (report / "table.md").write_text("# Comparison of the cells\n")
    for name in ("index.html", "gallery.png", "curves.png"):
        (report / name).write_text(name)
    return project


def test_one_run_holds_the_comparison(compared: Path) -> None:
    track([CELL, OTHER], compared, "acol")
    run = comparison(compared)
    assert run.data.metrics == {"best_max_box_acc_v2": 0.75}
    found = run.data.tags
    assert (found["best_cell"], found["mlflow.note.content"]) == (CELL, "# Comparison of the cells\n")
    assert tags.CELL_TAG not in found
    assert artifacts(compared, run.info.run_id) == {
        "comparison/index.html",
        "comparison/table.md",
        "comparison/gallery.png",
        "comparison/curves.png",
        "environment/params.yaml",
    }


def test_the_comparison_changes_with_its_files_and_stays_one_run(compared: Path) -> None:
    track([CELL, OTHER], compared, "acol")
    before = comparison(compared)
    (compared / "dvc.lock").write_text("track: itself\n")
    track([CELL, OTHER], compared, "acol")
    assert comparison(compared).to_dictionary() == before.to_dictionary()
    (compared / "report" / "table.md").write_text("# Another\n")
    (compared / "report" / "index.html").write_text("another")
    track([CELL, OTHER], compared, "acol")
    after = comparison(compared)
    assert after.info.run_id == before.info.run_id
    assert after.data.tags["mlflow.note.content"] == "# Another\n"
    page = f"{after.info.artifact_uri}/comparison/index.html"
    assert mlflow.artifacts.load_text(page) == "another"


def test_a_lost_comparison_is_made_anew_and_a_second_one_goes(compared: Path) -> None:
    track([CELL, OTHER], compared, "acol")
    (folder,) = compared.glob("mlartifacts/**/artifacts/comparison")
    shutil.rmtree(folder.parent)
    track([CELL, OTHER], compared, "acol")
    assert (folder / "index.html").is_file()
    store, first = open_store(compared, "acol"), comparison(compared)
    store.client.delete_run(first.info.run_id)
    track([CELL, OTHER], compared, "acol")
    store.client.restore_run(first.info.run_id)
    track([CELL, OTHER], compared, "acol")
    assert comparison(compared)


def test_a_comparison_too_long_for_mlflow_is_cut_at_a_line(compared: Path) -> None:
    (compared / "report" / "table.md").write_text("| resnet18-p | 92.7 |\n" * 2000)
    track([CELL], compared, "acol")
    lines = comparison(compared).data.tags["mlflow.note.content"].splitlines()
    assert {*lines[:-2]} == {"| resnet18-p | 92.7 |"}
    assert lines[-1] == "The rest is in the artifact comparison/table.md."


def test_a_damaged_best_json_is_named_and_the_cells_are_shown(compared: Path) -> None:
    (compared / "report" / "best.json").write_text("{")
    with pytest.raises(InputError, match=r"best\.json: cannot be read \(.*\); run the stage that writes it again$"):
        track([CELL, OTHER], compared, "acol")
    assert sorted(str(run.info.run_name) for run in all_runs(compared)) == [OTHER, CELL]


@pytest.mark.parametrize("call", [*CALLS, "restore_run"])
def test_interrupted_at_any_call_the_next_time_completes_it(
    call: str, compared: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = track([CELL, OTHER], compared, "acol")
    table = compared / "report" / "table.md"
    for at in itertools.count(step=9 if call == "log_artifact" else 1):  # of its 26 a few will do
        reached = False
        for accuracy in (0.8 + at / 100, 0.75):  # new results, whose runs replace the old ones, and back
            write_cell(CELL, accuracy=accuracy)
            write_cell(OTHER, accuracy=accuracy)
            table.write_text(f"{accuracy}")
            with interrupted(monkeypatch, call, at) as counted, suppress(KeyboardInterrupt):
                track([CELL, OTHER], compared, "acol")
            reached |= counted[0] > at
            ids = track([CELL, OTHER], compared, "acol")
            run = comparison(compared)
            assert run.data.tags["mlflow.note.content"] == f"{accuracy}", (at, accuracy)
            assert ids == finished(compared), (at, accuracy)
            assert (ids == first) == (accuracy == 0.75), (at, accuracy)
        if not reached:
            break


def test_while_the_server_is_away_nothing_is_lost(
    project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    write_cell(CELL)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(StoreError, match="cannot be reached"):
            track([CELL], project, "acol")
    mlflow.set_tracking_uri(None)
    assert track([CELL], project, "acol") == finished(project)


def test_runs_of_mlflow_run_are_shown_under_its_own(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    store = open_store(project, "acol")
    parent = store.client.create_run(store.experiment_id).info.run_id
    ids = track([CELL], project, "acol", parent=parent)
    assert store.client.get_run(ids[CELL]).data.tags["mlflow.parentRunId"] == parent
    assert track([CELL], project, "acol") == ids


def test_a_parent_of_another_experiment_is_none(project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    store = open_store(project, "other")
    elsewhere = store.client.create_run(store.experiment_id).info.run_id
    for parent in ("0123456789abcdef0123456789abcdef", elsewhere):
        ids = track([CELL], project, "acol", parent=parent)
        assert "mlflow.parentRunId" not in open_store(project, "acol").client.get_run(ids[CELL]).data.tags


@pytest.mark.parametrize("lost", ["*", "acol/models", "acol/models/*/artifacts"])
def test_a_run_whose_files_are_lost_is_logged_again(lost: str, project: Path, write_cell: Write) -> None:
    write_cell(CELL)
    first = track([CELL], project, "acol")
    for place in (project / "mlartifacts").glob(lost):
        shutil.rmtree(place)
    second = track([CELL], project, "acol")
    assert second != first
    assert second == finished(project)
    assert open_store(project, "acol").client.list_artifacts(second[CELL])
    assert track([CELL], project, "acol") == second


def test_a_copy_without_the_runs_files_logs_its_own(project: Path, write_cell: Write, tmp_path: Path) -> None:
    write_cell(CELL)
    first = track([CELL], project, "acol")
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("mlartifacts"))
    mlflow.set_tracking_uri(None)  # else MLflow's own variable keeps naming the last project's store
    assert track([CELL], copy, "acol") != first
    assert [*copy.glob("mlartifacts/**/MLmodel")]
    mlflow.set_tracking_uri(None)
    assert track([CELL], project, "acol") == first


def test_a_run_of_another_output_folder_stays(
    project: Path, cell_writer: Callable[[Path], Write], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for name, key in (("one", "k1"), ("two", "k2"), ("two", "k3")):
        folder = project / name
        shutil.rmtree(folder, ignore_errors=True)
        cell_writer(folder)(CELL, key=key)
        with monkeypatch.context() as patch:  # as `acol train` does
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
            ids.append(track_one(CELL, folder, "train_acol"))
    assert len(set(ids)) == 3
    client = open_store(project, "train_acol").client
    assert [client.get_run(run).info.lifecycle_stage for run in ids] == ["active", "deleted", "active"]


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("models/{}/history.csv", "epoch,train_loss\n1,much\n", "history.csv: not a table by epoch"),
        ("timing/{}.csv", "epoch,seconds\n1,2\n", ".csv: not a table by epoch (no column ended)"),
        ("results/{}/details.json", "{}", "details.json: names no box threshold or scales"),
    ],
)
def test_a_damaged_file_is_named_and_the_other_cells_are_shown(
    project: Path, write_cell: Write, file: str, text: str, fault: str
) -> None:
    write_cell(CELL)
    write_cell(OTHER)
    (project / file.format(CELL)).write_text(text)
    with pytest.raises(InputError, match=re.escape(fault)):
        track([CELL, OTHER], project, "acol")
    assert [run.info.run_name for run in runs(project)] == [OTHER]


def test_the_stage_writes_the_run_ids_and_names_cells_without_results(
    project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(CELL)
    monkeypatch.chdir(project)
    params = SimpleNamespace(
        cells=lambda: [SimpleNamespace(name=CELL), SimpleNamespace(name=OTHER)],
        tracking=SimpleNamespace(experiment="acol"),
    )
    monkeypatch.setattr(stage, "load_params", lambda: params)
    with pytest.raises(SystemExit) as exit_status:
        stage.main()
    assert exit_status.value.code == 1
    assert json.loads((project / "report" / "runs.json").read_text()) == finished(project)
    assert capsys.readouterr().err == f"error: no complete results of {OTHER}; run `dvc repro` for them\n"


def test_the_stage_says_in_one_line_that_the_server_is_away(
    project: Path, write_cell: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(CELL)
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    params = SimpleNamespace(cells=lambda: [SimpleNamespace(name=CELL)], tracking=SimpleNamespace(experiment="acol"))
    monkeypatch.setattr(stage, "load_params", lambda: params)
    with pytest.raises(SystemExit) as exit_status:
        stage.main()
    assert exit_status.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert error.endswith("; the files are complete: run `dvc repro` again to log them\n")
    assert error.count("\n") == 1


def test_machines_that_keep_changing_the_runs_end_it_without_the_stores_password(monkeypatch) -> None:
    monkeypatch.setattr(stage, "known_runs", lambda _: [])
    monkeypatch.setattr(stage, "_act", lambda *_: None)  # another machine undoes it each time
    content = stage.Content({CELL: SimpleNamespace(fingerprint="now", key=None)})
    with pytest.raises(StoreError, match=r"^MLflow at https://me:\*\*\*@host: other machines keep changing the runs"):
        stage._carry_out(content, stage.Store("https://me:secret@host", None, "1"), Path())
