"""A backbone as a row of pieces that run one after another, so that what is frozen of it need run but once an image.

All is found out on images without values: what a network makes of an image's size needs no computing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError

STEM_STRIDE = 4  # pixels: where the stem ends
LAST_STAGE = "all but the last stage"
FREEZE = ("none", "stem", LAST_STAGE, "all")


class LastStage(nn.Module):
    """A backbone up to what its last stage gives, before that is brought into the form of a map."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Return what the last stage makes of images."""
        return self.trunk.last_stage(images)


def run_on_meta(network: nn.Module, size: int, device: str = "meta") -> Tensor:
    """Run a network for shapes only, on an image (1, 3, size, size): no weight is read and nothing is computed.

    On another `device`, such as "cpu", values are computed: only that finds an index that lies outside its table.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    state = {name: value.detach().to(device) for name, value in tensors.items()}
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            return torch.func.functional_call(network, state, (torch.zeros(1, 3, size, size, device=device),))
    finally:
        for module, training in modes.items():
            module.training = training


class _State(NamedTuple):
    """A tensor at one moment: in-place operations count up its version, and make another state of it."""

    tensor: Tensor
    version: int

    def same(self, other: "_State | None") -> bool:
        return other is not None and self.tensor is other.tensor and self.version == other.version


@dataclass
class Call:
    """A module's call, with those that it made: what came in (None: not one tensor alone) and what came out."""

    module: nn.Module
    came: _State | None
    left: _State | None = None
    inner: "list[Call]" = field(default_factory=list)

    def row(self) -> "Iterator[Call]":
        """Yield the calls that this one is a row of: those of a plain `Sequential`, else the call itself."""
        if type(self.module).forward is nn.Sequential.forward and self.inner:
            for call in self.inner:
                yield from call.row()
        else:
            yield self


def recorded(network: nn.Module, size: int) -> list[Call]:
    """Return all calls of modules in a network on an image of `size` pixels a side, as they ended; its own is last."""
    stack: list[Call] = []
    done: list[Call] = []

    def enter(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        given = [value for value in (*inputs, *options.values()) if value is not None]
        alone = len(given) == 1 and isinstance(given[0], Tensor) and bool(inputs)
        stack.append(Call(module, _State(given[0], given[0]._version) if alone else None))

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = stack.pop()
        call.left = _State(output, output._version) if isinstance(output, Tensor) else None
        done.append(call)
        if stack:
            stack[-1].inner.append(call)

    hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in network.modules()]
    hooks += [module.register_forward_hook(leave) for module in network.modules()]
    try:
        run_on_meta(network, size)
    finally:
        for hook in hooks:
            hook.remove()
    return done


class Pieces(NamedTuple):
    """The `names` of a trunk's modules in the order in which they run on images of `size` pixels a side.

    From the one of index `chained` on each takes what the one before it gave, and nothing else.
    """

    size: int
    names: tuple[str, ...]
    chained: int
    shapes: tuple[torch.Size | None, ...]
    weighted: tuple[bool, ...]  # whether it has parameters

    def count(self, word: str) -> int:
        """Return how many of the pieces stay as they are by the word `freeze` of the settings.

        The stem goes down to stride 4, or to a transformer's patches; the last stage begins where the map gets its last
        stride, or, in a backbone of one stride throughout such as a transformer, with the last quarter of the blocks.
        The backbone must have its own strides, none of which became dilation. The name of a module, such as "layer3" or
        "blocks.5", means that module and all before it.

        Raises `InputError` for a word that is none of `FREEZE` and no module's name.
        """
        count = len(self.names)
        if word not in FREEZE:
            names = [f"{name.removeprefix('trunk.')}." for name in self.names]
            within = [n for n, name in enumerate(names, 1) if name.startswith(f"{word}.")]
            if not within:
                raise InputError(f"freeze {word!r}: no such part; choose one of {', '.join(FREEZE)}, or name a module")
            return within[-1]
        if word in ("none", "all"):
            return count if word == "all" else 0
        strides = [0 if shape is None else round(self.size / _side(shape)) for shape in self.shapes]
        stem = next((n for n, stride in enumerate(strides, 1) if stride >= STEM_STRIDE), count)
        if word == "stem":
            return stem
        # A pooling at the end, as VGG has it, is no stage.
        last = strides.index(max(s for s, weighted in zip(strides, self.weighted, strict=True) if weighted))
        return last if last >= stem else stem + (count - stem) * 3 // 4


def pieces_of(trunk: nn.Module, size: int) -> Pieces:
    """Find the pieces of a backbone, on images of `size` pixels a side.

    Pieces are as small as can be without dividing what is more than a row of modules, such as a residual block. What a
    backbone computes outside of its modules, such as a transformer's adding of positions, lies between two pieces that
    are not chained.
    """
    root = recorded(LastStage(trunk), size)[-1]
    calls = [piece for call in root.inner for piece in call.row()]
    chained, after = len(calls), root.left
    for index in range(len(calls) - 1, -1, -1):
        call = calls[index]
        if call.came is None or call.left is None or not call.left.same(after):
            break
        chained, after = index, call.came
    names = {module: name for name, module in trunk.named_modules()}
    return Pieces(
        size,
        tuple(names[call.module] for call in calls),
        chained,
        tuple(None if call.left is None else call.left.tensor.shape for call in calls),
        tuple(any(True for _ in call.module.parameters()) for call in calls),
    )


def _side(shape: torch.Size) -> float:
    """The positions a side of a square map (1, C, h, w) or (1, h, w, C), or of tokens (1, L, C)."""
    if len(shape) == 4:
        return shape[2]
    return math.sqrt(shape[1]) if len(shape) == 3 else 1.0
