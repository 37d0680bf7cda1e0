"""The class `Backbone`: images in, a spatial feature map out."""

import math
from collections.abc import Iterator, Set
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.pieces import LAST_STAGE, Call, LastStage, Pieces, find_pieces, record_calls, run_on_meta
from acol.network.weights import Provenance, State

OUTPUT_STRIDES = (32, 16, 8)
TIMM = "timm/"  # the prefix of the names of timm's models
# Pairs of image sizes between which a map of stride 32, 16, 8, ... grows by a whole number of positions. A network that
# takes more than one size takes at least one of these pairs, also with patches of 14 or 16 pixels or windows of 7 or 8.
_SIZES = ((224, 448), (256, 512), (192, 512))


class Backbone(nn.Module):
    """A network up to its last feature map: images (N, 3, H, W) -> features (N, channels, h, w).

    Attributes:
        name: as `acol.network.backbones.build_backbone` takes it.
        channels: of the feature map.
        stride: pixels of the image per position of the feature map.
        provenance: the facts about the weights.
        form: the form of the output of the last stage: maps, "channels first" or "channels last", or "tokens", which
            are (N, L, channels).

    Each library has a subclass. Its static methods `provenance_of`, `build_whole` and `fetch_state` take a backbone's
    name, and raise `InputError` for one that the library does not know.
    """

    channels: int
    stride: int
    pieces: Pieces  # the modules that run one after another, such as a ResNet's conv1, ..., layer1.0, layer1.1, ...
    heads: Set[str]  # parts of the whole model that the backbone leaves out, by their names up to the first dot
    prefix = 0  # the number of tokens before those of the map

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        super().__init__()
        self.name, self.provenance, self.form = name, provenance, "channels first"
        self._designed_pieces: Pieces | None = None  # those before strides became dilation, if some did
        self._frozen: tuple[str, ...] = ()
        self._set_trunk(whole)
        self.measure()

    # What differs between the libraries:

    @staticmethod
    def renamed(name: str, state: State) -> State:
        """Return a state dict with names of another version under the names of this one, if the library can do so."""
        return state

    def _set_trunk(self, whole: Any) -> None:
        """Take over the parts of the library's whole model that make the feature map."""
        raise NotImplementedError

    def last_stage(self, images: Tensor) -> Tensor:
        """Return the output of the last stage: a map, channels first or last, or tokens (N, L, channels)."""
        raise NotImplementedError

    def dilated(self, output_stride: int) -> "Backbone":
        """Return the backbone with strides beyond `output_stride` turned into dilation, or raise any error."""
        raise NotImplementedError

    def size_fault(self, size: int) -> str | None:
        """Return why it does not take square images of `size` pixels per side, in a few words; None if it does."""
        raise NotImplementedError

    @property
    def library_module(self) -> nn.Module:
        """The module whose parameters have the names that the library gives them."""
        return self

    # What all libraries have in common:

    @property
    def mean(self) -> tuple[float, float, float]:
        """The mean of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """The standard deviation of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.std

    def measure(self) -> list[Call]:
        """Find the form, stride, channels and pieces of the features; return the calls of the modules.

        Raises `InputError` if the features are no spatial map.
        """
        own = self.provenance.size

        def run(small: int, large: int) -> tuple[list[Call], torch.Size]:
            calls = record_calls(LastStage(self), small)
            return calls, getattr(run_on_meta(LastStage(self), large), "shape", torch.Size())

        # Two sizes that it takes, or else its own alone.
        for sizes in _SIZES:
            with suppress(Exception):  # each architecture refuses a size with its own kind of exception
                calls, large = run(*sizes)
                break
        else:
            sizes = (own, own)
            calls, large = run(*sizes)
        small = calls[-1].output.tensor.shape if calls[-1].output else torch.Size()
        # The form, and the positions per side of both maps.
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
        self.pieces = find_pieces(self, sizes[0], calls[-1])
        # The stride follows from how much the map grows, since the edge of an image may be cut off or padded.
        grown = sides[1] - sides[0]
        self.stride = round((sizes[1] - sizes[0]) / grown if grown else sizes[0] / sides[0])
        return calls

    def of_stride(self, wanted: int) -> "Backbone":
        """Return the backbone with an output stride of at most `wanted`.

        Raises `InputError` if its layers do not allow it.
        """
        if wanted >= self.stride:
            return self
        own, designed = self.stride, self.pieces
        with suppress(Exception):  # each family of networks refuses with another kind of exception
            denser = self.dilated(wanted)
            if denser.stride == wanted:
                denser._designed_pieces = designed
                return denser
        # A transformer has the stride of its patches, which may be none of the values that a setting takes.
        known = [stride for stride in OUTPUT_STRIDES if stride >= own]
        remedy = f"use {min(known)}" if known else f"their stride is {own}: use another backbone"
        if known and min(known) != own:
            remedy += f", with which its map has its own stride of {own}"
        raise InputError(f"backbone {self.name}: its layers do not allow output_stride {wanted}; {remedy}")

    def forward(self, images: Tensor, start: int = 0) -> Tensor:
        """Return the features of images, or of the output of the first `start` of `pieces` (`forward_until`)."""
        if not start:
            return self.as_map(self.last_stage(images), images.shape[-2:])
        if start == len(self.pieces.names):
            return images
        tokens = images.squeeze(-1) if images.shape[-1] == 1 and self.form == "tokens" else images
        for name in self.pieces.names[start:]:
            tokens = self.get_submodule(name)(tokens)
        return self.as_map(tokens, None)

    def forward_until(self, images: Tensor, start: int) -> Tensor:
        """Return the output of the first `start` of `pieces`, in 4 dimensions; `forward` goes on from it."""
        if start == len(self.pieces.names):
            return self(images)
        reached: list[Tensor] = []

        def stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            reached.append(inputs[0])
            raise _Reached

        hook = self.get_submodule(self.pieces.names[start]).register_forward_pre_hook(stop)
        try:
            with suppress(_Reached):
                self.last_stage(images)
        finally:
            hook.remove()
        return reached[0].unsqueeze(-1) if reached[0].ndim == 3 else reached[0]

    def as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        """Return the output of a stage as maps (N, channels, h, w); `image`: height and width, None if it is square."""
        if self.form == "channels first":
            return features
        if self.form == "channels last":
            return features.permute(0, 3, 1, 2)
        tokens = features[:, self.prefix :]  # (N, h * w, channels)
        count, (height, width) = tokens.shape[1], image or (1, 1)
        rows = height // self.stride
        if rows * (width // self.stride) != count:  # patches that overlap; ONNX could not export a root for all
            rows = round((count * height / width) ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, count // rows))

    def count_frozen(self, word: str) -> int:
        """Return how many of `pieces` a word of `acol.network.pieces.FREEZE`, or a module's name, means."""
        # Stages are told apart by their strides, so some of these must not have become dilation.
        return 0 if word == "none" else (self._designed_pieces or self.pieces).count_frozen(word)

    def freeze(self, word: str) -> int:
        """Keep a part of the backbone from training, by a word of `acol.network.pieces.FREEZE` or a module's name.

        Batch norms and dropout of that part stay in evaluation mode. Returns how many of `pieces` need to run only once
        for each image: 0 if the rest of the backbone needs more than their output, as in a transformer that gives the
        positions to each block.
        """
        count = self.count_frozen(word)
        if not count:
            return 0
        trained = {id(tensor) for name in self.pieces.names[count:] for tensor in self.get_submodule(name).parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._frozen = self.pieces.names[:count]
        self.train(self.training)
        return count if count >= self.pieces.chained else 0

    def train(self, mode: bool = True) -> "Backbone":
        """Set training or evaluation mode; the frozen part stays in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self

    def frozen_state(self, start: int) -> Iterator[Tensor]:
        """Yield the tensors on which the output of `forward_until` depends."""
        later = tuple(f"{name}." for name in self.pieces.names[start:])
        yield from (value for name, value in self.state_dict().items() if not name.startswith(later))

    def before_last_stage(self) -> nn.Module | None:
        """Return the module whose map (N, channels, h, w) the last stage takes; None if it is frozen or has no map."""
        count = self.count_frozen(LAST_STAGE)
        name = self.pieces.names[count - 1] if count else ""
        if not name or name in self._frozen or self.form != "channels first":
            return None
        return self.get_submodule(name)

    def check_size(self, size: int) -> None:
        """Raise `InputError` if it does not take square images of `size` pixels per side."""
        if fault := self.size_fault(size):
            raise InputError(f"images of {size} pixels per side: {fault}; change image.size or evaluate.scales")


class _Reached(Exception):
    """Ends `forward_until`, when the first module that it must not run is about to run."""
