"""A backbone: images in, a spatial feature map out."""

import math
from collections.abc import Iterator, Set
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.pieces import LAST_STAGE, LastStage, Pieces, pieces_of, run_on_meta
from acol.network.weights import Provenance, State

OUTPUT_STRIDES = (32, 16, 8)
# Pairs of sizes between which a map of stride 32, 16, 8, ... grows by a whole number of cells. At least one of them is
# taken by whatever takes more than one size: by patches of 14 or 16 pixels, by windows of 7 or 8.
_SIZES = ((224, 448), (256, 512), (192, 512))


class Backbone(nn.Module):
    """A network up to its last feature map: images (N, 3, H, W) -> features (N, channels, h, w).

    Attributes: `name`, `channels`, `stride` (pixels of the image that a cell of the map spans), `provenance`, and the
    `form` of what the last stage gives: maps, "channels first" or "channels last", or "tokens" (N, L, channels).

    Each library has a class of its own, which also says what the library knows of a backbone by its name: `known`,
    `whole` and `published`, which raise `InputError` for a name that the library does not know.
    """

    channels: int
    stride: int
    heads: Set[str]  # what of a whole model's names, up to the first dot, is no part of it
    prefix = 0  # tokens before those of the map

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        super().__init__()
        self.name, self.provenance, self.form = name, provenance, "channels first"
        self._pieces: Pieces | None = None
        self._designed: Pieces | None = None  # before strides became dilation
        self._still: tuple[str, ...] = ()
        self._take(whole)
        self.measure()

    # What each library does in its own way:

    @staticmethod
    def renamed(name: str, state: State) -> State:
        """Return a whole model's state dict, some names of which are wrong, under the library's, if it knows how."""
        return state

    def _take(self, whole: Any) -> None:
        """Make the trunk of the library's whole model one's own."""
        raise NotImplementedError

    def last_stage(self, images: Tensor) -> Tensor:
        """Return what the last stage gives: a map, channels first or last, or tokens (N, L, channels)."""
        raise NotImplementedError

    def dilated(self, output_stride: int) -> "Backbone":
        """Return the backbone with strides beyond `output_stride` turned into dilation, where it can; or any error."""
        raise NotImplementedError

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        raise NotImplementedError

    @property
    def library_module(self) -> nn.Module:
        """The module whose parameters have its library's names."""
        return self

    # What all have in common:

    @property
    def mean(self) -> tuple[float, float, float]:
        """The mean of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """The standard deviation of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.std

    def measure(self) -> None:
        """Find out the form of the features, their stride and channels; raises `InputError` if they are no map."""
        own = self.provenance.size

        def shapes(sizes: tuple[int, int]) -> list[torch.Size]:
            return [getattr(run_on_meta(LastStage(self), size), "shape", torch.Size()) for size in sizes]

        for sizes in _SIZES:
            with suppress(Exception):  # each architecture refuses a size by an exception of its own kind
                small, large = shapes(sizes)
                break
        else:
            sizes = (own, own)
            small, large = shapes(sizes)
        sides = [0.0]
        if len(small) == 3:
            self.form, self.channels = "tokens", small[2]
            sides = [math.sqrt(max(0, shape[1] - self.prefix)) for shape in (small, large)]
        elif len(small) == 4:
            width = getattr(self.library_module, "num_features", None)
            last = small[3] == width and small[1] == small[2] and small[1] != small[3]
            self.form, self.channels = ("channels last", small[3]) if last else ("channels first", small[1])
            sides = [shape[1 if last else 2] for shape in (small, large)]
        if sides[0] < 1 or sides[0] % 1 or (self.form == "tokens" and sides[0] == 1):
            raise InputError(f"backbone {self.name}: has no spatial feature map; choose a CNN or a ViT")
        self._size, self._pieces = sizes[0], None
        # From how much the map grows, if it does: an image's edge may be cut off, or filled up.
        grown = sides[1] - sides[0]
        self.stride = round((sizes[1] - sizes[0]) / grown if grown else sizes[0] / sides[0])

    def of_stride(self, wanted: int) -> "Backbone":
        """Return the backbone with an output stride of `wanted` or less.

        Raises `InputError` where its layers do not allow it.
        """
        if wanted >= self.stride:
            return self
        # A transformer has the stride of its patch, which need be none that a setting may name.
        own, designed = self.stride, self.pieces
        with suppress(Exception):  # each family refuses by another kind
            denser = self.dilated(wanted)
            if denser.stride == wanted:
                denser._designed = designed
                return denser
        known = [stride for stride in OUTPUT_STRIDES if stride >= own]
        remedy = f"use {min(known)}" if known else f"theirs is {own}: use another backbone"
        if known and min(known) != own:
            remedy += f", with which its map has its own stride of {own}"
        raise InputError(f"backbone {self.name}: its layers do not allow output_stride {wanted}; {remedy}")

    def forward(self, images: Tensor, start: int = 0) -> Tensor:
        """Return the features of images; or go on from what the first `start` of `pieces` made of them (`until`)."""
        if not start:
            return self.as_map(self.last_stage(images), images.shape[-2:])
        if start == len(self.pieces.names):
            return images
        tokens = images.squeeze(-1) if images.shape[-1] == 1 and self.form == "tokens" else images
        for name in self.pieces.names[start:]:
            tokens = self.get_submodule(name)(tokens)
        return self.as_map(tokens, None)

    def until(self, images: Tensor, start: int) -> Tensor:
        """Return what the first `start` of `pieces` make of images, for `forward` to go on from: 4 dimensions."""
        if start == len(self.pieces.names):
            return self(images)
        found: list[Tensor] = []

        def stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(inputs[0])
            raise _Reached

        hook = self.get_submodule(self.pieces.names[start]).register_forward_pre_hook(stop)
        try:
            with suppress(_Reached):
                self.last_stage(images)
        finally:
            hook.remove()
        return found[0].unsqueeze(-1) if found[0].ndim == 3 else found[0]

    def as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        """Bring what a stage gives to maps (N, channels, h, w); `image`: height and width, None if they are equal."""
        if self.form == "channels first":
            return features
        if self.form == "channels last":
            return features.permute(0, 3, 1, 2)
        tokens = features[:, self.prefix :]  # (N, h * w, channels)
        count, (height, width) = tokens.shape[1], image or (1, 1)
        rows = height // self.stride
        if rows * (width // self.stride) != count:  # patches that overlap; a root is nothing that ONNX can write
            rows = round((count * height / width) ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, count // rows))

    @property
    def pieces(self) -> Pieces:
        """The modules that run one after another, such as a ResNet's conv1, ..., layer1.0, layer1.1, ..."""
        if self._pieces is None:
            self._pieces = pieces_of(self, self._size)
        return self._pieces

    def count(self, word: str) -> int:
        """Return how many of `pieces` a word of `acol.network.pieces.FREEZE`, or a module's name, means."""
        # The stages lie where its strides are as designed: some may have become dilation.
        return 0 if word == "none" else (self._designed or self.pieces).count(word)

    def freeze(self, word: str) -> int:
        """Keep a part of the backbone as it is, by a word of `acol.network.pieces.FREEZE`.

        Returns how many of `pieces` run only once an image: 0 where the rest of the backbone needs more of an image
        than they give, as in a transformer whose every block is told the positions. Batch norms and dropout of what is
        frozen stay as in evaluation.
        """
        count = self.count(word)
        if not count:
            return 0
        trained = {id(tensor) for name in self.pieces.names[count:] for tensor in self.get_submodule(name).parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._still = self.pieces.names[:count]
        self.train(self.training)
        return count if count >= self.pieces.chained else 0

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode of training or evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for name in self._still:
            self.get_submodule(name).eval()
        return self

    def frozen_state(self, start: int) -> Iterator[Tensor]:
        """Yield the tensors that decide what `until` returns."""
        later = tuple(f"{name}." for name in self.pieces.names[start:])
        yield from (value for name, value in self.state_dict().items() if not name.startswith(later))

    def before_last_stage(self) -> nn.Module | None:
        """Return the module whose map (N, channels, h, w) the last stage takes; None if it is frozen or gives none."""
        count = self.count(LAST_STAGE)
        name = self.pieces.names[count - 1] if count else ""
        if not name or name in self._still or self.form != "channels first":
            return None
        return self.get_submodule(name)

    def check_size(self, size: int) -> None:
        """Raise `InputError` for images of a size that it does not take."""
        if fault := self.size_fault(size):
            raise InputError(f"images of {size} pixels a side: {fault}; change image.size or evaluate.scales")


class _Reached(Exception):
    """The module from which training goes on is about to run."""
