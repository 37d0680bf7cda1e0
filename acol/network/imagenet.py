"""The ImageNet classifier that stood on a backbone: it reads the pooled features, as ours do, and so has maps too."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network import torchvision_models
from acol.network.backbones import PACKAGE, TIMM, Backbone, TimmBackbone, TorchvisionBackbone, provenance_of
from acol.network.weights import by_order, is_path, mismatch, package_file, read_state

CLASSES = 1000


class ImageNetClassifier(NamedTuple):
    """A linear classifier of 1,000 classes on a trunk's pooled features.

    `weight` (1000, channels) and `bias` (1000,) are also those of a 1x1 convolution on the feature map, whose outputs
    are class maps (Zhou et al., CVPR 2016, arXiv 1512.04150, section 2).
    """

    weight: Tensor
    bias: Tensor


def imagenet_classifier(name: str, weights: str | Path) -> ImageNetClassifier:
    """Return the classifier in the whole model that a backbone and its weights are of.

    `name` and `weights` are as in `acol.network.backbones.build_backbone`; a file must hold the whole model.

    Raises `InputError` for weights that cannot be had, for a model that was not trained on ImageNet's 1,000 classes,
    and for one that does more between its feature map and its classes than pooling and one linear layer.
    """
    whole: Any = _whole_model(name, weights).eval()
    facts = provenance_of(name, weights)
    image = torch.rand(1, 3, facts.size, facts.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = whole(image)
    linear = next((layer for layer in reversed([*whole.modules()]) if isinstance(layer, nn.Linear)), None)
    trunk: Backbone
    if name.startswith(TIMM):
        trunk = TimmBackbone(name, facts, whole)
    else:
        trunk = TorchvisionBackbone(name, facts, torchvision_models.trunk_parts(whole))
    if linear is None or (linear.out_features, linear.in_features) != (CLASSES, trunk.channels) or linear.bias is None:
        raise InputError(f"backbone {name}: has no linear classifier of ImageNet's {CLASSES} classes on its features")
    with torch.inference_mode():
        pooled = linear(trunk.eval()(image).mean((2, 3)))
    if not torch.allclose(pooled, scores, rtol=1e-3, atol=1e-3):
        raise InputError(f"backbone {name}: its classifier reads more than the mean of its features")
    return ImageNetClassifier(linear.weight.detach(), linear.bias.detach())


def _whole_model(name: str, weights: str | Path) -> Any:
    if name.startswith(TIMM):
        return _timms(name, weights)
    whole: Any
    if weights == PACKAGE or not is_path(weights):
        whole = torchvision_models.build(name, str(weights))
    else:
        whole = torchvision_models.build(name)
        _load(whole, read_state(Path(weights)).state, str(weights))
    if name in torchvision_models.INCEPTIONS:
        whole.transform_input = False  # the backbone takes images in the range of the weights
    return whole


def _timms(name: str, weights: str | Path) -> Any:
    from acol.network import timm_models

    whole = timm_models.build(name)
    if weights == PACKAGE:
        path = package_file(timm_models.bare(name).partition(".")[0])
        shapes = {key: value.shape for key, value in whole.state_dict().items()}
        _load(whole, by_order(read_state(path).state, shapes), str(path))
        return whole
    state = read_state(Path(weights) if is_path(weights) else timm_models.fetch(name, str(weights))).state
    try:
        return timm_models.build(name, state)
    except Exception as error:  # what does not fit makes timm raise errors of many kinds
        reason = " ".join(str(error).split())
        raise InputError(f"weights {weights}: not of the whole model {name} ({reason:.160}); name its own") from None


def _load(whole: nn.Module, state: dict[str, Tensor], source: str) -> None:
    wanted = whole.state_dict()
    if fault := mismatch(state, wanted, ()):
        raise InputError(f"weights {source}: not of the whole model ({fault}); name a file that is")
    whole.load_state_dict(wanted | state)
