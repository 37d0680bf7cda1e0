"""The grid as a Kubeflow pipeline: the graph is DVC's, and run here it ends in the same numbers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from acol.head import Head
from pipeline.kubeflow.train_job import train_job
from pipeline.params import Cell

# Kubeflow's packages take seconds to import. All processes of `make test` import this file, and one runs its tests:
# so the tests import what needs those packages.
ROOT = Path(__file__).parents[2]
GRID = {
    ("grid", "backbones"): ["lite0", "other"],
    ("grid", "heads"): ["p", "pn-0.6", "pn-0.6-s1"],
    ("backbones", "other"): {"model": "timm/tf_efficientnet_lite0", "source": "package"},
}


@pytest.fixture(scope="module")
def project(make_tiny_project):
    return make_tiny_project(GRID)


def call(monkeypatch, root, *arguments):
    """Run the command in a project's folder."""
    from pipeline.kubeflow.__main__ import main

    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.argv", ["pipeline.kubeflow", *arguments])
    main()


@pytest.fixture
def compiled(monkeypatch):
    def make(root, *options):
        call(monkeypatch, root, "compile", "--image", "me/acol:1", "--out", "acol.yaml", *options)
        return (root / "acol.yaml").read_bytes()

    return make


def tasks_of(root):
    """The tasks of a project's pipeline."""
    from pipeline.kubeflow import graph

    return graph.tasks_of(root)


