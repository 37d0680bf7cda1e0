from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from acol import ACoL
from acol.data.images import resize
from acol.data.loading import LabelledImages
from acol.data.manifest import Image
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.localization.choice import Choice
from acol.localization.evaluation import evaluate
from acol.localization.fusion import upsample
from acol.localization.inference import run_split
from acol.network.checkpoint import ModelCard
from acol.prediction.predictor import BATCH, Predictor

CLASSES = ("a", "b", "c")
CPU = torch.device("cpu")
SIZES = [(300, 180), (64, 64), (90, 260)]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = ACoL("resnet18", "pp-0.6", 3, output_stride=16).eval()
    card = ModelCard("resnet18", "pp-0.6", 16, CLASSES, Preprocessing(64, 72), "float32")
    return Predictor(model, card, 0.4, (1.0,), CPU)


@pytest.fixture(scope="module")
def features_and_norms(predictor):
    return Predictor(predictor.model, predictor.card, 0.4, (1.0, 1.5), CPU, map_name="cam+early+middle+late")


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    model = ACoL("timm/test_vit", "pp-0.6", 3, output_stride=16).eval()
    card = ModelCard("timm/test_vit", "pp-0.6", 16, CLASSES, Preprocessing(64, 72), "float32")
    return Predictor(model, card, 0.4, (1.0, 1.5), CPU, map_name="cam+0.25late+0.25norm")


def photographs():
    rng = np.random.default_rng(0)
    return [Picture.fromarray(rng.integers(0, 255, (h // 9, w // 9, 3), np.uint8)).resize((w, h)) for w, h in SIZES]


@pytest.mark.parametrize("name", ["predictor", "features_and_norms", "vit"])
def test_the_box_that_users_get_is_the_box_that_is_scored(name, request):
    predictor = request.getfixturevalue(name)
    pictures = photographs()
    predictions = predictor.predict(pictures)
    labels = [prediction.label for prediction in predictions]
    indices = np.array([CLASSES.index(label) for label in labels])
    sizes = [round(scale * 64) for scale in predictor.scales]
    views = [LabelledImages(np.stack([resize(each, size) for each in pictures]), indices, labels) for size in sizes]
    outputs = run_split(
        predictor.model, views, predictor.card.preprocessing, device=CPU, precision="float32", batch_size=1
    )
    images = [
        Image(f"{n}.png", label, "test", str(n), *size)
        for n, (label, size) in enumerate(zip(labels, SIZES, strict=True))
    ]
    settings = {"fixed_tau": 0.4, "validation": None, "faithful": {}, "resamples": 10, "seed": 0}
    choice = Choice(predictor.map_name, "setting")
    scores = evaluate(outputs, images, CLASSES, predictor.model.recipe, Path(), choice=choice, **settings)
    for prediction, (_, row), scored in zip(predictions, scores.images.iterrows(), scores.maps["map"], strict=True):
        own = upsample(torch.from_numpy(scored)[None], prediction.map.shape)[0].numpy()
        np.testing.assert_allclose(prediction.map, own, atol=1e-4)
        assert row["predicted"] == prediction.label
        np.testing.assert_allclose(row[["x0", "y0", "x1", "y1"]].astype(float), prediction.box, atol=0.01)


def test_a_prediction_is_of_the_images_own_size(predictor):
    for prediction, (width, height) in zip(predictor.predict(photographs()), SIZES, strict=True):
        x0, y0, x1, y1 = prediction.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert prediction.map.shape == (height, width)
        assert prediction.map.min() >= 0
        assert prediction.map.max() <= 1
        assert prediction.probability == max(prediction.probabilities.values())
        assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_a_known_class_is_what_is_looked_for(predictor):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    (free,) = predictor.predict([image])
    other = min({*CLASSES} - {free.label})
    same, another = predictor.predict([image, image], [free.label, other])
    assert (same.label, same.box) == (free.label, free.box)
    assert (another.label, another.probability) == (other, free.probabilities[other])
    assert np.abs(another.map - free.map).max() > 0.1
    with pytest.raises(InputError, match="label 'nobody': no class of the model"):
        predictor.predict([image], ["nobody"])


@pytest.mark.parametrize("name", ["predictor", "vit"])
def test_an_image_has_the_same_prediction_alone_and_in_a_batch(name, request):
    predictor = request.getfixturevalue(name)
    images, labels = photographs() * 6, ["c", None] * 9
    assert len(images) > BATCH
    alone = [predictor.predict([image], [label])[0] for image, label in zip(images[:6], labels[:6], strict=True)]
    for prediction, wanted in zip(predictor.predict(iter(images), labels), alone * 3, strict=True):
        assert (prediction.label, prediction.size) == (wanted.label, wanted.size)
        assert prediction.probabilities == pytest.approx(wanted.probabilities, abs=1e-4)
        np.testing.assert_allclose(prediction.map, wanted.map, atol=1e-4)
        np.testing.assert_allclose(prediction.box, wanted.box, atol=0.01)
