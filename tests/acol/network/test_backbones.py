import pytest
import torch
import torchvision
from torchvision.transforms.v2.functional import normalize

from acol.errors import InputError
from acol.network.backbones import build_backbone
from acol.network.torchvision_models import names as backbone_names

SMALL = ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5", "alexnet"]  # with no squeeze-and-excitation
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11_bn",
    "wide_resnet50_2",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_a_feature_map_of_the_channels_and_stride_it_names(name):
    backbone = build_backbone(name).eval()
    with torch.inference_mode():
        features = backbone(torch.randn(1, 3, 96, 96))
        wider = backbone(torch.randn(1, 3, 96, 96 + 5 * backbone.stride))
    assert features.shape[1] == backbone.channels
    assert wider.shape[3] - features.shape[3] == 5


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11_bn", "mobilenet_v3_small"])
def test_features_are_torchvisions(name):
    model = torchvision.models.get_model(name, weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    backbone = build_backbone(name).eval()
    whole = model.state_dict()
    backbone.load_state_dict({key: whole[key] for key in backbone.state_dict()})
    seen = []
    model.get_submodule("avgpool" if hasattr(model, "avgpool") else "classifier").register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.inference_mode():
        model(images)
        features = backbone(images)
    if name == "densenet121":  # it pools in a function: the classifier's input is the pooled features
        features = features.mean((2, 3))
    torch.testing.assert_close(features, seen[0])


def test_inception_weights_get_the_range_that_they_were_trained_on():
    model = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False, aux_logits=False)
    model.eval()
    backbone = build_backbone("googlenet").eval()
    whole = model.state_dict()
    backbone.load_state_dict({key: whole[key] for key in backbone.state_dict()})
    values = torch.rand(1, 3, 64, 64)
    given = torchvision.models.GoogLeNet_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        expected = model(normalize(values, given.mean, given.std))
        actual = model.fc(backbone(normalize(values, backbone.mean, backbone.std)).mean((2, 3)))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("name", "stage"),
    [("resnet18", "layer4"), ("vgg11", "features"), ("timm/test_resnet", "layer4"), ("timm/test_vit", "blocks")],
)
def test_hooks_on_stages_fire(name, stage):
    backbone, seen = build_backbone(name), []
    getattr(backbone, stage).register_forward_hook(lambda module, inputs, output: seen.append(output))
    features = backbone(torch.randn(1, 3, 64, 64))
    assert len(seen) == 1
    if name != "timm/test_vit":  # tokens, and a norm behind the blocks
        torch.testing.assert_close(seen[0], features)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_smaller_stride_keeps_every_weight_and_every_original_position(name, output_stride):
    coarse = build_backbone(name).eval()
    dense = build_backbone(name, output_stride=output_stride).eval()
    dense.load_state_dict(coarse.state_dict())  # the same names and shapes
    images = torch.randn(1, 3, 96, 128)
    step = 32 // output_stride
    with torch.inference_mode():
        torch.testing.assert_close(dense(images)[..., ::step, ::step], coarse(images), rtol=1e-3, atol=1e-4)
    assert (dense.stride, dense.channels) == (output_stride, coarse.channels)


@pytest.mark.parametrize(
    ("name", "stride", "own"),
    [("densenet121", 16, 32), ("googlenet", 16, 32), ("inception_v3", 16, 32), ("squeezenet1_1", 8, 16)],
)
def test_refuses_a_stride_that_the_layers_do_not_allow(name, stride, own):
    with pytest.raises(InputError, match=f"{name}: its layers do not allow output_stride {stride}; use {own}"):
        build_backbone(name, output_stride=stride)


def test_a_network_of_smaller_stride_keeps_it():
    assert build_backbone("squeezenet1_1", output_stride=32).stride == 16


@pytest.mark.parametrize(
    ("name", "problem"),
    [("resnet19", "did you mean resnet18"), ("vit_b_16", "torchvision's transformer"), ("", "unknown")],
)
def test_refuses_what_is_no_cnn(name, problem):
    with pytest.raises(InputError, match=problem):
        build_backbone(name)


def test_refuses_other_strides():
    with pytest.raises(InputError, match="choose 32, 16 or 8"):
        build_backbone("resnet18", output_stride=4)


def test_lists_only_what_it_can_build():
    names = backbone_names()
    assert {"resnet18", "resnet152", "vgg16", "convnext_large", "regnet_x_32gf"} <= set(names)
    assert not any(name.startswith(("vit", "swin", "maxvit")) for name in names)
