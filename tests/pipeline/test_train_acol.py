"""Training one model by the command line of `acol train` and of the founding script, and predicting with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acol.errors import InputError
from examples.footballers.draw import draw_footballers
from pipeline import command, train_acol
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]
CELL = "resnet18-pnp-0.9-0.7"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder outside of any project, with a few drawn images in class folders."""
    folder = tmp_path_factory.mktemp("one-off")
    draw_footballers(folder / "drawn", per_class=8, size=48)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """The process of one whole `acol train`, as a user starts it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("acol"), "train", "drawn", "--batch-size", "4", "--epochs", "1",
         "--model", "resnet18", "--cls-recipe", "pnp", "--delta-list", "0.9,0.7", "--weights", "none",
         "--image-size", "64", "--lr", "0.01", "--weight-decay", "0.001", "--device", "cpu", "--output", "out"],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_trains_scores_draws_and_tracks(folder, trained):
    summary = json.loads((folder / "out/models" / CELL / "summary.json").read_text())
    assert summary["deltas"] == [0.9, 0.7]
    assert summary["parameters"]["train.weight_decay"] == 0.001
    assert (folder / "out/models" / CELL / "best.pt").is_file()
    scores = json.loads((folder / "out/results" / CELL / "metrics.json").read_text())
    assert {"accuracy_top1", "max_box_acc_v2", "pxap"} <= scores.keys()  # the folder's acol.yaml names boxes and masks
    assert (folder / "out/cams" / CELL / "overview.png").is_file()
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["train_acol"], output_format="list")
    assert (run.info.run_name, run.info.status) == (CELL, "FINISHED")
    assert {"accuracy_top1", "train_loss", "val_accuracy"} <= run.data.metrics.keys()


def test_says_where_everything_is(folder, trained):
    told = dict(line.split(": ", 1) for line in trained.stdout.splitlines()[-5:])
    for name in ("model", "scores", "pictures"):
        assert (folder / told[name].strip()).exists()
    assert told["MLflow run"] == f"{CELL}, in the experiment train_acol of {folder}/mlflow.db"


def test_the_command_that_it_names_next_works(folder, trained, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    _, line = trained.stdout.splitlines()[-1].split(": ")
    monkeypatch.setattr(sys, "argv", line.replace("IMAGE...", "drawn/images/keeper drawn/images/*/*7.*").split())
    command.main()
    rows = [json.loads(line) for line in (folder / "predictions/predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 11
    assert capsys.readouterr().out.endswith(
        "11 images: predictions/predictions.jsonl, and the map and overlay of each\n"
    )


def job_of(monkeypatch, *options, images="drawn"):
    """The job of a command line, on its images, as `trained` ran it unless options say otherwise."""
    base = (
        "--model resnet18 --cls-recipe pnp --delta-list 0.9,0.7 --weights none --image-size 64 --batch-size 4 "
        "--lr 0.01 --weight-decay 0.001 --device cpu"
    )
    monkeypatch.setattr(sys, "argv", ["acol train", images, *base.split(), *options])
    params = train_acol.base_settings()
    fractions = {"val_fraction": params.data.val_fraction, "test_fraction": params.data.test_fraction}
    manifest = train_acol.split({"path": images} | fractions).manifest
    return train_acol.with_images(
        train_acol.job_of(train_acol.read_arguments(params), params), manifest, "accuracy"
    ), manifest


def test_an_output_folder_is_never_another_trainings(folder, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "drawn", "drawn")
    shutil.copytree(folder / "out", "one-off", ignore=shutil.ignore_patterns("decoded"))
    one_off = Path("one-off")
    (job, manifest), (other, _) = job_of(monkeypatch, "--epochs", "1"), job_of(monkeypatch, "--epochs", "2")
    summary = one_off / "models" / CELL / "summary.json"
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"key": job.key(1)}))  # that of the training, of the code loaded here
    assert train_acol.output_of(job, manifest, None) == train_acol.output_of(job, manifest, one_off) == one_off
    assert train_acol.output_of(other, manifest, None) == Path("one-off-2")
    with pytest.raises(InputError, match=f"--output one-off: holds a training of {CELL} with other settings"):
        train_acol.output_of(other, manifest, one_off)
    summary.unlink()  # as if it had been killed
    (one_off / ".acol/runs" / f"{CELL}-{job.key(1)[:16]}").mkdir(parents=True)
    assert train_acol.output_of(job, manifest, None) == one_off
    assert train_acol.output_of(other, manifest, None) == Path("one-off-2")
    next(Path("drawn/images").glob("*/*")).unlink()
    job, manifest = job_of(monkeypatch, "--epochs", "1")
    assert train_acol.output_of(job, manifest, None) == Path("one-off-2")
    with pytest.raises(InputError, match="--output one-off: holds a training on other images; name another folder"):
        train_acol.output_of(job, manifest, one_off)


def test_a_batch_is_no_larger_than_the_training_set(folder, trained, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    job, manifest = job_of(monkeypatch, "--batch-size", "999")
    images = len(manifest.of("train"))
    assert job.settings.batch_size == job.parameters["train.batch_size"] == images
    assert capsys.readouterr().err == f"--batch-size 999: only {images} images to train on, so {images}\n"


def test_settings_do_not_depend_on_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    default = load_params(train_acol.DEFAULTS)
    for options, params in ([], default), (["--params", "params.yaml"], load_params()):
        monkeypatch.setattr(sys, "argv", ["acol train", "photos", *options])
        arguments = train_acol.read_arguments(train_acol.base_settings())
        assert (arguments.lr, arguments.image_size) == (params.train.lr, params.image.size)
    assert default.train.lr != params.train.lr


@pytest.mark.parametrize(
    ("options", "recipe"),
    [
        ([], "pp-0.9"),
        (["--cls-recipe", "pnp"], "pnp-0.9-0.9"),
        (["--cls-recipe", "p"], "p"),
        (["--cls-recipe", "pn", "--delta-list", "0.6"], "pn-0.6"),
        (["--cls-recipe", "pp-0.6-conv3"], "pp-0.6-conv3"),
    ],
)
def test_a_recipe_without_deltas_erases_above_0_9(options, recipe, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_acol", "photos", *options])
    assert str(train_acol.head_of(train_acol.read_arguments(load_params(ROOT / "params.yaml")))) == recipe


@pytest.mark.parametrize(
    ("options", "weights", "freeze"),
    [
        ([], "package", "blocks.5"),
        (["--model", "resnet50"], "DEFAULT", "none"),
        (["--model", "resnet50", "--weights", "none", "--freeze", "stem"], "none", "stem"),
    ],
)
def test_weights_and_frozen_part_fit_the_model(options, weights, freeze, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_acol", "photos", *options])
    arguments = train_acol.read_arguments(load_params(train_acol.DEFAULTS))
    assert (arguments.weights, arguments.freeze) == (weights, freeze)
    assert train_acol.settings_from(arguments, load_params(train_acol.DEFAULTS)).freeze == freeze


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cls-recipe", "pp-0.6-s1"], "names a seed; remove it, and set train.seed by --params FILE"),
        (["--cls-recipe", "pq", "--delta-list", "0.9"], "unknown letter 'q'"),
        (["--cls-recipe", "pnp", "--delta-list", "0.9"], "1 deltas for 2 erasing steps"),
        (["--cls-recipe", "pp", "--delta-list", "1.5"], "delta 1.5 is outside (0, 1)"),
        (["--cls-recipe", "p", "--model", "resnet19"], "did you mean resnet18?"),
        (["--cls-recipe", "p", "--model", "resnet18", "--weights", "V7"], "resnet18 has IMAGENET1K_V1, DEFAULT"),
        (["--cls-recipe", "p", "--weights", "none", "--image-path", "nowhere"], "nowhere"),
        (["--image-path", "nowhere", "--freeze", "blocks.9"], "freeze 'blocks.9': no such part"),
        (["--image-path", "nowhere", "--params", "none.yaml"], "none.yaml: no such file"),
        (["drawn/images"], "name one folder of images"),
        (
            ["--image-path", "nowhere", "--model", "inception_v3", "--weights", "none", "--image-size", "64"],
            "--image-size 64: inception_v3 takes 75 pixels or more",
        ),
        (["--cls-recipe", "p", "--epochs", "0"], "--epochs: 0: input should be greater than or equal to 1"),
        (["--cls-recipe", "p", "--model", "resnet18", "--weights", "none", "--device", "gpu"], "device 'gpu'"),
    ],
)
def test_refuses_bad_input_in_one_line(folder, arguments, line, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("ACOL_EVENTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["train_acol", "--image-path", "drawn/images", "--output", "bad", *arguments])
    with pytest.raises(SystemExit) as ended:
        train_acol.main()
    assert ended.value.code == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert line in error
    assert not list((folder / "bad").glob("models/*"))