def parts(text):
    """The pipeline, and what concerns Kubernetes alone."""
    pipeline, *platforms = yaml.safe_load_all(text)
    return pipeline, platforms[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platforms else {}


def test_the_graph_is_that_of_dvc_cell_by_cell(project, compiled, capsys):
    tasks = parts(compiled(project.root))[0]["root"]["dag"]["tasks"]
    printed = capsys.readouterr()
    assert printed.out == f"acol.yaml: a pipeline of {len(tasks)} tasks; upload it to Kubeflow Pipelines\n"
    assert "which build" not in printed.err
    compiled(project.root, "--image", "me/acol:latest")  # Kubeflow's cache knows an image by its name alone
    assert "me/acol:latest does not say which build" in capsys.readouterr().err
    names = {key: task["taskInfo"]["name"] for key, task in tasks.items()}
    edges = {(names[other], names[key]) for key, task in tasks.items() for other in task.get("dependentTasks", [])}
    # DVC names a stage of another file by that too, and `tracked` only tells of the end of a `dvc repro`.
    drawn = re.findall(r'"(?:.+?:)?(.+?)" -> "(?:.+?:)?(.+?)"', project.run("dvc", "dag", "--dot").stdout)
    # For DVC the hashes of the images are enough; a task in a folder of its own needs the images that `draw` made.
    images = {
        ("draw", name)
        for name in names.values()
        if name.startswith(("train", "evaluate", "untrained", "cams", "compare", "track"))
    }
    assert edges == {edge for edge in drawn if not {"check", "tracked"} & {*edge}} | images
    stages = project.run("dvc", "stage", "list", "--all", "--name-only").stdout.split()
    assert sorted(names.values()) == sorted(
        stage.rpartition(":")[2] for stage in stages if stage not in ("check", "tracked")
    )
    assert len(names) == 2 + 2 * 2 + 3 * 6 + 2


def test_each_task_runs_its_stages_command_and_knows_no_more_settings_than_the_stage_declares(project):
    steps = {task.name: task.step for task in tasks_of(project.root)}
    cell = steps["train@other-pn-0.6-s1"]
    assert cell.command == "python -m pipeline.live -- python -m pipeline.train other pn-0.6-s1"
    where = {"data.source", "data.path"}  # the images, whose paths in the labels are relative to it
    assert {*cell.params} == {"image", "train", "grid.backbones", "grid.heads", "backbones.other"} | where
    assert cell.inputs["pretrained"] == "pretrained/other"
    assert "data/split/manifest.json" not in cell.inputs.values()  # it holds the boxes
    before = {name: step.to_json() for name, step in steps.items()}
    project.edit({("evaluate", "tau"): 0.5})
    after = {task.name: task.step.to_json() for task in tasks_of(project.root)}
    changed = {name.split("@")[0] for name in before if before[name] != after[name]}
    assert changed == {"evaluate", "untrained", "compare", "track"}


def test_a_search_is_a_task_by_its_own_command(project, compiled):
    content = yaml.safe_load((project.root / "params.yaml").read_text())
    section = {
        "recipes": ["p"], "trials": 2, "delta": [0.3, 0.9], "lr": [0.001, 0.01], "classifier_lr": [0.001, 0.01],
        "weight_decay": [0.01, 0.1], "epochs": [1, 2], "seeds": 1, "metric": "accuracy",
    }  # fmt: skip
    before = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(yaml.safe_dump(content | {"search": section}))
    *_, task = tasks_of(project.root)
    assert (task.name, task.step.command) == ("search", "python -m pipeline.search")
    assert {"data/split/manifest.json", "data/split/labels.json", "pretrained/lite0"} <= {*task.step.inputs.values()}
    assert task.step.params["search"]["trials"] == 2
    tasks = parts(compiled(project.root))[0]["root"]["dag"]["tasks"]
    assert "search" in {each["taskInfo"]["name"] for each in tasks.values()}
    (project.root / "params.yaml").write_text(before)


def test_what_the_tasks_get_of_the_cluster(make_tiny_project, compiled):
    on_claim = {("data", "source"): "folder", ("data", "path"): "/data/photos"}
    project = make_tiny_project(on_claim | {("grid", "heads"): ["pn-0.6"]})
    options = ["--cpu", "4", "--memory", "16G", "--gpus", "1", "--tracking-uri", "http://mlflow:5000"]
    options += ["--data-claim", "photos", "--secret", "s3/AWS_SECRET_ACCESS_KEY"]
    text = compiled(project.root, *options)
    assert text == compiled(project.root, *options)
    pipeline, platform = parts(text)
    for task in pipeline["root"]["dag"]["tasks"].values():
        assert task["retryPolicy"]["maxRetryCount"] == 2
        # Kubeflow's key does not see the images on the claim, and all others read them, or log what did.
        assert task["cachingOptions"].get("enableCache", False) == task["taskInfo"]["name"].startswith("pretrained@")
    for name, executor in pipeline["deploymentSpec"]["executors"].items():
        container, kubernetes = executor["container"], platform[name]
        assert container["image"] == "me/acol:1"
        assert {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"} in container["env"]
        assert container["resources"]["resourceMemoryLimit"] == "16G"
        learns = name.split("-")[1] in ("pretrained", "untrained", "train", "evaluate")
        assert ("accelerator" in container["resources"]) == learns
        assert kubernetes["pvcMount"][0]["mountPath"] == "/data/photos"
        assert kubernetes["secretAsEnv"][0]["secretName"] == "s3"
        assert kubernetes["secretAsEnv"][0]["keyToEnv"] == [
            {"envVar": "AWS_SECRET_ACCESS_KEY", "secretKey": "AWS_SECRET_ACCESS_KEY"}
        ]


def refused(monkeypatch, capsys, root, *arguments):
    """The lines with which a command refuses its arguments; it must write nothing."""
    before = {*root.iterdir()}
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, root, *arguments)
    assert ended.value.code == 2
    assert {*root.iterdir()} == before
    printed = capsys.readouterr()
    assert printed.out == ""
    return [line.removeprefix("error: ") for line in printed.err.splitlines()]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            ["--data-claim", "photos"],
            "--data-claim: it is mounted at data.path; in params.yaml set data.path to an absolute one",
        ),
        (["--data-claim", "My_photos"], "--data-claim My_photos: no claim has this name"),
        (["--secret", "s3"], "--secret s3: not a secret and its key; write NAME/KEY"),
        (["--secret", "S3/KEY"], "--secret S3/KEY: no secret has this name"),
        (["--secret", "s3/AWS-KEY"], "--secret s3/AWS-KEY: not a secret and its key"),
        (["--secret", "a/KEY", "--secret", "b/KEY"], "--secret: two secrets have the key KEY"),
        (["--cpu", "four"], "--cpu four: Kubeflow takes 4, 0.5 or 500m"),
        (["--memory", "16GB"], "--memory 16GB: Kubeflow takes a whole number with its unit"),
        (["--memory", "1.5G"], "--memory 1.5G: Kubeflow takes a whole number with its unit"),
        (["--gpus=-1"], "--gpus -1: a number from 0 is needed"),
        (["--image", "me/ACOL:1"], "--image me/ACOL:1: not an image's name"),
        (["--tracking-uri", "sqlite:///mlflow.db"], "--tracking-uri sqlite:///mlflow.db: not a server"),
        (["--tracking-uri", "mlruns"], "--tracking-uri mlruns: not a server that tasks can reach"),
        (
            ["--tracking-uri", "http://127.0.0.1:5000"],
            "--tracking-uri http://127.0.0.1:5000: in a task this is the task",
        ),
        (["--tracking-uri", "http://me:word@mlflow:5000"], "--tracking-uri http://me:***@mlflow:5000: the file would"),
        (
            ["--tracking-uri", "http://mlflow", "--secret", "mlflow/MLFLOW_TRACKING_URI"],
            "--tracking-uri: the secret MLFLOW_TRACKING_URI gives the address too",
        ),
    ],
)
def test_options_that_a_cluster_would_refuse(options, fault, project, monkeypatch, capsys):
    arguments = ["compile", "--image", "x", "--out", "never.yaml", *options]
    assert any(line.startswith(fault) for line in refused(monkeypatch, capsys, project.root, *arguments))


