"""Dilated convolutions on a CPU, faster than torch's.

A backbone gets them if the output stride is smaller than its own. torch uses oneDNN, which has fast kernels only for
the gradients of depthwise convolutions without dilation. With 1,152 channels, 5 x 5 weights and maps of 8 x 8, dilated
ones take 10 times as long: a third of a whole training step of EfficientNet-Lite0. For AVX2 its kernels of other
dilated convolutions are slow with the channels last: in a ResNet-18 a tenth of a step (benchmarks/memory_order.py).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

_CHUNK = 8  # the number of images whose products fit into the processor's cache


class QuickDilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 1: outputs are those of torch to the bit, gradients up to rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super()._conv_forward(input, weight, bias)
        if torch.is_autocast_enabled("cpu"):  # convert as F.conv2d would do
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        out: Tensor = _DepthwiseConvolution.apply(input, weight, bias, self.padding, self.dilation)
        return out


class ChannelsFirst(nn.Conv2d):
    """A convolution that computes with the channels first, and returns them last."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out = super()._conv_forward(input.contiguous(), weight.contiguous(), bias)
        return out.contiguous(memory_format=torch.channels_last)


def quicken_dilated(model: nn.Module, device: torch.device) -> None:
    """Make the dilated convolutions of the model fast on a CPU; names and weights stay."""
    avx2 = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    for layer in model.modules():
        if type(layer) is not nn.Conv2d:  # a subclass may compute something else
            continue
        if _is_dilated_depthwise(layer):
            layer.__class__ = QuickDilatedDepthwise
        elif avx2 and layer.groups == 1 and max(layer.dilation) > 1 and max(layer.kernel_size) > 1:
            layer.__class__ = ChannelsFirst


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
    """Return the distance between the first and the last input of an output, in rows and columns."""
    return tuple(d * (size - 1) for size, d in zip(kernel, dilation, strict=True))


class _DepthwiseConvolution(Function):
    """`F.conv2d` with the gradients below."""

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
            _input_gradient(gradient, weight, ctx.padding, ctx.dilation) if wanted_images else None,
            _weight_gradient(gradient, images, weight, ctx.padding, ctx.dilation) if wanted_weight else None,
            gradient.sum((0, 2, 3)) if wanted_bias else None,
            None,
            None,
        )


def _input_gradient(gradient: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
    """Convolve the output's gradient with the mirrored weights: oneDNN is fast in this direction, dilated or not."""
    reach = _reach(tuple(weight.shape[2:]), dilation)
    outside = [size - p for size, p in zip(reach, padding, strict=True)]
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, outside, dilation, len(weight))


def _weight_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    """Sum the output's gradient times the input, which is shifted by the position of each weight in the kernel.

    `images` (N, C, h, w), `gradient` (N, C, h', w') -> (C, 1, rows, columns).
    """
    rows, columns = weight.shape[2:]
    total = torch.zeros(rows, columns, len(weight), dtype=torch.promote_types(weight.dtype, torch.float32))
    for start in range(0, len(images), _CHUNK):
        # Channels last, so that the numbers that are multiplied are neighbours in memory.
        x, g = (part[start : start + _CHUNK].permute(0, 2, 3, 1).to(total.dtype) for part in (images, gradient))
        for row in range(rows):
            rows_g, rows_x = _overlap(g.shape[1], x.shape[1], row * dilation[0] - padding[0])
            for column in range(columns):
                columns_g, columns_x = _overlap(g.shape[2], x.shape[2], column * dilation[1] - padding[1])
                total[row, column] += (x[:, rows_x, columns_x] * g[:, rows_g, columns_g]).sum((0, 1, 2))
    return total.permute(2, 0, 1).unsqueeze(1).to(weight.dtype)


def _overlap(outputs: int, inputs: int, shift: int) -> tuple[slice, slice]:
    """Return the outputs whose input, `shift` positions further on, is not padding; and these inputs."""
    first, end = max(0, -shift), max(0, -shift, min(outputs, inputs - shift))
    return slice(first, end), slice(first + shift, end + shift)
