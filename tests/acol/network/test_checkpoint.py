from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.head import Conv3Settings
from acol.network.checkpoint import ModelCard, load_model, save_model
from acol.prediction.predictor import Predictor

CARD = ModelCard("resnet18", "pn-0.9", 16, ("cat", "dog", "fox"), Preprocessing(64, 72, std=(0.5, 0.4, 0.3)), "float32")


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    model = ACoL("resnet18", "pn-0.9", 3, output_stride=16)
    save_model(tmp_path / "model.pt", CARD, model.state_dict())
    return tmp_path / "model.pt", model.eval()


def test_comes_back_with_all_that_it_was_trained_with(checkpoint):
    path, model = checkpoint
    loaded, card = load_model(path)
    assert card == CARD
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images).class_maps, model(images).class_maps)
    assert loaded.backbone.stride == 16


@pytest.mark.parametrize("pooling", [True, False])
def test_the_papers_classifier_comes_back_with_its_width_and_pooling(tmp_path, pooling):
    conv3 = Conv3Settings(6, pooling=pooling)
    model = ACoL("resnet18", "pp-0.6", 3, output_stride=16, classifier="conv3", conv3=conv3).eval()
    card = replace(CARD, recipe="pp-0.6", classifier="conv3", pooling=pooling)
    save_model(tmp_path / "model.pt", card, model.state_dict())
    loaded, card = load_model(tmp_path / "model.pt")
    assert (card.classifier, loaded.classifiers[0][1].out_channels) == ("conv3", 6)
    features = torch.randn(1, 512, 4, 4)
    torch.testing.assert_close(loaded.classify(features).class_maps, model.classify(features).class_maps)


def test_equal_models_are_equal_bytes(checkpoint, tmp_path):
    path, model = checkpoint
    save_model(tmp_path / "elsewhere.pt", CARD, model.state_dict())
    assert path.read_bytes() == (tmp_path / "elsewhere.pt").read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[:-200], lambda b: b"", lambda b: b"x" * 100])
def test_refuses_a_damaged_file(checkpoint, damage):
    path, _ = checkpoint
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"model\.pt: damaged or not a checkpoint"):
        load_model(path)


def test_refuses_another_file(tmp_path):
    torch.save({"weights": {}}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        load_model(tmp_path / "model.pt")


def test_names_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "model.pt")


def test_predicts_images_of_any_size_in_their_own_pixels(checkpoint):
    predictor = Predictor.load(checkpoint[0], tau=0.5)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, size, dtype=np.uint8) for size in ((50, 80, 3), (64, 64, 3))]
    predictions = predictor.predict([Image.fromarray(arrays[0]), arrays[1]])
    for array, prediction in zip(arrays, predictions, strict=True):
        x0, y0, x1, y1 = prediction.box
        assert 0 <= x0 < x1 <= array.shape[1]
        assert 0 <= y0 < y1 <= array.shape[0]
        assert prediction.map.shape == array.shape[:2]
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        assert prediction.probabilities[prediction.label] == prediction.probability
        assert prediction.probability == max(prediction.probabilities.values())


def test_an_images_prediction_does_not_depend_on_its_company(checkpoint):
    predictor = Predictor.load(checkpoint[0])
    images = [np.full((40, 40, 3), shade, np.uint8) for shade in (30, 200)]
    together, alone = predictor.predict(images)[1], predictor.predict(images[1:])[0]
    assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-4)


def test_a_flipped_bit_in_the_weights_is_found(checkpoint):
    path, _ = checkpoint
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: damaged or not a checkpoint \(the checksum of .* differs\)"):
        load_model(path)


def test_a_message_never_advises_to_run_the_files_code(tmp_path):
    torch.save({"card": Image.new("L", (1, 1))}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"\(it also holds an object of PIL\.Image\.Image") as error:
        load_model(tmp_path / "model.pt")
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": 3},
        {"backbone": "resnet19"},
        {"recipe": None},
        {"classes": "abc"},
        {"classes": ("cat", "cat", "fox")},
        {"precision": "int4"},
        {"preprocessing": {"size": 64, "train_size": 72, "std": (1.0, 0.0, 1.0)}},
        {"preprocessing": {"size": "64", "train_size": 72}},
    ],
)
def test_a_card_that_describes_no_model_is_refused_with_the_files_name(tmp_path, changes):
    torch.save({"card": asdict(CARD) | changes, "weights": {}}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: not a checkpoint of this version \("):
        load_model(tmp_path / "model.pt")


def test_weights_that_are_not_finite_are_refused(checkpoint, tmp_path):
    _, model = checkpoint
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    weights["classifiers.0.bias"][1] = float("nan")
    save_model(tmp_path / "nan.pt", CARD, weights)
    with pytest.raises(InputError, match=r"nan\.pt: not a checkpoint of this version \(weights that are not finite"):
        load_model(tmp_path / "nan.pt")


LITE0 = "timm/tf_efficientnet_lite0"


def test_the_origin_of_the_weights_travels(tmp_path):
    model = ACoL(LITE0, "p", 3, weights="package")
    card = ModelCard(LITE0, "p", 32, ("a", "b", "c"), Preprocessing(64, 72), "float32", model.backbone.provenance)
    save_model(tmp_path / "model.pt", card, model.state_dict())
    loaded, read = load_model(tmp_path / "model.pt")
    assert read == card
    assert loaded.backbone.provenance == model.backbone.provenance
    assert loaded.backbone.provenance.licence == "Apache-2.0"
