"""Time a training step of ResNet-18, and its last convolutions, with maps in both orders in memory.

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m benchmarks.memory_order

A training here has its maps channels last; a first script has torch's default, channels first. The third step is
channels last with what a training does to dilated convolutions (`acol.training.fast_dilation`). All alternate. The
table gives the medians of a thread's CPU time in float32, and of the ratios to channels first: above 1 is faster than
that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from acol import ACoL
from acol.losses import classifier_losses
from acol.network.precision import choose_device
from acol.training.fast_dilation import quicken_dilated
from benchmarks.cpu_time import cpu_seconds

IMAGES, SIZE, ROUNDS = 8, 224, 5
ORDERS = torch.contiguous_format, torch.channels_last


def convolution(dilation: int, order: Any) -> Callable[[], None]:
    """A 3 x 3 convolution of 512 channels on maps of 14 x 14, and its gradients."""
    layer = nn.Conv2d(512, 512, 3, padding=dilation, dilation=dilation, bias=False).to(memory_format=order)  # type: ignore[call-overload]
    features = torch.rand(IMAGES, 512, 14, 14).to(memory_format=order).requires_grad_()
    return lambda: layer(features).square().sum().backward()


def training_step(stride: int, order: Any, quick: bool = False) -> Callable[[], None]:
    """A step of the recipe `p` on one batch."""
    model = ACoL("resnet18", "p", num_classes=4, output_stride=stride).to(memory_format=order)  # type: ignore[call-overload]
    if quick:
        quicken_dilated(model, torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.train().parameters())
    images, labels = torch.rand(IMAGES, 3, SIZE, SIZE).to(memory_format=order), torch.arange(IMAGES) % 4

    def step() -> None:
        loss = classifier_losses(model(images, labels).logits, labels, model.recipe).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Print a line for each comparison."""
    torch.set_num_threads(1)
    choose_device("cpu")
    print(
        "| What | channels first, ms | channels last, ms (ratio) | quickened, ms (ratio) |\n| :-- | --: | --: | --: |"
    )
    for what, make, values in (
        ("3 x 3 convolution, dilation", convolution, (1, 2)),
        ("step, output stride", training_step, (32, 16)),
    ):
        for value in values:
            calls = [make(value, order) for order in ORDERS]
            if make is training_step:
                calls.append(training_step(value, ORDERS[1], quick=True))
            times = cpu_seconds(calls, ROUNDS)
            ms, ratios = 1000 * np.median(times, axis=0), np.median(times[:, :1] / times, axis=0)
            cells = [f"{its:.0f} ({ratio:.2f})" for its, ratio in zip(ms[1:], ratios[1:], strict=True)]
            print(f"| {what} {value} | {ms[0]:.0f} | {' | '.join([*cells, '-'][:2])} |", flush=True)


if __name__ == "__main__":
    main()
