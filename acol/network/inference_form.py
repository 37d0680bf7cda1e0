"""The form of a model in which it answers on a CPU: a convolution does its batch norm and its activation itself.

That saves reading and writing every map twice more, and keeps the weights in the order in which oneDNN reads them. On a
GPU the model stays as it is. The outputs are those of the training's form up to rounding.
"""

import copy
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from acol.network.depths import modules_of_depths
from acol.network.features import Backbone
from acol.network.model import ACoL
from acol.network.pieces import Call, recorded

# What oneDNN can do behind a convolution, by torch's names there and their numbers.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
_SAME = "Conv2dSame"  # timm's padding as TensorFlow has it; told by its name, to import no timm
_SHAPES = 4  # shapes of an image's features for which a convolution keeps its weights in oneDNN's order
_TOLERANCE = 1e-4  # of the largest feature


class FusedConvolution(nn.Module):
    """A convolution, the batch norm behind it (None: there is none), and an activation of `_ACTIVATIONS`."""

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
        self._ready: dict[Any, tuple[Tensor, Tensor | None, list[int]]] = {}

    def forward(self, features: Tensor) -> Tensor:
        """Convolve features (N, C, H, W), normalise and activate them."""
        # oneDNN takes bfloat16 only of a CPU that multiplies it.
        half = torch.is_autocast_enabled("cpu") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        features = features.to(torch.bfloat16 if half else torch.float32)
        key = (features.shape[1:], features.dtype)  # for any number of images the order is the same
        if (ready := self._ready.get(key)) is None:
            if len(self._ready) == _SHAPES:
                self._ready.clear()
            ready = self._ready[key] = self._prepared(features)
        layer = (self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(features, *ready, *layer, *self.activation, "")

    def _prepared(self, features: Tensor) -> tuple[Tensor, Tensor | None, list[int]]:
        """The weights in oneDNN's order, the bias and the padding for images' features of a shape and type."""
        padding, before = self.padding, [0, 0]
        if padding is None:
            # One more position behind than before becomes as many on both sides, and a weight of 0 in front.
            lacking = [
                max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
                for size, stride, kernel, dilation in zip(
                    features.shape[2:], self.stride, self.weight.shape[2:], self.dilation, strict=True
                )
            ]
            padding, before = [-(-count // 2) for count in lacking], [count % 2 for count in lacking]
        weight = F.pad(self.weight, (before[1], 0, before[0], 0)).to(features.dtype)
        layer = (padding, self.stride, self.dilation, self.groups, list(features.shape))
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *layer)  # type: ignore[call-arg]
        return packed, self.bias, list(padding)  # the bias stays as precise as it is


@torch.no_grad()
def for_inference(model: ACoL) -> ACoL:
    """Return a model in the form in which it answers, in evaluation mode; it can be neither trained nor saved.

    A model that is not on a CPU, and one of which some layer could not be told apart from others, stay as they are.
    """
    model.eval()
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if not (isinstance(model.backbone, Backbone) and on_cpu and torch.backends.mkldnn.is_available()):
        return model
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        size = model.backbone.pieces.size
        fused = copy.deepcopy(model).requires_grad_(False)
        _fuse(fused.backbone, recorded(fused.backbone, size))
        # A value that takes another way than through modules would not have been seen.
        images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        wanted = model.backbone(images)
        far = (fused.backbone(images) - wanted).abs().max() > _TOLERANCE * wanted.abs().max()
    return model if far else fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fuse(backbone: Backbone, calls: list[Call]) -> None:
    """Put a `FusedConvolution` in place of each convolution, and nothing where its norm and activation were."""
    names, times = {module: name for name, module in backbone.named_modules()}, Counter(call.module for call in calls)
    activations = tuple(kind for kind in _ACTIVATIONS if kind is not nn.Identity)
    read = {backbone.get_submodule(name) for name in modules_of_depths(backbone).values()}  # their outputs must stay

    def next_of(call: Call, kinds: tuple[type[nn.Module], ...]) -> Call | None:
        """The call of such a module on what `call` gave; none for a module that is called elsewhere too."""
        if call.left is None or call.module in read:
            return None
        taking = (one for one in calls if call.left.same(one.came))
        return next((one for one in taking if isinstance(one.module, kinds) and times[one.module] == 1), None)

    for call in calls:
        if times[call.module] > 1 or not _fusable(call.module):
            continue
        norm = next_of(call, (nn.BatchNorm2d,))
        inside = getattr(norm.module, "act", None) if norm is not None else None  # timm's norms have one in them
        behind = next_of(norm or call, activations) if inside is None else None
        activation: type[Any] = type(inside if behind is None else behind.module)
        known = activation in _ACTIVATIONS
        fused = FusedConvolution(call.module, norm and norm.module, activation if known else nn.Identity)
        backbone.set_submodule(names[call.module], fused)
        if norm is not None:
            backbone.set_submodule(names[norm.module], nn.Identity() if known or inside is None else inside)
        if behind is not None and known:
            backbone.set_submodule(names[behind.module], nn.Identity())


def _fusable(layer: Any) -> bool:
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return False
    return type(layer).__name__ != _SAME or layer.dilation == (1, 1) or layer.stride == (1, 1)
