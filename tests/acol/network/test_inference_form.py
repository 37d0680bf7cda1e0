"""The form in which a model answers gives what the training's form gives."""

import pytest
import torch

from acol import ACoL
from acol.network.feature_norms import features_and_norms, modules_of_depths
from acol.network.inference_form import FusedConvolution, for_inference


def make(name):
    """A model whose batch norms are those of a trained one: nothing is 0 or 1."""
    torch.manual_seed(0)
    model = ACoL(name, "pn-0.6", 4, output_stride=16, weights="package" if "lite0" in name else None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and "lite0" not in name:
            for values, low in (
                (module.weight, 0.5),
                (module.bias, -0.2),
                (module.running_mean, -0.2),
                (module.running_var, 0.5),
            ):
                values.data.uniform_(low, low + 0.5)
    return model


@pytest.mark.parametrize(
    ("name", "norms"),
    [
        ("timm/tf_efficientnet_lite0", 0),
        ("timm/test_resnet", 0),
        ("resnet18", 0),
        ("mobilenet_v3_small", 0),
        ("vgg11_bn", 2),
        ("timm/test_vit", 0),
    ],
)
def test_outputs_are_those_of_the_form_that_trained(name, norms):
    model = make(name)
    fused, depths = for_inference(model), modules_of_depths(model.backbone)
    modules = [*fused.backbone.modules()]
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in modules) == norms
    assert any(isinstance(module, FusedConvolution) for module in modules)
    assert modules_of_depths(fused.backbone) == depths
    with torch.inference_mode():
        for count, side in ((1, 96), (3, 112)) if "vit" in name else ((1, 96), (3, 97), (2, 130)):
            images = torch.randn(count, 3, side, side)
            wanted, found = model(images), fused(images)
            for one, other in zip(wanted, found, strict=True):
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
            features, strengths = features_and_norms(fused.backbone, images, depths)
            same, others = features_and_norms(model.backbone, images, depths)
            torch.testing.assert_close(features, same, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(strengths, others, rtol=1e-4, atol=1e-4)


def test_a_half_as_precise_one_is_as_near():
    model = make("timm/tf_efficientnet_lite0")
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        exact = model.backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            usual, fused = model.backbone(images).float(), for_inference(model).backbone(images).float()
    assert not torch.equal(fused, usual)
    assert (fused - exact).square().mean() < 1.1 * (usual - exact).square().mean()


def test_what_takes_a_way_around_modules_stays_as_it_is(monkeypatch):
    model = make("resnet18")
    monkeypatch.setattr("acol.network.inference_form.fuse_conv_bn_weights", lambda weight, bias, *rest: (weight, bias))
    assert for_inference(model) is model
