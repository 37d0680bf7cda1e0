"""A backbone as a sequence of pieces, so that its frozen pieces need to run only once for each image.

The pieces are found by running the network on tensors that have shapes but no values (torch's "meta" device).
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from acol.errors import InputError

STEM_STRIDE = 4  # the stem ends where a position spans so many pixels
LAST_STAGE = "all but the last stage"
FREEZE = ("none", "stem", LAST_STAGE, "all")
_OF_THE_SAME_SHAPE = {F.batch_norm, F.layer_norm, F.relu, F.hardtanh, F.relu6, F.hardswish, F.silu, F.gelu}


class LastStage(nn.Module):
    """A backbone whose output is that of its last stage, not yet brought into the form of a map."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the last stage."""
        return self.backbone.last_stage(images)


def run_on_meta(network: nn.Module, size: int, device: str = "meta") -> Tensor:
    """Run a network in evaluation mode on an image (1, 3, size, size) of zeros, on the "meta" device.

    There it reads no weight and computes no value: the output has only a shape. On another `device`, such as "cpu", it
    computes; only this finds an index that is outside of its table.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    state = {name: value.detach().to(device) for name, value in tensors.items()}
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), _Shapes() if device == "meta" else nullcontext():
            return torch.func.functional_call(network, state, (torch.zeros(1, 3, size, size, device=device),))
    finally:
        for module, training in modes.items():
            module.training = training


class _Shapes(TorchFunctionMode):
    """Replaces norms and activations on the "meta" device, where those of torch take most of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return a tensor of the input's shape; for an in-place operation the input, with a new version."""
        if func not in _OF_THE_SAME_SHAPE:
            return func(*args, **(kwargs or {}))
        return args[0].relu_() if (kwargs or {}).get("inplace") else torch.empty_like(args[0])


class _TensorVersion(NamedTuple):
    """A tensor at one moment: each in-place operation counts up its version."""

    tensor: Tensor
    version: int

    def same(self, other: "_TensorVersion | None") -> bool:
        """Return whether this is the same tensor, and no operation has changed it between the two moments."""
        return other is not None and self.tensor is other.tensor and self.version == other.version


@dataclass
class Call:
    """A call of a module, with its input, its output and the calls that it made.

    Input or output are None if they are anything but a single tensor.
    """

    module: nn.Module
    input: _TensorVersion | None
    output: _TensorVersion | None = None
    inner: "list[Call]" = field(default_factory=list)

    def steps(self) -> "Iterator[Call]":
        """Yield this call; for a plain `Sequential`, which only calls its modules in turn, yield theirs instead."""
        if type(self.module).forward is nn.Sequential.forward and self.inner:
            for call in self.inner:
                yield from call.steps()
        else:
            yield self


def record_calls(network: nn.Module, size: int) -> list[Call]:
    """Run a network on an image of `size` pixels per side; return the calls of its modules in the order of their ends.

    The last one is the call of the network itself.
    """
    stack: list[Call] = []
    done: list[Call] = []

    # Hooks keep a stack of the calls that have not ended, so that each call knows those that it made.
    def enter(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        given = [value for value in (*inputs, *options.values()) if value is not None]
        alone = len(given) == 1 and isinstance(given[0], Tensor) and bool(inputs)
        stack.append(Call(module, _TensorVersion(given[0], given[0]._version) if alone else None))

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = stack.pop()
        call.output = _TensorVersion(output, output._version) if isinstance(output, Tensor) else None
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
    """The modules of a backbone that run one after another, found on images of `size` pixels per side."""

    size: int
    names: tuple[str, ...]  # in the order in which they run
    chained: int  # from this index on, the input of each piece is the output of the one before it, and nothing else
    shapes: tuple[torch.Size | None, ...]  # of the outputs; None: more than one tensor
    weighted: tuple[bool, ...]  # whether the piece has parameters

    def count_frozen(self, word: str) -> int:
        """Return how many pieces the setting `freeze` keeps from training, by a word of `FREEZE` or a module's name.

        The stem ends at stride 4, or with the patches of a transformer. The last stage begins where the map gets its
        last stride; in a backbone with one stride throughout, such as a transformer, it is the last quarter of the
        blocks. This needs a backbone with its own strides, none of which became dilation. The name of a module, such as
        "layer3" or "blocks.5", means that module and all before it.

        Raises `InputError` for a word that is neither in `FREEZE` nor the name of a module.
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
        # Pieces without weights do not count: the pooling at the end of a VGG is no stage.
        last = strides.index(max(s for s, weighted in zip(strides, self.weighted, strict=True) if weighted))
        return last if last >= stem else stem + (count - stem) * 3 // 4


def find_pieces(backbone: nn.Module, size: int, root: Call) -> Pieces:
    """Find the pieces of a backbone in a recorded call of its `LastStage`, on an image of `size` pixels per side.

    A plain sequence of modules is divided into them; anything else, such as a residual block, is one piece. If the
    backbone computes something outside of its modules, such as the sum of a transformer's tokens and positions, the
    pieces before and after it are not chained.
    """
    calls = [piece for call in root.inner for piece in call.steps()]
    # Go back from the output as long as each piece's output is the next one's input.
    chained, after = len(calls), root.output
    for index in range(len(calls) - 1, -1, -1):
        call = calls[index]
        if call.input is None or call.output is None or not call.output.same(after):
            break
        chained, after = index, call.input
    names = {module: name for name, module in backbone.named_modules()}
    return Pieces(
        size,
        tuple(names[call.module] for call in calls),
        chained,
        tuple(None if call.output is None else call.output.tensor.shape for call in calls),
        tuple(any(True for _ in call.module.parameters()) for call in calls),
    )


def _side(shape: torch.Size) -> float:
    """Return the positions per side of a square map (1, C, h, w) or (1, h, w, C), or of tokens (1, L, C)."""
    if len(shape) == 4:
        return shape[2]
    return math.sqrt(shape[1]) if len(shape) == 3 else 1.0