def test_all_faults_are_told_at_once(project, monkeypatch, capsys):
    options = ["--memory", "16GB", "--cpu", "x", "--secret", "s3"]
    lines = refused(monkeypatch, capsys, project.root, "compile", "--image", "x", "--out", "never.yaml", *options)
    assert [line.split()[0] for line in lines] == ["--cpu", "--memory", "--secret"]


@pytest.mark.parametrize("image", ["acol", "me/acol:1", "localhost:5000/me/acol", f"ghcr.io/me/a_b@sha256:{'0' * 64}"])
def test_names_of_images(image):
    from pipeline.kubeflow.checks import check_options

    assert check_options({"image": image, "gpus": 0}) == []


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/data/photos", "no task will see it; use --data-claim, or move it into the project"),
        ("absent", "it is not in the project, so the image has none; put it there"),
        ("link", "it lies outside the project, so the image has none; move it there"),
        ("big/photos", ".dockerignore leaves it out of the image; remove that line"),
    ],
)
def test_images_that_no_task_would_see(path, fault, make_tiny_project, monkeypatch, capsys, tmp_path):
    project = make_tiny_project({("grid", "heads"): ["p"], ("data", "source"): "folder", ("data", "path"): path})
    (project.root / "big" / "photos").mkdir(parents=True)
    (project.root / "link").symlink_to(tmp_path)
    (project.root / ".dockerignore").write_text("# large\nphotos\nbig\n!big/few\n")
    compiling = ["compile", "--image", "x", "--out", "acol.yaml"]
    assert refused(monkeypatch, capsys, project.root, *compiling) == [f"params.yaml: data.path: {path}: {fault}"]
    for seen in ("photos", "big/few"):
        (project.root / seen).mkdir(parents=True)
        project.edit({("data", "path"): seen})
        (project.root / ".dockerignore").write_text("other/photos\nbig\n!big/few\n")
        call(monkeypatch, project.root, *compiling)
        capsys.readouterr()


