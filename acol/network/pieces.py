"""A backbone as a row of pieces that run one after another, so that what is frozen of it need run but once an image."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.shapes import LastStage, run_on_meta

STEM_STRIDE = 4  # pixels: where the stem ends
LAST_STAGE = "all but the last stage"
FREEZE = ("none", "stem", LAST_STAGE, "all")


class _State(NamedTuple):
    """A tensor at one moment: in-place operations count up its version, and make another state of it."""

    tensor: Tensor
    version: int

    def same(self, other: "_State | None") -> bool:
        return other is not None and self.tensor is other.tensor and self.version == other.version


class _Call:
    """A module's call, with those that it made: what came in (None: not one tensor alone) and what came out."""

    def __init__(self, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.module, self.inner = module, []  # type: nn.Module, list[_Call]
        given = [value for value in (*inputs, *options.values()) if value is not None]
        alone = len(given) == 1 and isinstance(given[0], Tensor) and bool(inputs)
        self.came = _State(given[0], given[0]._version) if alone else None
        self.left: _State | None = None

    def leave(self, output: Any) -> None:
        self.left = _State(output, output._version) if isinstance(output, Tensor) else None


class Pieces(NamedTuple):
    """The `names` of a trunk's modules in the order in which they run.

    From the one of index `chained` on each takes what the one before it gave, and nothing else.
    """

    names: tuple[str, ...]
    chained: int
    shapes: tuple[torch.Size | None, ...]
    weighted: tuple[bool, ...]  # whether it has parameters


def pieces_of(trunk: nn.Module, size: int) -> Pieces:
    """Find the pieces of a backbone, on images of `size` pixels a side.

    Pieces are as small as can be without dividing what is more than a row of modules, such as a residual block. What a
    backbone computes outside of its modules, such as a transformer's adding of positions, lies between two pieces that
    are not chained.
    """
    root = _record(LastStage(trunk), size)
    calls = [piece for call in root.inner for piece in _split(call)]
    chained, after = len(calls), root.left
    for index in range(len(calls) - 1, -1, -1):
        call = calls[index]
        if call.came is None or call.left is None or not call.left.same(after):
            break
        chained, after = index, call.came
    names = {module: name for name, module in trunk.named_modules()}
    return Pieces(
        tuple(names[call.module] for call in calls),
        chained,
        tuple(None if call.left is None else call.left.tensor.shape for call in calls),
        tuple(any(True for _ in call.module.parameters()) for call in calls),
    )


def frozen_count(freeze: str, pieces: Pieces, size: int) -> int:
    """Return how many of a trunk's pieces, found on images of `size`, stay as they are by the word `freeze`.

    The stem goes down to stride 4, or to a transformer's patches; the last stage begins where the map gets its last
    stride, or, in a backbone of one stride throughout such as a transformer, with the last quarter of the blocks. The
    backbone has its own strides, none of which became dilation. The name of a module, such as "layer3" or "blocks.5",
    means that module and all before it.

    Raises `InputError` for a word that is none of `FREEZE` and no module's name.
    """
    count = len(pieces.names)
    if freeze not in FREEZE:
        within = [
            n for n, name in enumerate(pieces.names, 1) if f"{name.removeprefix('trunk.')}.".startswith(f"{freeze}.")
        ]
        if not within:
            raise InputError(f"freeze {freeze!r}: no such part; choose one of {', '.join(FREEZE)}, or name a module")
        return within[-1]
    if freeze in ("none", "all"):
        return count if freeze == "all" else 0
    strides = [0 if shape is None else round(size / _side(shape)) for shape in pieces.shapes]
    stem = next((n for n, stride in enumerate(strides, 1) if stride >= STEM_STRIDE), count)
    if freeze == "stem":
        return stem
    # A pooling at the end, as VGG has it, is no stage.
    last = strides.index(max(s for s, weighted in zip(strides, pieces.weighted, strict=True) if weighted))
    return last if last >= stem else stem + (count - stem) * 3 // 4


def _side(shape: torch.Size) -> float:
    """The positions a side of a square map (1, C, h, w) or (1, h, w, C), or of tokens (1, L, C)."""
    if len(shape) == 4:
        return shape[2]
    return math.sqrt(shape[1]) if len(shape) == 3 else 1.0


def _record(trunk: nn.Module, size: int) -> _Call:
    stack: list[_Call] = []
    done: list[_Call] = []

    def enter(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        stack.append(_Call(module, inputs, options))

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = stack.pop()
        call.leave(output)
        (stack[-1].inner if stack else done).append(call)

    hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in trunk.modules()]
    hooks += [module.register_forward_hook(leave) for module in trunk.modules()]
    try:
        run_on_meta(trunk, size)
    finally:
        for hook in hooks:
            hook.remove()
    return done[0]


def _split(call: _Call) -> Sequence[_Call]:
    """The calls that a call is a row of: those of a plain `Sequential`, else the call itself."""
    if type(call.module).forward is not nn.Sequential.forward or not call.inner:
        return [call]
    return [piece for inner in call.inner for piece in _split(inner)]
