"""What a network makes of an image's size, found out without computing anything."""

import math
from typing import Any

import torch
from torch import Tensor, nn

# Two image sizes between which a map of stride 32, 16, 8, ... grows by a whole number of cells.
SMALL, LARGE = 192, 512


class LastStage(nn.Module):
    """A backbone up to what its last stage gives, before that is brought into the form of a map."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Return what the last stage makes of images."""
        return self.trunk.last_stage(images)


def run_on_meta(network: nn.Module, height: int, width: int | None = None, device: str = "meta") -> Tensor:
    """Run a network for shapes only, on an image (1, 3, height, width): no weight is read and nothing is computed.

    On another `device`, such as "cpu", values are computed: only that finds an index that lies outside its table.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    state = {name: value.detach().to(device) for name, value in tensors.items()}
    image = torch.zeros(1, 3, height, width or height, device=device)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            return torch.func.functional_call(network, state, (image,))
    finally:
        for module, training in modes.items():
            module.training = training


def stride_between(small: torch.Size, large: torch.Size, sizes: tuple[int, int]) -> int | None:
    """Return the pixels that a position spans, from the shapes that square images of two `sizes` come to.

    The shapes are of maps (N, C, h, w) or (N, h, w, C), or of tokens (N, L, C). None: no position was added.
    """
    grown = [(a, b) for a, b in zip(small, large, strict=True) if a != b]
    if len(grown) == 1:  # tokens: their number grows by the squares, whatever the prefix
        (before, after) = grown[0]
        return round(math.sqrt((sizes[1] ** 2 - sizes[0] ** 2) / (after - before)))
    return (sizes[1] - sizes[0]) // (grown[0][1] - grown[0][0]) if grown else None
