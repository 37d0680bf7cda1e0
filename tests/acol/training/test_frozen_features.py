import numpy as np
import pytest
import torch

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.network.backbones import build_backbone
from acol.training.frozen_features import VIEWS
from acol.training.loop import Training
from acol.training.settings import TrainingSettings
from acol.training.validation import validate

LAST = "all but the last stage"


@pytest.mark.parametrize(
    ("name", "stem", "last"),
    [
        ("resnet18", "layer1.0", "layer4.0"),
        ("resnet50", "layer1.0", "layer4.0"),
        ("vgg11_bn", "features.8", "features.21"),
        ("convnext_tiny", "features.0.1", "features.6.1"),
        ("regnet_y_400mf", "trunk_output.block2.block2-0", "trunk_output.block4.block4-0"),
        ("timm/tf_efficientnet_lite0", "trunk.blocks.1.1", "trunk.blocks.5.0"),
        ("timm/test_vit", "trunk.pos_drop", "trunk.blocks.4"),
        ("timm/test_convnext", "trunk.stem.1", "trunk.stages.3"),
    ],
)
def test_training_starts_where_a_stage_does(name, stem, last):
    trunk = build_backbone(name, output_stride=16)  # dilated, where its own stride is 32
    for word, first in (("stem", stem), (LAST, last)):
        assert trunk.pieces.names[trunk.freeze(word)] == first
    assert trunk.freeze("none") == 0
    assert trunk.freeze("all") == len(trunk.pieces.names)


def test_a_module_means_itself_and_all_before_it():
    resnet, efficientnet = build_backbone("resnet18"), build_backbone("timm/test_efficientnet")
    for trunk, word, first in (
        (resnet, "layer3", "layer4.0"),
        (resnet, "layer4.0", "layer4.1"),
        (efficientnet, "blocks.2", "trunk.blocks.3.0"),
    ):
        assert trunk.pieces.names[trunk.freeze(word)] == first
    with pytest.raises(InputError, match="freeze 'layer5': no such part; choose one of none, stem"):
        resnet.freeze("layer5")


@pytest.mark.parametrize(
    "name",
    ["resnet18", "timm/test_efficientnet", "timm/test_vit", "timm/test_mambaout", "timm/test_maxvit"],
    ids=["torchvision", "cnn", "tokens", "channels last", "one size"],
)
def test_going_on_from_what_is_frozen_gives_the_trunks_features(name):
    trunk = build_backbone(name).eval()
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        features = trunk(images)
        for word in ("stem", LAST, "all"):
            start = trunk.freeze(word)
            assert start
            torch.testing.assert_close(trunk(trunk.forward_until(images, start), start), features)


def test_a_frozen_part_that_cannot_be_left_out_stays_as_it_is():
    trunk = build_backbone("timm/eva02_tiny_patch14_224")
    assert trunk.freeze(LAST) == 0  # each of its blocks is told the positions
    trunk.train()
    trunk(torch.randn(1, 3, 56, 56)).sum().backward()
    block = {
        name.split(".")[2] for name, value in trunk.named_parameters() if "blocks" in name and value.grad is not None
    }
    assert block == {"9", "10", "11"}
    assert not trunk.get_submodule("trunk.blocks.0").training
    assert trunk.get_submodule("trunk.blocks.11").training


@pytest.fixture
def frozen_training(easy_images, tmp_path):
    """A training whose backbone is frozen up to its last stage."""

    def make(freeze=LAST, epochs=3, precision="float32", backbone="shufflenet_v2_x0_5", seed=7):
        torch.manual_seed(seed)
        model, preprocessing, cpu = (
            ACoL(backbone, "pn-0.6", 3),
            Preprocessing(32, 40),
            torch.device("cpu"),
        )
        return Training(
            model=model,
            train=easy_images(24, 40, 0),
            val=easy_images(9, 32, 1),
            preprocessing=preprocessing,
            settings=TrainingSettings(epochs, 6, 0.01, 0.02, "sgd", weight_decay=1e-4, warmup=0.25, freeze=freeze),
            device=cpu,
            precision=precision,
            cache=tmp_path,
        )

    return make


@pytest.mark.parametrize("backbone", ["shufflenet_v2_x0_5", "timm/test_vit"], ids=["cnn", "vit"])
@pytest.mark.parametrize("freeze", ["stem", LAST, "all"])
def test_what_is_frozen_stays_and_the_rest_learns(frozen_training, freeze, backbone):
    training = frozen_training(freeze, backbone=backbone)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    list(training.epochs())
    trunk = training.model.backbone
    learning = [trunk.get_submodule(name) for name in trunk.pieces.names[training.val_start :]]
    learning.append(training.model.classifiers)
    learnt = {id(value) for module in learning for value in module.state_dict(keep_vars=True).values()}
    for name, value in training.model.state_dict(keep_vars=True).items():
        assert torch.equal(value, before[name]) == (id(value) not in learnt), name


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
    seen, _ = validate(whole)
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
    for arrays, seed in ((4, 7), (4, 7), (8, 8)):
        frozen_training(seed=seed)
        assert len(list(tmp_path.glob("*.npy"))) == arrays  # three views, and the validation images
