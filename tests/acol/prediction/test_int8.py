"""A model in 8-bit integers is written if it loses little, and only then."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from acol.data.loading import LabelledImages
from acol.data.manifest import Image
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.network.checkpoint import ModelCard
from acol.prediction.export import export
from acol.prediction.int8 import write_int8
from acol.prediction.predictor import Predictor
from tests.toy import toy_model


def exported(folder: Path, outlier: float) -> Path:
    """Write a network of random weights of which a feature that nothing reads is `outlier` times as large."""
    torch.manual_seed(0)
    model = toy_model("p", 3).eval()
    with torch.no_grad():
        model.backbone.features[1].weight[0] *= outlier
        model.classifiers[0].weight[:, 0] = 0
    card = ModelCard("squeezenet1_1", "p", 16, ("a", "b", "c"), Preprocessing(64, 72), "float32")
    export(Predictor(model, card, 0.4, (1.0,), torch.device("cpu")), folder / "float.onnx", "onnx")
    return folder / "float.onnx"


def as_named(file: Path, images: LabelledImages) -> LabelledImages:
    """Label images as the file does, so that it is right everywhere."""
    pixels = images.pixels.transpose(0, 3, 1, 2).astype("float32") / 255
    probabilities = onnxruntime.InferenceSession(str(file)).run(["probabilities"], {"images": pixels})[0]
    return replace(images, labels=probabilities.argmax(1))


@pytest.mark.parametrize(
    ("outlier", "count", "boxes", "refused_for"),
    [
        (1, 200, None, None),
        (1, 200, ((8.0, 8.0, 40.0, 40.0),), None),
        (1, 20, None, "3 of accuracy"),  # too few to show that little is lost
        (10_000, 200, None, "10 of 1 - IoU"),
    ],
)
def test_little_must_be_lost(
    outlier: float, count: int, boxes, refused_for: str | None, tmp_path: Path, easy_images: Callable
) -> None:
    float_file, int8_file = exported(tmp_path, outlier), tmp_path / "int8.onnx"
    train, val = easy_images(20, 64, 0), as_named(float_file, easy_images(count, 64, 1))
    truth = [Image(name, "a", "val", "", 64, 64, boxes) for name in val.names]
    if refused_for is not None:
        with pytest.raises(InputError, match=refused_for) as refused:
            write_int8(float_file, int8_file, train, val, truth)
        assert f"points lost on {count} validation images" in str(refused.value)
        assert "\n" not in str(refused.value)
        assert not int8_file.exists()
        return
    summary = write_int8(float_file, int8_file, train, val, truth)
    assert ("MaxBoxAccV2" in summary) == (boxes is not None)
    facts = onnxruntime.InferenceSession(str(int8_file)).get_modelmeta().custom_metadata_map
    before = onnxruntime.InferenceSession(str(float_file)).get_modelmeta().custom_metadata_map
    assert {key: facts[key] for key in before} == before
    assert json.loads(facts["int8"])["images"] == count
    assert int8_file.stat().st_size < 0.6 * float_file.stat().st_size
