"""A project of one's own: images in class folders, and the package; from nothing to predictions."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from acol.errors import InputError
from examples.footballers.draw import draw_footballers
from pipeline import init, installed
from pipeline.kubeflow.graph import tasks_of
from tests.conftest import Project

ROOT = Path(__file__).parents[2]
TINY = {"image": {"size": 32, "train_size": 36}, "cams": {"sample": 1, "failures": 1}}
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_from_images_to_predictions_and_from_corrected_boxes_to_scores(tmp_path):
    root = tmp_path / "my project"
    draw_footballers(tmp_path / "drawn", per_class=15, size=48)
    shutil.copytree(tmp_path / "drawn" / "images", root / "players")  # folders by class, and no box
    project = Project(root)
    project.environment |= {"PYTHONPATH": str(ROOT)}
    project.run("acol", "init")
    content = yaml.safe_load((root / "params.yaml").read_text())
    assert (content["data"]["path"], content["data"]["annotations"]) == ("players", None)
    content["grid"]["heads"] = ["p"]
    content["train"]["epochs"] = 1
    content["evaluate"] |= {"scales": [1], "faithfulness": 0, "bootstrap": 100}
    (root / "params.yaml").write_text(yaml.safe_dump(content | TINY))
    done = project.run("dvc", "repro")
    assert re.findall(r"Running stage '(?:\S*:)?(\w+)", done.stdout) == [
        *("installed", "check", "split", "pretrained", "untrained", "train", "evaluate", "cams", "compare", "track"),
        "tracked",
    ]
    printed = project.run("acol", "report").stdout
    assert printed.startswith("Best cell: lite0-p, ")
    assert "acol ui" in printed
    assert [run[1:] for run in project.runs()] == [["lite0-p", "FINISHED"]]
    kinds = {task.kind for task in tasks_of(root)}  # those of the clone, for Kubeflow
    assert kinds == {"split", "pretrained", "untrained", "train", "evaluate", "cams", "compare", "track"}
    # Other code reruns what it concerns, and nothing else.
    content = json.loads((root / installed.INSTALLED).read_text())
    (root / installed.INSTALLED).write_text(json.dumps(content | {"acol/figures": "another version's"}))
    changed = json.loads(project.run("dvc", "status", "--json", check=False).stdout)
    assert {name for name in changed if not name.startswith("always")} == {"cams@lite0-p", "compare"}
    # Drafts of test images become tasks; five are corrected, as Label Studio exports them; they score the boxes.
    project.run("acol", "sample", "--n", "8", "--model", "models/lite0-p/best.pt", "--out", "drafts")
    tasks = json.loads((root / "drafts/tasks.json").read_text())
    assert len(tasks) == 8
    for task in tasks[:5]:
        result = task["predictions"][0]["result"]
        result[0]["value"] |= {"x": 10, "y": 20, "width": 60, "height": 50}
        task["annotations"] = [{"result": result, "was_cancelled": False}]
    (root / "players/corrected.json").write_text(json.dumps(tasks))
    content = yaml.safe_load((root / "params.yaml").read_text())
    content["data"]["annotations"] = {"format": "label-studio", "path": "corrected.json"}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    again = project.run("dvc", "repro", "compare").stdout
    assert "boxes: 5 test" in again
    assert "Running stage 'train" not in again  # no label is another one
    scored = pd.read_csv(root / "results/lite0-p/images.csv")["iou"].dropna()
    assert len(scored) == 5
    printed = project.run("acol", "report").stdout
    assert "MaxBoxAccV2" in printed
    listed = project.run("git", "status", "--short", "-uall").stdout
    assert {line[3:] for line in listed.splitlines() if "/" not in line} == {
        *(".dvcignore", ".gitignore", "MLproject", "README.md", "dvc.lock", "dvc.yaml", "installed.json"),
        "params.yaml",
    }


def test_a_file_that_the_package_lacks_is_named_in_a_line():
    with pytest.raises(InputError, match=r"^lost\.yaml: not among the files of the installed package acol; install it"):
        installed.packaged("lost.yaml")


def test_the_stages_are_those_of_the_clone_with_hashes_for_code(tmp_path):
    stages = yaml.safe_load(init.dvc_yaml())["stages"]
    assert stages.keys() == STAGES.keys()
    installed.write_hashes(tmp_path)
    keys = {*json.loads((tmp_path / installed.INSTALLED).read_text())} - {"version"}
    for name, stage in stages.items():
        (code,) = [each[installed.INSTALLED] for each in stage.get("params", []) if isinstance(each, dict)] or [[]]
        deps = [ROOT / key for key in code]
        assert all(dep.is_dir() or dep.with_suffix(".py").is_file() for dep in deps)
        assert {*code} <= keys
        theirs = [dep.removesuffix(".py") for dep in STAGES[name]["deps"]]
        assert sorted([*code, *stage["deps"]]) == sorted(theirs)
        assert {**stage, "deps": 0, "params": 0} == {**STAGES[name], "deps": 0, "params": 0} | (
            {"cmd": stage["cmd"]} if name == "tracked" else {}
        )


def test_the_same_command_completes_a_project_that_was_interrupted(tmp_path, monkeypatch):
    def interrupt(root):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["init", "new"])
    with monkeypatch.context() as patched, pytest.raises(SystemExit, match="130"):
        patched.setattr(installed, "write_hashes", interrupt)  # git and DVC are there
        init.main()
    init.main()
    assert {"params.yaml", "dvc.yaml", "always", "installed.json", ".dvc"} <= {
        file.name for file in Path("new").iterdir()
    }


def test_where_git_or_dvc_cannot_start_it_ends_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["init", "ignored"])
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path(".gitignore").write_text("ignored/\n")
    with pytest.raises(SystemExit, match="2"):
        init.main()
    assert capsys.readouterr().err.startswith("error: ignored: dvc init: ")
    shutil.rmtree(".git")
    monkeypatch.setenv("GIT_DIR", "/dev/null/none")
    with pytest.raises(SystemExit, match="2"):
        init.main()
    assert capsys.readouterr().err.startswith("error: ignored: git init: ")
    assert not Path("ignored/params.yaml").exists()


def test_which_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["init", "empty"])
    init.main()
    assert "put a folder of images for each class into photos/" in capsys.readouterr().out
    draw_footballers(tmp_path / "drawn/images", per_class=4, size=48)
    shutil.copytree("drawn", "one-off")
    Path("one-off/params.yaml").write_text("data: {path: elsewhere}\n")
    monkeypatch.setattr("sys.argv", ["init", "one-off"])
    init.main()
    assert capsys.readouterr().out.endswith("Next: cd one-off, dvc repro, acol report\n")
    stages = Path("one-off/dvc.yaml").read_text()
    for name in ("dvc.yaml", init.ALWAYS):  # as after an update
        Path("one-off", name).unlink()
    init.main()
    capsys.readouterr()
    assert Path("one-off/dvc.yaml").read_text() == stages
    assert Path("one-off", init.ALWAYS).exists()
    assert Path("one-off/params.yaml").read_text() == "data: {path: elsewhere}\n"
    for arguments, line in (
        (
            ["empty"],
            "empty: is a project already; name another folder, or remove dvc.yaml and always/dvc.yaml to renew them",
        ),
        (["drawn/images"], "drawn/images: several folders with images, such as images; name one by --images FOLDER"),
        (["new", "--images", "nowhere"], "nowhere: no such folder; correct the path"),
    ):
        monkeypatch.setattr("sys.argv", ["init", *arguments])
        with pytest.raises(SystemExit, match="2"):
            init.main()
        assert capsys.readouterr().err == f"error: {line}\n"
    assert not Path("new").exists()
