import pytest
import torch

from acol.network.backbones import build_backbone
from acol.network.feature_norms import features_and_norms, modules_of_depths


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("timm/tf_efficientnet_lite0", ("blocks.4.2", "blocks.5.3", "blocks.6.0")),
        ("resnet18", ("layer3.1", "layer4.0", "layer4.1")),
        ("timm/test_vit", ("blocks.3", "blocks.4", "blocks.5")),
    ],
)
def test_norms_are_of_the_modules_own_outputs(name: str, modules: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, output_stride=16).eval()
    depths = modules_of_depths(backbone)
    assert [depths[each].removeprefix("trunk.") for each in ("early", "middle", "late")] == [*modules]
    images = torch.rand(2, 3, 160, 160)
    kept = {}
    for each, module in depths.items():
        backbone.get_submodule(module).register_forward_hook(
            lambda m, i, out, each=each: kept.update({each: out.clone()})
        )
    with torch.inference_mode():
        features, norms = features_and_norms(backbone, images, depths)
        torch.testing.assert_close(features, backbone(images))
    torch.testing.assert_close(norms["norm"], features.square().sum(1, keepdim=True).sqrt())
    for each in depths:
        out = kept[each]
        if out.ndim == 3:  # tokens, after the class token
            side = features.shape[-1]
            out = out[:, -side * side :].transpose(1, 2).reshape(2, -1, side, side)
        torch.testing.assert_close(norms[each], out.square().sum(1, keepdim=True).sqrt(), rtol=1e-4, atol=1e-4)
