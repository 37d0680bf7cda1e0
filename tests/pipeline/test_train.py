"""What makes two trainings the same job, so that one may go on where the other was stopped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from acol.head import Conv3Settings, Head
from acol.network.backbones import ImageNetClassifier
from acol.network.checkpoint import load_model
from acol.training.settings import TrainingSettings
from pipeline.params import load_params, part_of
from pipeline.train import boxes_of, fit
from tests.faults.tiny import job_on, write_images

ROOT = Path(__file__).parents[2]


def test_a_job_is_another_with_other_classifiers_to_start_from(tmp_path):
    write_images(tmp_path)
    job = job_on(tmp_path)
    starts = [None, *(ImageNetClassifier(torch.full((1000, 4), value), torch.zeros(1000)) for value in (0.0, 0.1, 0.1))]
    keys = [replace(job, classifier=start).key(1) for start in starts]
    assert keys[0] == job.key(1)
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3


def test_boxes_choose_the_epoch_only_if_every_validation_image_has_them(tmp_path, capsys):
    write_images(tmp_path / "images")
    job = job_on(tmp_path / "images")
    boxed = tuple(replace(image, boxes=((0.0, 0.0, 20.0, 20.0),)) for image in job.manifest.of("val"))
    assert boxes_of(boxed, "cell", "accuracy") == ()
    assert boxes_of(boxed, "cell", "localization") == boxed
    assert capsys.readouterr().err == ""
    assert boxes_of((*boxed[1:], replace(boxed[0], boxes=None)), "cell", "localization") == ()
    assert "cell: not all validation images have boxes, so accuracy chooses the epoch" in capsys.readouterr().err

    chosen = replace(job, boxes=boxed)
    assert chosen.key(1) != job.key(1)
    for name, each in (("localization", chosen), ("accuracy", job)):
        folder = tmp_path / name
        fit(each, folder / "model", folder / "timing.csv", folder / "runs", folder / "cache")
        summary = json.loads((folder / "model/summary.json").read_text())
        history = pd.read_csv(folder / "model/history.csv")
        assert summary["best_by"] == name
        assert ("val_max_box_acc_v2" in history) == (name == "localization")
        kept = np.load(folder / "model/val_maps.npz")
        assert kept["paths"].tolist() == [image.path for image in boxed]
        assert kept["maps"].shape[:2] == (3, len(boxed))
    scores = pd.read_csv(tmp_path / "localization/model/history.csv")["val_max_box_acc_v2"]
    assert summary["best_epoch"] in (1, 2, 3)
    best = json.loads((tmp_path / "localization/model/summary.json").read_text())["best_epoch"]
    assert scores[best - 1] == scores.max()


def test_what_is_trained_already_is_not_trained_again(tmp_path, capsys):
    write_images(tmp_path / "images")
    job = job_on(tmp_path / "images")
    once = replace(job, settings=replace(job.settings, epochs=1))
    folders = [tmp_path / name for name in ("model", "timing.csv", "runs", "cache")]
    for settings, line in ((once, "epoch 1"), (once, "is trained already"), (job, "epoch 3")):
        if "already" in line:  # a kill between the outputs and the removal of the states left these
            shutil.copytree(tmp_path / "cache", tmp_path / "runs" / f"{job.cell}-{'0' * 16}")
        fit(settings, *folders)
        assert line in capsys.readouterr().out.splitlines()[-1]
        assert not [*(tmp_path / "runs").iterdir()]


@pytest.mark.parametrize("text", ["p-has", "p-cutmix", "pn-0.6-adl", "pp-0.6-conv3"])
def test_every_kind_of_head_is_trained_and_comes_back(tmp_path, text):
    write_images(tmp_path / "images")
    head = Head.parse(text)
    job = job_on(tmp_path / "images")
    train = load_params(ROOT / "params.yaml").train
    changes = {"epochs": 1, "batch_size": 6, "freeze": "all but the last stage", "conv3": Conv3Settings(width=8)}
    fit(
        replace(job, head=head, settings=part_of(TrainingSettings, train, seed=3, **changes)),
        tmp_path / "model",
        tmp_path / "timing.csv",
        tmp_path / "runs",
        tmp_path / "cache",
    )
    summary = json.loads((tmp_path / "model/summary.json").read_text())
    assert (summary["head"], summary["classifier"], summary["method"]) == (text, head.classifier, head.method)
    model, card = load_model(tmp_path / "model/best.pt")
    assert (card.recipe, card.classifier) == (str(head.recipe), head.classifier)
    assert card.pooling == isinstance(model.pooling, torch.nn.AvgPool2d) == (head.classifier == "conv3")
    assert torch.isfinite(model(torch.zeros(1, 3, 32, 32)).logits).all()
