"""Gradients of dilated depthwise convolutions on a CPU, many times as fast as torch's own.

A backbone like EfficientNet's gets such convolutions if the output stride is below its own. torch uses oneDNN for them,
which has fast kernels only for the gradients of undilated depthwise convolutions: with 1,152 channels, 5 x 5 weights
and maps of 8 x 8, dilated ones take 10 times as long, a third of a whole training step.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

_CHUNK = 8  # images whose products fit into the processor's cache


class QuickDilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 1 whose outputs are torch's own, to the bit; its gradients up to rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super()._conv_forward(input, weight, bias)
        if torch.is_autocast_enabled("cpu"):  # what the convolution itself would do
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        out: Tensor = _Convolution.apply(input, weight, bias, self.padding, self.dilation)
        return out


def quicken_dilated_depthwise(model: nn.Module) -> None:
    """Give every dilated depthwise convolution of the model the quick gradients; names and weights stay."""
    for layer in model.modules():
        # A subclass may compute something else.
        if type(layer) is nn.Conv2d and _is_dilated_depthwise(layer):
            layer.__class__ = QuickDilatedDepthwise


def _is_dilated_depthwise(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.stride == (1, 1)
        and max(layer.dilation) > 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and all(p <= reach for p, reach in zip(layer.padding, _reach(layer.kernel_size, layer.dilation), strict=True))
    )


def _reach(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """The rows and columns between the first and the last position that an output looks at."""
    return tuple(d * (size - 1) for size, d in zip(kernel, dilation, strict=True))


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(images, weight, bias, 1, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        wanted_images, wanted_weight, wanted_bias = ctx.needs_input_grad[:3]
        return (
            _of_images(gradient, weight, ctx.padding, ctx.dilation) if wanted_images else None,
            _of_weight(gradient, images, weight, ctx.padding, ctx.dilation) if wanted_weight else None,
            gradient.sum((0, 2, 3)) if wanted_bias else None,
            None,
            None,
        )


def _of_images(gradient: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
    """The gradient's convolution with the mirrored weights: oneDNN's forward kernels are fast, dilated or not."""
    reach = _reach(tuple(weight.shape[2:]), dilation)
    outside = [size - p for size, p in zip(reach, padding, strict=True)]
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, outside, dilation, len(weight))


def _of_weight(
    gradient: Tensor, images: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    """A weight's gradient is the sum of the output's gradient times the input, shifted by the weight's position.

    `images` (N, C, h, w), `gradient` (N, C, h', w') -> (C, 1, rows, columns).
    """
    rows, columns = weight.shape[2:]
    total = torch.zeros(rows, columns, len(weight), dtype=torch.promote_types(weight.dtype, torch.float32))
    for start in range(0, len(images), _CHUNK):
        # Channels last: the numbers that are added are neighbours in memory.
        x, g = (part[start : start + _CHUNK].permute(0, 2, 3, 1).to(total.dtype) for part in (images, gradient))
        for row in range(rows):
            of_g, of_x = _overlap(g.shape[1], x.shape[1], row * dilation[0] - padding[0])
            for column in range(columns):
                beside_g, beside_x = _overlap(g.shape[2], x.shape[2], column * dilation[1] - padding[1])
                total[row, column] += (x[:, of_x, beside_x] * g[:, of_g, beside_g]).sum((0, 1, 2))
    return total.permute(2, 0, 1).unsqueeze(1).to(weight.dtype)


def _overlap(outputs: int, inputs: int, shift: int) -> tuple[slice, slice]:
    """The outputs whose input, `shift` positions further, is not padding; and these inputs."""
    first, end = max(0, -shift), max(0, -shift, min(outputs, inputs - shift))
    return slice(first, end), slice(first + shift, end + shift)
