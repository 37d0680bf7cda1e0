"""The ImageNet classifier that stood on a backbone: it reads the pooled features, as ours do, and so has maps too."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.backbones import library_of, provenance_of

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
    library, facts = library_of(name), provenance_of(name, weights)
    whole = library.whole_model(name, weights).eval()
    image = torch.rand(1, 3, facts.size, facts.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = whole(image)
    linear = next((layer for layer in reversed([*whole.modules()]) if isinstance(layer, nn.Linear)), None)
    trunk = library.trunk_of(name, facts, whole)
    if linear is None or (linear.out_features, linear.in_features) != (CLASSES, trunk.channels) or linear.bias is None:
        raise InputError(f"backbone {name}: has no linear classifier of ImageNet's {CLASSES} classes on its features")
    with torch.inference_mode():
        pooled = linear(trunk.eval()(image).mean((2, 3)))
    if not torch.allclose(pooled, scores, rtol=1e-3, atol=1e-3):
        raise InputError(f"backbone {name}: its classifier reads more than the mean of its features")
    return ImageNetClassifier(linear.weight.detach(), linear.bias.detach())
