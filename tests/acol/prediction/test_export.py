"""An exported model gives our own outputs, for any number and size of images."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from acol import ACoL
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.fusion import combine, upsample
from acol.localization.inference import run_split
from acol.metrics.calibration import Calibration
from acol.network.checkpoint import ModelCard
from acol.prediction.export import ExportedModel, SameConvolution, export
from acol.prediction.predictor import Predictor

ROOT = Path(__file__).parents[3]
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return of("timm/test_efficientnet.r160_in1k")


def of(backbone: str) -> Predictor:
    torch.manual_seed(0)
    model = ACoL(backbone, "pp-0.6", 3, output_stride=16).eval()
    preprocessing = Preprocessing(64, 72, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    card = ModelCard(backbone, "pp-0.6", 16, CLASSES, preprocessing, "float32")
    return Predictor(model, card, 0.4, (1.0,), torch.device("cpu"), Calibration(1.5, 0.7, 8))


def with_map(predictor: Predictor, name: str) -> Predictor:
    return Predictor(
        predictor.model, predictor.card, 0.4, (1.0,), predictor.device, predictor.calibration, map_name=name
    )


@pytest.mark.parametrize(("form", "vit"), [("onnx", False), ("torch", False), ("onnx", True)])
def test_the_map_that_is_scored_is_exported(form: str, vit: bool, predictor: Predictor, tmp_path: Path) -> None:
    file, name = tmp_path / "model", "cam+early+middle+late"
    predictor = of("timm/test_vit") if vit else predictor
    export(with_map(predictor, name), file, form)
    for count, size in ((1, 64), (3, 96)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)
        view = LabelledImages(pixels, np.zeros(count, np.int64), ["a"] * count)
        preprocessing = predictor.card.preprocessing
        scored = run_split(
            predictor.model, [view], preprocessing, device=predictor.device, precision="float32", batch_size=2
        )
        wanted = combine(scored.sources(predictor.model.recipe, predicted=True), name)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        if form == "onnx":
            maps = onnxruntime.InferenceSession(str(file)).run(["map"], {"images": images.numpy()})[0]
        else:
            maps = torch.export.load(file).module()(images)[1].detach().numpy()
        np.testing.assert_allclose(maps, upsample(wanted, (size, size)).numpy(), atol=1e-4)


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_outputs_are_ours_for_other_batches_and_sizes(form: str, predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "model"
    export(predictor, file, form)
    for shape in ((1, 3, 64, 64), (3, 3, 96, 128)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            view = (images - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
            ours = predictor.model(view)
            softmax = (ours.logits[0] / 1.5).softmax(1).numpy()
            share = (0.7 - 1 / 3) / (1 - 1 / 3)
            wanted = share * softmax + (1 - share) / 3  # so that 1 would become 0.7
            if form == "onnx":
                outputs = onnxruntime.InferenceSession(str(file)).run(None, {"images": images.numpy()})
            else:
                outputs = [out.numpy() for out in torch.export.load(file).module()(images)]
        np.testing.assert_allclose(outputs[0], wanted, atol=1e-4)
        assert outputs[1].shape == (shape[0], *shape[2:])
        coarse = torch.nn.functional.interpolate(
            ours.cams.amax(0).unsqueeze(1), size=shape[2:], mode="bilinear", align_corners=False
        ).squeeze(1)
        np.testing.assert_allclose(outputs[1], coarse.clamp(0, 1).numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["cam", "cam+early+middle+late"])
def test_opencv_reads_a_file_for_one_image(predictor: Predictor, tmp_path: Path, name: str) -> None:
    predictor = with_map(predictor, name)
    file = tmp_path / "model.onnx"
    export(predictor, file, "onnx", fixed=True)
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    net = cv2.dnn.readNetFromONNX(str(file))
    net.setInput(image)
    probabilities, maps = net.forward(["probabilities", "map"])
    wanted = onnxruntime.InferenceSession(str(file)).run(None, {"images": image})
    np.testing.assert_allclose(probabilities, wanted[0], atol=1e-4)
    np.testing.assert_allclose(maps, wanted[1], atol=1e-4)
    with torch.inference_mode():
        ours = ExportedModel(predictor)(torch.from_numpy(image))
    np.testing.assert_allclose(wanted[1], ours[1].numpy(), atol=1e-4)


def test_the_example_without_our_package(predictor: Predictor, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    export(predictor, Path("model.onnx"), "onnx")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save("photo.jpg")
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
    exec(example, {})
    name, box = capsys.readouterr().out.splitlines()
    assert name.split()[0] in CLASSES
    assert box.startswith("box: ")
    session = onnxruntime.InferenceSession("model.onnx")
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert (facts["classes"], facts["size"], facts["threshold"]) == ([*CLASSES], 64, 0.4)
    assert facts["calibration"] == {"temperature": 1.5, "most": 0.7, "images": 8, "calibrated": False}


@pytest.mark.parametrize(("stride", "dilation", "side"), [(2, 1, 8), (1, 2, 9), (1, 1, 7), (4, 1, 12)])
def test_the_constant_padding_is_timms(stride: int, dilation: int, side: int) -> None:
    from timm.layers import Conv2dSame

    convolution = Conv2dSame(2, 3, kernel_size=3, stride=stride, dilation=dilation)
    features = torch.rand(1, 2, side, 2 * side)
    torch.testing.assert_close(SameConvolution(convolution)(features), convolution(features))


def test_the_model_itself_is_left_as_it_is(predictor: Predictor) -> None:
    before = str(predictor.model)
    ExportedModel(predictor)
    assert str(predictor.model) == before
