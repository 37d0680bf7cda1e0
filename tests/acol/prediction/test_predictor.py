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
from acol.localization.inference import run_split
from acol.localization.scores import evaluate
from acol.network.checkpoint import ModelCard
from acol.prediction.predictor import Predictor

CLASSES = ("a", "b", "c")
CPU = torch.device("cpu")
SIZES = [(300, 180), (64, 64), (90, 260)]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = ACoL("resnet18", "pp-0.6", 3, output_stride=16).eval()
    card = ModelCard("resnet18", "pp-0.6", 16, CLASSES, Preprocessing(64, 72), "float32")
    return Predictor(model, card, 0.4, (1.0,), CPU)


def photographs():
    rng = np.random.default_rng(0)
    return [Picture.fromarray(rng.integers(0, 255, (h // 9, w // 9, 3), np.uint8)).resize((w, h)) for w, h in SIZES]


def test_the_box_that_users_get_is_the_box_that_is_scored(predictor):
    pictures = photographs()
    predictions = predictor.predict(pictures)
    labels = [found.label for found in predictions]
    pixels = np.stack([resize(picture, 64) for picture in pictures])
    view = LabelledImages(pixels, np.array([CLASSES.index(label) for label in labels]), labels)
    outputs = run_split(
        predictor.model, [view], predictor.card.preprocessing, device=CPU, precision="float32", batch_size=1
    )
    images = [
        Image(f"{n}.png", label, "test", str(n), *size)
        for n, (label, size) in enumerate(zip(labels, SIZES, strict=True))
    ]
    settings = {"fixed_tau": 0.4, "validation": None, "faithful": {}, "resamples": 10, "seed": 0}
    rows = evaluate(outputs, images, CLASSES, predictor.model.recipe, Path(), **settings).images
    for found, (_, row) in zip(predictions, rows.iterrows(), strict=True):
        assert row["predicted"] == found.label
        np.testing.assert_allclose(row[["x0", "y0", "x1", "y1"]].astype(float), found.box, atol=0.01)


def test_a_prediction_is_of_the_images_own_size(predictor):
    for found, (width, height) in zip(predictor.predict(photographs()), SIZES, strict=True):
        x0, y0, x1, y1 = found.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert found.map.shape == (height, width)
        assert found.map.min() >= 0
        assert found.map.max() <= 1
        assert found.probability == max(found.probabilities.values())
        assert sum(found.probabilities.values()) == pytest.approx(1)
