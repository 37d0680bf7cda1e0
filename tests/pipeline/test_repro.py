"""The whole pipeline on a tiny grid, run by DVC as a user runs it, and what happens when things change."""

import json

import pandas as pd
import pytest

from pipeline import train
from tests.conftest import TINY

STAGES_OF_A_CELL = ("train", "evaluate", "cams")


@pytest.fixture(scope="module")
def project(make_tiny_project):
    project = make_tiny_project()
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Begin")
    project.printed = project.run("python", "-m", "pipeline.repro").stdout
    return project


@pytest.fixture
def unchanged(project):
    """Put the project's settings back as they were after the test."""
    settings = (project.root / "params.yaml").read_bytes()
    yield project
    (project.root / "params.yaml").write_bytes(settings)


def test_leaves_what_it_promises(project):
    for cell in ("lite0-p", "lite0-pn-0.6"):
        for name in ("best.pt", "last.pt", "history.csv", "summary.json"):
            assert (project.root / "models" / cell / name).is_file()
        metrics = json.loads((project.root / "results" / cell / "metrics.json").read_text())
        expected = {"accuracy_top1", "accuracy_top5", "gt_known_loc", "top1_loc", "top5_loc", "max_box_acc_v2", "pxap"}
        assert expected <= metrics.keys()
        assert len(list((project.root / "cams" / cell).glob("*.png"))) >= 4
        images = pd.read_csv(project.root / "results" / cell / "images.csv")
        assert len(images) == len(set(images["path"]))
    table = json.loads((project.root / "report" / "table.json").read_text())
    assert [row["cell"] for row in table["cells"]] == ["lite0-p", "lite0-pn-0.6"]
    assert table["baseline"]
    for name in ("table.csv", "table.md", "differences.csv", "curves.png", "gallery.png", "hardest.png", "best.json"):
        assert (project.root / "report" / name).stat().st_size > 0
    assert not (project.root / ".acol" / "runs").exists() or not list((project.root / ".acol" / "runs").iterdir())


def test_it_ends_with_the_outcome_and_git_shows_only_what_is_to_be_committed(project):
    record = ["dvc.lock", "examples/footballers/dvc.lock", "pipeline/tracking/dvc.lock", "report/summary.json"]
    assert project.run("git", "ls-files", "--others", "--modified", "--exclude-standard").stdout.split() == record
    built, _, outcome = project.printed.partition("Best cell:")
    assert [line.partition(":")[0] for line in outcome.splitlines()[-3:]] == ["Report", "Next", "To keep"]
    assert project.printed.endswith(
        f"git add {' '.join(record)}, and commit; git ignores all else, which DVC's cache holds\n"
    )
    assert "git add" not in built
    assert "dvc push" not in built


def test_dvcs_pickled_cache_is_the_users_alone(project):
    assert (project.root / ".dvc" / "site-cache").stat().st_mode & 0o777 == 0o700


def test_training_sees_no_box_no_mask_and_no_test_image(project):
    seen = json.loads((project.root / "data" / "split" / "labels.json").read_text())["images"]
    known = json.loads((project.root / "data" / "split" / "manifest.json").read_text())["images"]
    assert all(image["boxes"] is image["mask"] is None and image["split"] != "test" for image in seen)
    assert all(image["boxes"] and image["mask"] for image in known)


def test_a_second_repro_does_nothing_and_adds_no_run(project):
    before = project.runs()
    assert [run[1:] for run in before] == [["lite0-p", "FINISHED"], ["lite0-pn-0.6", "FINISHED"]]
    assert project.repro() == ["track"]
    assert project.runs() == before


def test_a_new_head_runs_its_own_cell_alone_and_a_removed_one_leaves(unchanged):
    project = unchanged
    before = project.runs()
    project.edit({("grid", "heads"): ["p", "pn-0.6", "pn-0.6-s1"]})
    ran = project.repro()
    assert sorted(ran) == sorted([*(f"{stage}@lite0-pn-0.6-s1" for stage in STAGES_OF_A_CELL), "compare", "track"])
    assert [run[1] for run in project.runs()] == ["lite0-p", "lite0-pn-0.6", "lite0-pn-0.6-s1"]
    assert project.runs()[:2] == before
    seeds = [
        json.loads((project.root / f"models/lite0-{head}/summary.json").read_text())["seed"]
        for head in ("pn-0.6", "pn-0.6-s1")
    ]
    assert seeds == [0, 1]
    project.edit({("grid", "heads"): ["p", "pn-0.6"]})
    assert project.repro() == ["compare", "track"]
    table = json.loads((project.root / "report" / "table.json").read_text())
    assert [row["cell"] for row in table["cells"]] == ["lite0-p", "lite0-pn-0.6"]
    assert project.runs() == before


def test_a_cell_from_dvcs_cache_has_its_run_again(unchanged):
    project = unchanged
    before = project.runs()
    project.edit({("cams", "sample"): 1})
    project.repro()
    changed = project.runs()
    assert [run[1:] for run in changed] == [run[1:] for run in before]
    assert {run[0] for run in changed}.isdisjoint(run[0] for run in before)
    project.edit({("cams", "sample"): TINY["cams", "sample"]})
    done = project.run("dvc", "repro")
    assert "is cached - skipping run" in done.stdout
    assert project.runs() == before


def test_a_lost_store_is_rebuilt_from_the_files(project):
    for path in project.root.glob("mlflow.db*"):
        path.unlink()
    assert project.repro() == ["track"]
    assert [run[1:] for run in project.runs()] == [["lite0-p", "FINISHED"], ["lite0-pn-0.6", "FINISHED"]]


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("acol/figures/panels.py", {"cams@lite0-p", "cams@lite0-pn-0.6", "compare"}),
        ("pipeline/compare.py", {"compare"}),
        ("pipeline/evaluate.py", {"evaluate@lite0-p", "evaluate@lite0-pn-0.6", "untrained@lite0"}),
    ],
)
def test_an_edit_reruns_only_what_reads_it(project, file, stages):
    path = project.root / file
    before = path.read_text()
    path.write_text(before + "\n# edited\n")
    changed = json.loads(project.run("dvc", "status", "--json", check=False).stdout)
    path.write_text(before)
    assert {stage for stage in changed if not stage.endswith(":track")} == stages


def test_params_errors_reach_the_user_in_one_line_and_leave_all_as_it_was(unchanged, monkeypatch, capsys):
    unchanged.edit({("train", "epcohs"): 3})
    before = (unchanged.root / "models/lite0-p/best.pt").stat().st_mtime_ns
    monkeypatch.chdir(unchanged.root)
    monkeypatch.setattr("sys.argv", ["train", "lite0", "p"])
    with pytest.raises(SystemExit, match="2"):
        train.main()
    assert capsys.readouterr().err == "error: params.yaml: train.epcohs: unknown key; did you mean epochs?\n"
    assert (unchanged.root / "models/lite0-p/best.pt").stat().st_mtime_ns == before


def test_metrics_params_and_plots_say_something(project):
    head, *rows = (line.split() for line in project.run("dvc", "metrics", "show").stdout.splitlines())
    assert head == ["Path", "accuracy_top1", "gt_known_loc", "max_box_acc_v2"]  # a row a cell, the headline alone
    assert {row[0] for row in rows} == {f"report/headline/lite0-{head}.json" for head in ("p", "pn-0.6")}
    project.run("dvc", "plots", "show", "-o", "plots-page")
    assert "curves.png" in (project.root / "plots-page" / "index.html").read_text()
