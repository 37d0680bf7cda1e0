"""Retraining as continuous integration does it: fresh clones, a DVC remote, an MLflow store that they share."""

import json
import os
import shutil
import subprocess

import pytest
import yaml

from pipeline.retrain import LONGEST, chart, shorten
from tests.conftest import stages_in


@pytest.fixture(scope="module")
def origin(make_tiny_project, tmp_path_factory, initialised_store):
    """A project whose first retraining filled the remote and made a champion; what git keeps of that is committed."""
    project = make_tiny_project({("grid", "heads"): ["p"], ("gate", "min_gain"): 0.5})
    shared = tmp_path_factory.mktemp("shared")
    shutil.copy(initialised_store, shared / "mlflow.db")
    project.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{shared}/mlflow.db"
    project.run("dvc", "remote", "add", "-d", "shared", str(shared / "remote"))
    commit(project, "Begin")
    retrain(project)
    assert "**Gate:** promoted" in comment(project)
    commit(project, "Train")
    return project


@pytest.fixture
def clone(origin, tmp_path):
    """A fresh clone, as a machine of continuous integration has it."""
    return clone_of(origin, tmp_path / "clone")


def clone_of(origin, root):
    subprocess.run(["git", "clone", "-q", origin.root, root], check=True)
    project = type(origin)(root)
    project.environment["MLFLOW_TRACKING_URI"] = origin.environment["MLFLOW_TRACKING_URI"]
    return project


def commit(project, message):
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message)


def retrain(project, *options, status=0):
    """Retrain; return the stages that ran."""
    done = project.run("python", "-m", "pipeline.retrain", *options, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return stages_in(done.stdout)


def comment(project):
    return (project.root / "report" / "comment.md").read_text()


def test_unchanged_inputs_pull_everything_and_train_nothing(clone):
    assert retrain(clone, "--base", "HEAD", "--no-push") == ["track"]
    assert (clone.root / "models" / "lite0-p" / "best.pt").is_file()
    text = comment(clone)
    assert text.startswith("**Gate:** unchanged: ")
    assert "| Cell |" in text
    assert '"lite0-p"' in text
    assert text.endswith("## Changes since `HEAD`\n\nNo metric changed.\n")


def test_a_changed_delta_trains_only_its_cells_and_fails_the_gate_where_they_are_no_better(clone, origin, tmp_path):
    change = {("grid", "heads"): ["pn-0.8"]}
    clone.edit(change)
    assert retrain(clone, "--base", "HEAD", status=3) == [
        *(f"{stage}@lite0-pn-0.8" for stage in ("train", "evaluate", "cams")),
        "compare",
        "track",
    ]
    assert json.loads((clone.root / "report" / "gate.json").read_text())["decision"] == "kept"
    text = comment(clone)
    assert text.startswith("**Gate:** kept: lite0-pn-0.8: ")
    changes = text.partition("## Changes since `HEAD`")[2]
    assert "lite0-pn-0.8.accuracy_top1" in changes
    # What one machine has trained and pushed, no other one computes. (The summary lies in git, not in the remote.)
    another = clone_of(origin, tmp_path / "another")
    another.edit(change)
    assert retrain(another, "--no-gate", "--no-push") == ["compare", "track"]


def test_a_remote_that_cannot_be_read_stops_no_comparison_but_what_would_push(clone, tmp_path, shared_cache):
    # All but one output is at hand, so that pulling fails and one stage must run again.
    stages = yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"]
    lost = stages["cams@lite0-p"]["outs"][0]["md5"]
    shutil.copytree(shared_cache, tmp_path / "cache", copy_function=os.link)
    (tmp_path / "cache" / "files" / "md5" / lost[:2] / lost[2:]).unlink()
    clone.share(tmp_path / "cache")
    (tmp_path / "a file").touch()
    clone.run("dvc", "remote", "modify", "shared", "url", str(tmp_path / "a file" / "remote"))
    assert "cams@lite0-p" in retrain(clone, "--base", "HEAD", "--no-gate", "--no-push")
    assert comment(clone).startswith("The DVC remote could not be read, so all of this was computed again.")
    assert clone.run("python", "-m", "pipeline.retrain", check=False).returncode not in (0, 3)


def test_a_failing_step_ends_it(clone):
    done = clone.run("python", "-m", "pipeline.retrain", "--base", "nowhere", "--no-gate", "--no-push", check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: dvc metrics diff nowhere")


def test_the_chart_shows_the_first_metric_that_there_is():
    summary = {"a": {"accuracy_top1": 0.5}, 'b"': {"accuracy_top1": 0.25}}
    (drawn,) = chart(summary, ["max_box_acc_v2", "accuracy_top1"])
    assert '  x-axis ["a", "b\\""]' in drawn
    assert "  bar [50.0, 25.0]" in drawn
    assert chart(summary, ["pxap"]) == []


def test_a_comment_is_never_longer_than_github_takes():
    assert shorten(["table", "chart"]) == "table\n\nchart\n"
    assert shorten(["table", "x" * LONGEST]) == "table\n"
    long = shorten(["row\n" * LONGEST, "chart"])
    assert LONGEST - 10 < len(long) < 65_536
    assert long.endswith("row\n\nThe rest is in report/table.md.\n")
