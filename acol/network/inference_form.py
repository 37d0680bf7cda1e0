"""The inference form of a model on a CPU: each convolution includes the batch norm and the activation after it.

So each map is written and read once instead of three times, and the weights are kept in the order in which oneDNN reads
them. On a GPU the model stays as it is. The outputs are those of the training form up to rounding.
"""

import copy
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from acol.network.base_backbone import Backbone
from acol.network.feature_norms import modules_of_depths
from acol.network.model import ACoL
from acol.network.pieces import Call, record_calls

# The activations that oneDNN can compute with a convolution: torch's name of each for oneDNN, and its parameters.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
_SAME = "Conv2dSame"  # timm's convolution with TensorFlow's padding, found by its name so as not to import timm
_SHAPES = 4  # the number of shapes of an image's features for which a convolution keeps its weights in oneDNN's order
_TOLERANCE = 1e-4  # as a share of the largest feature


class FusedConvolution(nn.Module):
    """A convolution with the batch norm after it (None: there is none) and an activation of `_ACTIVATIONS`."""

    def __init__(self, convolution: Any, norm: Any, activation: type[nn.Module]) -> None:
        super().__init__()
        weight, bias = convolution.weight, convolution.bias
        if norm is not None:
            statistics = norm.running_mean, norm.running_var, norm.eps
            weight, bias = fuse_conv_bn_weights(weight, bias, *statistics, norm.weight, norm.bias)
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.stride, self.dilation, self.groups = convolution.stride, convolution.dilation, convolution.groups
        self.padding = None if type(convolution).__name__ == _SAME else convolution.padding
        self.activation = _ACTIVATIONS[activation]
        self._prepared: dict[Any, tuple[Tensor, Tensor | None, list[int]]] = {}  # by shape and type

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolved, normalised and activated features, from features (N, C, H, W)."""
        # oneDNN takes bfloat16 only on a CPU that can multiply it.
        half = torch.is_autocast_enabled("cpu") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        features = features.to(torch.bfloat16 if half else torch.float32)
        key = (features.shape[1:], features.dtype)  # for any number of images the order is the same
        if (prepared := self._prepared.get(key)) is None:
            if len(self._prepared) == _SHAPES:
                self._prepared.clear()
            prepared = self._prepared[key] = self._prepare(features)
        layer = (self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(features, *prepared, *layer, *self.activation, "")

    def _prepare(self, features: Tensor) -> tuple[Tensor, Tensor | None, list[int]]:
        """Return the weights in oneDNN's order, the bias and the padding for features of this shape and type."""
        padding, before = self.padding, [0, 0]
        if padding is None:
            # TensorFlow may pad one position more at the end than at the start, which oneDNN cannot. The same result
            # comes from as many on both sides, with a weight of 0 added at the start of the kernel.
            total = [
                max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
                for size, stride, kernel, dilation in zip(
                    features.shape[2:], self.stride, self.weight.shape[2:], self.dilation, strict=True
                )
            ]
            padding, before = [-(-count // 2) for count in total], [count % 2 for count in total]
        weight = F.pad(self.weight, (before[1], 0, before[0], 0)).to(features.dtype)
        layer = (padding, self.stride, self.dilation, self.groups, list(features.shape))
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *layer)  # type: ignore[call-arg]
        return packed, self.bias, list(padding)  # the bias keeps its precision


@torch.no_grad()
def for_inference(model: ACoL) -> ACoL:
    """Return a model in its inference form and evaluation mode; this form can be neither trained nor saved.

    A model stays as it is if it is not on a CPU, or if its inference form does not give the same features.
    """
    model.eval()
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if not (isinstance(model.backbone, Backbone) and on_cpu and torch.backends.mkldnn.is_available()):
        return model
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        size = model.backbone.pieces.size
        fused = copy.deepcopy(model).requires_grad_(False)
        _fuse(fused.backbone, record_calls(fused.backbone, size))
        # What happens outside of modules is not recorded, so compare the features.
        images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        wanted = model.backbone(images)
        differs = (fused.backbone(images) - wanted).abs().max() > _TOLERANCE * wanted.abs().max()
    return model if differs else fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fuse(backbone: Backbone, calls: list[Call]) -> None:
    """Replace each convolution by a `FusedConvolution`, and its norm and activation by `nn.Identity`."""
    names, times = {module: name for name, module in backbone.named_modules()}, Counter(call.module for call in calls)
    activations = tuple(kind for kind in _ACTIVATIONS if kind is not nn.Identity)
    kept = {backbone.get_submodule(name) for name in modules_of_depths(backbone).values()}  # their outputs are used too

    def next_of(call: Call, kinds: tuple[type[nn.Module], ...]) -> Call | None:
        """Return the call of a module of these kinds on the output of `call`, if that is the module's only call."""
        if call.output is None or call.module in kept:
            return None
        following = (one for one in calls if call.output.same(one.input))
        return next((one for one in following if isinstance(one.module, kinds) and times[one.module] == 1), None)

    # A module that is called more than once keeps its place: what follows it may differ.
    for call in calls:
        if times[call.module] > 1 or not _fusable(call.module):
            continue
        # The norm after the convolution, and the activation in the norm or after it.
        norm = next_of(call, (nn.BatchNorm2d,))
        inside = getattr(norm.module, "act", None) if norm is not None else None  # the activation in a norm of timm
        after = next_of(norm or call, activations) if inside is None else None
        activation: type[Any] = type(inside if after is None else after.module)
        known = activation in _ACTIVATIONS
        # An activation that oneDNN does not know stays a module of its own.
        fused = FusedConvolution(call.module, norm and norm.module, activation if known else nn.Identity)
        backbone.set_submodule(names[call.module], fused)
        if norm is not None:
            backbone.set_submodule(names[norm.module], nn.Identity() if known or inside is None else inside)
        if after is not None and known:
            backbone.set_submodule(names[after.module], nn.Identity())


def _fusable(layer: Any) -> bool:
    """Return whether a module is a convolution that `FusedConvolution` can compute."""
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return False
    return type(layer).__name__ != _SAME or layer.dilation == (1, 1) or layer.stride == (1, 1)
