"""Training one model by the command line of `acol train` and of the founding script, and predicting with it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from acol.errors import Faults, InputError
from examples.footballers.draw import draw_footballers
from pipeline import command, split, train_acol
from pipeline.params import Params, load_params
from pipeline.strict_yaml import DEFAULTS, parse_settings

ROOT = Path(__file__).parents[2]
CELL = "resnet18-pnp-0.9-0.7"
OPTIONS = (
    "--model resnet18 --cls-recipe pnp --delta-list 0.9,0.7 --weights none --image-size 64 --batch-size 4 "
    "--lr 0.01 --weight-decay 0.001 --device cpu --epochs 1"
)


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
        [Path(sys.executable).with_name("acol"), "train", "drawn", *OPTIONS.split(), "--output", "out"],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
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
    lines = dict(line.split(": ", 1) for line in trained.stdout.splitlines()[-6:])
    for name in ("model", "scores", "pictures", "report"):
        assert (folder / lines[name].strip()).exists()
    assert lines["MLflow run"] == f"{CELL}, in the experiment train_acol of {folder}/mlflow.db"


def test_it_speaks_of_each_step_and_ends_with_a_sentence_and_each_class(trained):
    lines = trained.stdout.splitlines()
    assert lines[0] == "reading the images in drawn"
    steps = [line.split(": ")[1] for line in lines if line.startswith("step ")]
    assert steps == ["pretrained", "untrained", "train", "evaluate", "cams", "compare"]
    assert any(line.startswith(f"Best cell: {CELL}, MaxBoxAccV2 ") for line in lines)
    head, *rows = lines[-11:-6]
    assert head.split("  ")[0] == "class"
    assert [row.split()[:2] for row in rows] == [[name, "2"] for name in ("hoops", "keeper", "mohawk", "stripes")]


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


def asked(monkeypatch, *options, folder="photos"):
    """The content of params.yaml by a command line."""
    monkeypatch.setattr(sys, "argv", ["acol train", folder, *options])
    return train_acol.content_of(train_acol.read_arguments())


def test_an_output_folder_is_never_another_trainings(folder, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "out", "one-off", ignore=shutil.ignore_patterns("decoded"))
    ours = asked(monkeypatch, *OPTIONS.split(), folder=str(folder / "drawn"))
    other = asked(monkeypatch, *OPTIONS.split(), "--epochs", "2", folder=str(folder / "drawn"))
    manifest, one_off = split.read(ours["data"]).manifest, Path("one-off")
    assert train_acol.output_of(ours, manifest, None) == train_acol.output_of(ours, manifest, one_off) == one_off
    assert train_acol.output_of(other, manifest, None) == Path("one-off-2")
    # Another one that starts now finds that folder taken, before the first has written anything there.
    assert train_acol.output_of(other, manifest, None) == Path("one-off-3")
    with pytest.raises(InputError, match="--output one-off: holds a training with other settings; name another"):
        train_acol.output_of(other, manifest, one_off)
    fewer = replace(manifest, images=manifest.images[1:])
    assert train_acol.output_of(ours, fewer, None) == Path("one-off-4")
    with pytest.raises(InputError, match="--output one-off: holds a training on other images; name another folder"):
        train_acol.output_of(ours, fewer, one_off)


def test_settings_do_not_depend_on_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    default = load_params(DEFAULTS)
    for options, params in ([], default), (["--params", "params.yaml"], load_params()):
        parsed = parse_settings(Params, asked(monkeypatch, *options))
        assert (parsed.train, parsed.image, parsed.evaluate) == (params.train, params.image, params.evaluate)
    assert default.train.lr != params.train.lr


def test_where_boxes_and_masks_are_can_be_said(monkeypatch):
    data = parse_settings(Params, asked(monkeypatch, "--annotations", "voc:boxes", "--masks", "m", "--seed", "7")).data
    assert (data.annotations.format, data.annotations.path, data.masks) == ("voc", "boxes", "m")
    with pytest.raises(Faults, match="' ' is blank or holds control characters"):
        train_acol.check_settings(asked(monkeypatch, "--masks", " "))


def test_what_must_fit_an_option_goes_with_it(monkeypatch):
    params = parse_settings(Params, asked(monkeypatch, "--lr", "1e-3", "--image-size", "1024"))
    default = load_params(DEFAULTS)
    assert params.train.classifier_lr / params.train.lr == default.train.classifier_lr / default.train.lr
    assert params.image.train_size == round(1024 / default.image.size * default.image.train_size)


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
    assert asked(monkeypatch, *options)["grid"]["heads"] == [recipe]


@pytest.mark.parametrize(
    ("options", "source", "freeze"),
    [
        ([], {"source": "package"}, "blocks.5"),
        (["--model", "resnet50"], {"source": "torchvision", "weights": "DEFAULT"}, "none"),
        (["--model", "timm/test_vit"], {"source": "timm", "weights": "DEFAULT"}, "none"),
        (["--model", "resnet50", "--weights", "none", "--freeze", "stem"], {"source": "none"}, "stem"),
    ],
)
def test_weights_and_frozen_part_fit_the_model(options, source, freeze, monkeypatch):
    content = asked(monkeypatch, *options)
    (entry,) = content["backbones"].values()
    assert entry.pop("model") in [*options, "timm/tf_efficientnet_lite0"]
    assert (entry, content["train"]["freeze"]) == (source, freeze)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cls-recipe", "pq", "--delta-list", "0.9"], "unknown letter 'q'"),
        (["--cls-recipe", "pnp", "--delta-list", "0.9"], "1 deltas for 2 erasing steps"),
        (["--cls-recipe", "pp", "--delta-list", "1.5"], "delta 1.5 is outside (0, 1)"),
        (["--cls-recipe", "p", "--model", "resnet19"], "did you mean resnet18?"),
        (["--cls-recipe", "p", "--model", "resnet18", "--weights", "V7"], "resnet18 has IMAGENET1K_V1, DEFAULT"),
        (["--cls-recipe", "p", "--weights", "none", "--image-path", "nowhere"], "nowhere"),
        (["--image-path", "nowhere", "--freeze", "blocks.9"], "freeze 'blocks.9': no such part"),
        (["--image-path", "nowhere", "--params", "none.yaml"], "none.yaml: no such file; correct the path"),
        (["drawn/images"], "name one folder of images"),
        (["--output", "drawn/images/new"], "--output drawn/images/new: lies in drawn/images"),
        (
            ["--model", "inception_v3", "--weights", "none", "--image-size", "64", "--output-stride", "32"],
            "--image-size: inception_v3 would see images of 64 pixels, but inception_v3 takes 75 pixels or more",
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