def test_weights_from_a_file_reach_their_task(make_tiny_project, monkeypatch, capsys):
    weights = {"model": "timm/tf_efficientnet_lite0", "source": "file", "path": "mine.pth", "sha256": "0" * 64}
    project = make_tiny_project({("grid", "heads"): ["p"], ("backbones", "lite0"): weights})
    compiling = ["compile", "--image", "x", "--out", "acol.yaml"]
    assert refused(monkeypatch, capsys, project.root, *compiling) == [
        "params.yaml: backbones.lite0.path: mine.pth: it is not in the project, so the image has none; put it there"
    ]
    (project.root / "mine.pth").touch()
    call(monkeypatch, project.root, *compiling)
    data = {task.kind: task.step.data for task in tasks_of(project.root)}
    assert data["pretrained"] == ["mine.pth"]
    assert data["train"] == []


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--nodes", "0"], "--nodes 0: a number from 1 is needed"),
        (["--claim", "My claim"], "--claim My claim: no claim has this name"),
    ],
)
def test_options_of_a_train_job_that_a_cluster_would_refuse(options, fault, project, monkeypatch, capsys):
    arguments = ["trainjob", "lite0", "pn-0.6", "--image", "x", "--claim", "work", *options]
    (line,) = refused(monkeypatch, capsys, project.root, *arguments)
    assert line.startswith(fault)


def test_a_train_job_is_one_by_kubeflows_own_schema(project, monkeypatch, capsys):
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

    options = ["--image", "me/acol:1", "--claim", "work", "--nodes", "2", "--processes", "4", "--gpus", "4"]
    call(monkeypatch, project.root, "trainjob", "lite0", "pn-0.6", *options)
    manifest = yaml.safe_load(capsys.readouterr().out)
    read = TrainerV1alpha1TrainJob.from_dict(manifest)
    assert read.to_dict() == manifest
    assert read.spec.trainer.command == ["torchrun", "-m", "pipeline.train", "lite0", "pn-0.6"]
    assert (read.spec.trainer.num_nodes, read.spec.trainer.num_proc_per_node) == (2, 4)
    assert read.metadata.name == "acol-lite0-pn-0-6"


def test_a_train_job_of_a_long_head_has_a_short_name_of_its_own():
    heads = [Head.parse("-".join(["p" * 9, *["0.123"] * 7, delta])) for delta in ("0.1", "0.2")]
    cells = [Cell("Resnet_50", head, 0) for head in heads]
    names = {train_job(cell, "me/acol:1", 1, 1, 0, "work")["metadata"]["name"] for cell in cells}
    assert len(names) == 2
    assert all(re.fullmatch("[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name) for name in names)


def test_the_image_is_the_locks_and_lints():
    done = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_run_here_it_ends_in_the_same_numbers(make_tiny_project, initialised_store, tmp_path):
    project = make_tiny_project({("grid", "heads"): ["pn-0.6"]})
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    project.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    done = project.run("python", "-m", "pipeline.kubeflow", "run", "--out", str(tmp_path / "artifacts"))
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path}/artifacts: the artifacts of 9 tasks")
    (scores,) = (tmp_path / "artifacts").glob("*/evaluate*/results/metrics.json")
    (best,) = (tmp_path / "artifacts").glob("*/compare*/report_best_json")
    (runs,) = (tmp_path / "artifacts").glob("*/track*/report_runs_json")
    assert json.loads(best.read_text())["cell"] == "lite0-pn-0.6"
    assert {*json.loads(runs.read_text())} == {"lite0-pn-0.6"}
    assert not [*project.root.glob("*/lite0-pn-0.6")]  # it works in folders of its own
    project.repro("evaluate@lite0-pn-0.6")
    assert scores.read_bytes() == (project.root / "results" / "lite0-pn-0.6" / "metrics.json").read_bytes()
