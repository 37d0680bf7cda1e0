import numpy as np
import pytest
import torch

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.network.backbones import build_backbone
from acol.training.frozen import VIEWS, FrozenTrunk
from acol.training.loop import Training
from acol.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("name", "stem", "layer3"),
    [
        ("resnet18", "maxpool", "layer3.1"),
        ("resnet50", "maxpool", "layer3.5"),
        ("convnext_tiny", "features.0.0", "features.6.0"),
        ("regnet_y_400mf", "trunk_output.block1.block1-0", "trunk_output.block3.block3-5"),
    ],
)
@pytest.mark.parametrize("output_stride", [32, 16])
def test_parts_of_a_trunk_end_where_its_stages_do(name, stem, layer3, output_stride):
    trunk = build_backbone(name, output_stride=output_stride)
    for freeze, last in (("stem", stem), ("layer3", layer3)):
        assert trunk.pieces[trunk.frozen_pieces(freeze) - 1] is trunk.get_submodule(last)
    assert trunk.frozen_pieces("none") == 0
    assert trunk.frozen_pieces("all") == len(trunk.pieces)


def test_pieces_are_the_trunk():
    trunk = build_backbone("resnet18").eval()
    images = torch.randn(2, 3, 64, 64)
    features = images
    for piece in trunk.pieces[:7]:
        features = piece(features)
    torch.testing.assert_close(trunk(features, 7), trunk(images))


@pytest.fixture
def frozen_training(easy_images, tmp_path):
    """A training whose trunk is frozen up to its last stage."""

    def make(freeze="layer3", epochs=3, precision="float32"):
        torch.manual_seed(7)
        model, preprocessing, cpu = (
            ACoL("shufflenet_v2_x0_5", "pn-0.6", 3),
            Preprocessing(32, 40),
            torch.device("cpu"),
        )
        pieces = model.backbone.frozen_pieces(freeze)
        frozen = FrozenTrunk(model, pieces, preprocessing, cpu, precision, tmp_path, seed=5)
        return Training(
            model=model,
            train=easy_images(24, 40, 0),
            val=easy_images(9, 32, 1),
            preprocessing=preprocessing,
            settings=TrainingSettings(epochs, 6, 0.01, 0.02),
            device=cpu,
            precision=precision,
            frozen=frozen,
        )

    return make


@pytest.mark.parametrize("freeze", ["stem", "layer3", "all"])
def test_what_is_frozen_stays_and_the_rest_learns(frozen_training, freeze):
    training = frozen_training(freeze)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    list(training.epochs())
    pieces = training.model.backbone.pieces
    kept = {
        id(value) for piece in pieces[: training.frozen.pieces] for value in piece.state_dict(keep_vars=True).values()
    }
    for name, value in training.model.state_dict(keep_vars=True).items():
        assert torch.equal(value, before[name]) == (id(value) in kept), name


def test_validation_is_that_of_the_whole_network(frozen_training):
    training = frozen_training()
    (*_, last) = training.epochs()
    whole = Training(
        training.model,
        training.train,
        training.val,
        training.preprocessing,
        training.settings,
        training.device,
        "float32",
    )
    seen = whole.validate()
    assert last.val.losses == pytest.approx(seen.losses, rel=1e-5)
    assert last.val.accuracy == seen.accuracy


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_each_image_and_view_is_computed_once(frozen_training, tmp_path, precision):
    list(frozen_training(epochs=VIEWS + 2, precision=precision).epochs())
    arrays = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(arrays) == VIEWS + 1  # and the validation images
    again = frozen_training(epochs=VIEWS + 2, precision=precision)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")} == arrays
    features, labels = again._train_feeds[0].images.batch(np.array([3, 1]))
    assert features.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    assert labels.tolist() == [0, 1]


def test_other_weights_make_other_features(frozen_training, tmp_path):
    first = frozen_training()
    with torch.no_grad():
        first.model.backbone.pieces[0].weight.mul_(2)
    first.frozen.view(first.val)
    assert len(list(tmp_path.glob("*.npy"))) == 3 + 2
