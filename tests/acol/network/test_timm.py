"""Timm's models as backbones: the features are timm's own, as a map, channels first."""

import pytest
import safetensors.torch
import timm
import torch

from acol import ACoL
from acol.errors import InputError
from acol.network.backbones import build_backbone, size_fault
from acol.network.weights import package_file, read_state, renamed_by_order

IMAGES = torch.randn(2, 3, 160, 192, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def features_of(model, images=IMAGES):
    return model.eval()(images)


def test_the_packaged_weights_give_timms_features():
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(renamed_by_order(read_state(package_file("tf_efficientnet_lite0")).state, whole.state_dict()))
    model = ACoL("timm/tf_efficientnet_lite0", "p", 4, weights="package")
    with torch.inference_mode():
        torch.testing.assert_close(features_of(model.backbone), whole.forward_features(IMAGES), rtol=0, atol=1e-5)
    assert (model.backbone.mean, model.backbone.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (model.backbone.stride, model.backbone.channels) == (32, 1280)


def as_map(tokens):
    """The tokens of IMAGES' 10 x 12 patches as a map."""
    return tokens.transpose(1, 2).reshape(2, -1, 10, 12)


@pytest.mark.parametrize(
    ("name", "options", "to_map"),
    [
        ("test_resnet", {}, lambda features: features),
        ("mambaout_femto", {}, lambda features: features.permute(0, 3, 1, 2)),
        ("test_vit", {"dynamic_img_size": True}, lambda tokens: as_map(tokens[:, 1:])),
        ("vit_small_patch16_dinov3", {"dynamic_img_size": True}, lambda tokens: as_map(tokens[:, 5:])),
    ],
    ids=["channels first", "channels last", "behind a class token", "behind registers too"],
)
def test_the_features_of_a_local_file_are_timms(name, options, to_map, tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model(name, **options).eval()
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "w.safetensors")
    model = ACoL(f"timm/{name}", "pn-0.9", 4, weights=tmp_path / "w.safetensors")
    with torch.inference_mode():
        expected = to_map(whole.forward_features(IMAGES))
    features = features_of(model.backbone)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)
    assert features.shape[1] == model.backbone.channels
    assert features.shape[2:] == (160 // model.backbone.stride, 192 // model.backbone.stride)
    assert features_of(model).cams.shape == (2, 2, *features.shape[2:])


def test_a_vits_map_lies_as_the_image_does():
    """The cell of the map that changes most is the patch that changed."""
    backbone = build_backbone("timm/test_vit")
    before, changed = features_of(backbone), IMAGES.clone()
    changed[0, :, 32:48, 128:144] += 3
    difference = (features_of(backbone, changed) - before)[0].norm(dim=0)
    assert divmod(int(difference.argmax()), 12) == (2, 8)


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_resnet"])
def test_a_smaller_stride_takes_the_same_weights(name):
    coarse, dense = build_backbone(name), build_backbone(name, output_stride=16)
    assert (coarse.stride, dense.stride) == (32, 16)
    dense.load_state_dict(coarse.state_dict())
    torch.testing.assert_close(features_of(dense)[..., ::2, ::2], features_of(coarse), rtol=1e-3, atol=1e-4)


def test_a_vit_of_smaller_stride_keeps_it():
    assert build_backbone("timm/test_vit", output_stride=32).stride == 16


@pytest.mark.parametrize(
    ("name", "stride", "said"),
    [
        ("test_vit", 8, "its layers do not allow output_stride 8; use 16"),
        (
            "vit_small_patch14_dinov2",
            8,
            "its layers do not allow output_stride 8; use 16, with which its map has its own stride of 14",
        ),
        ("densenet121", 16, "its layers do not allow output_stride 16; use 32"),
        ("vgg11", 16, "its layers do not allow output_stride 16; use 32"),
        ("levit_128s", 32, "its layers do not allow output_stride 32; their stride is 56: use another backbone"),
    ],
    ids=["vit", "patch that is no setting", "TypeError", "AssertionError", "coarser than any"],
)
def test_a_stride_that_is_not_to_be_had(name, stride, said):
    with pytest.raises(InputError, match=f"^backbone timm/{name}: {said}$"):
        build_backbone(f"timm/{name}", output_stride=stride)


@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [
        ("timm/test_vti", None, "backbone 'timm/test_vti': unknown to timm; did you mean test_vit"),
        ("timm/qqqq", None, "backbone 'timm/qqqq': unknown to timm; list its names by timm.list_models()"),
        ("timm/coat_tiny", None, "backbone timm/coat_tiny: has no spatial feature map; choose a CNN or a ViT"),
        ("timm/resnet18.a9", None, "backbone timm/resnet18.a9: timm has no weights 'a9' for it; it has a1_in1k, a2"),
        ("timm/test_vit", "a9", "weights 'a9' of timm/test_vit: timm has no weights 'a9' for it; it has r160_in1k"),
        ("timm/vit_giant_patch14_224", "DEFAULT", "it has none: use a file or another model"),
    ],
    ids=["unknown", "like none", "no map", "tag in the name", "tag", "no weights at all"],
)
def test_what_timm_does_not_have(name, weights, said):
    with pytest.raises(InputError) as error:
        build_backbone(name, weights=weights)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_network(monkeypatch):
    def fail(*arguments):
        raise OSError("Name or service not known")

    monkeypatch.setattr("acol.network.timm_models.hf_hub_download", fail)
    with pytest.raises(InputError) as error:
        build_backbone("timm/test_vit", weights="DEFAULT")
    assert str(error.value) == (
        "weights DEFAULT of timm/test_vit: "
        "https://huggingface.co/timm/test_vit.r160_in1k/resolve/main/model.safetensors cannot be fetched "
        "(Name or service not known); check the network, or download the file elsewhere and name its path"
    )


def test_sizes():
    assert size_fault("timm/test_vit", 128) is None
    assert size_fault("timm/test_vit", 120) == "timm/test_vit takes 112 or 128 pixels"
    assert size_fault("timm/test_maxvit", 192) == "timm/test_maxvit takes 160 pixels"
    assert (
        size_fault("timm/mvitv2_tiny", 256) == "timm/mvitv2_tiny takes 224 pixels"
    )  # by its shapes alone it takes 256
    assert size_fault("resnet18", 33) is None
    with pytest.raises(
        InputError, match=r"^images of 128 pixels per side: timm/test_maxvit takes 160 pixels; change image"
    ):
        build_backbone("timm/test_maxvit").check_size(128)
