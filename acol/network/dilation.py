"""Strides turned into dilation, so that a trained network gives a denser feature map (DeepLab, arXiv 1606.00915)."""

from typing import Any

from torch import nn

from acol.network.shapes import LARGE, SMALL, run_on_meta


def dilate(network: nn.Module, output_stride: int) -> None:
    """Give each convolution and pooling the stride and dilation that keep the map at `output_stride` pixels.

    No weight changes, and the dense map holds the original one at every second (fourth) position (section 3.1). A layer
    depends only on the stride of its own input in the original network, so branches need no bookkeeping: with input
    stride s, everything beyond `output_stride` turns from stride into dilation.
    """
    for layer, stride_in in _input_strides(network).items():
        step, stride_out = _pair(layer.stride)[0], stride_in * _pair(layer.stride)[0]
        if isinstance(layer, nn.MaxPool2d) and layer.ceil_mode and stride_out > output_stride:
            continue  # its last window hangs over the edge: no dense equivalent; the caller sees the stride stay
        dilation = max(1, stride_in // output_stride)
        step = min(stride_out, output_stride) // min(stride_in, output_stride)
        layer.stride = (step, step)
        layer.dilation = tuple(dilation * d for d in _pair(layer.dilation))
        layer.padding = tuple(dilation * p for p in _pair(layer.padding))


def _input_strides(network: nn.Module) -> dict[Any, int]:
    """The stride of what enters each convolution and max pooling that looks at more than its own position."""
    layers = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and _pair(module.kernel_size) + _pair(module.stride) != (1,) * 4
    ]
    sizes: dict[Any, list[int]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: sizes[module].append(inputs[0].shape[-1]))
        for layer in layers
    ]
    run_on_meta(network, SMALL)
    run_on_meta(network, LARGE)
    for hook in hooks:
        hook.remove()
    return {layer: (LARGE - SMALL) // (large - small) for layer, (small, large) in sizes.items()}


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
