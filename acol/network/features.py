"""A backbone: images in, a spatial feature map out."""

from collections.abc import Iterator, Mapping, Set

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.pieces import LAST_STAGE, Pieces, frozen_count, pieces_of
from acol.network.provenance import Provenance
from acol.network.weights import check_numbers, mismatch

OUTPUT_STRIDES = (32, 16, 8)


class Backbone(nn.Module):
    """A network up to its last feature map: images (N, 3, H, W) -> features (N, channels, h, w).

    Attributes: `name`, `channels`, `stride` (pixels of the image that a cell of the map spans), `provenance`, and the
    `form` of what the last stage gives: maps, "channels first" or "channels last", or "tokens" (N, L, channels).
    """

    channels: int
    stride: int
    form = "channels first"
    heads: Set[str]  # what of a whole model's names, up to the first dot, is no part of it
    undilated: tuple[Pieces, int] | None = None  # its pieces before strides became dilation, and at which size
    _size: int  # pixels a side of an image that it takes

    def __init__(self, name: str, provenance: Provenance) -> None:
        super().__init__()
        self.name, self.provenance = name, provenance
        self._pieces: Pieces | None = None
        self._still: tuple[str, ...] = ()

    @property
    def mean(self) -> tuple[float, float, float]:
        """The mean of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """The standard deviation of each RGB channel, values in [0, 1], that the weights were trained with."""
        return self.provenance.std

    def last_stage(self, images: Tensor) -> Tensor:
        """Return what the last stage gives: a map, channels first or last, or tokens (N, L, channels)."""
        raise NotImplementedError

    @property
    def library_module(self) -> nn.Module:
        """The module whose parameters have its library's names."""
        return self

    def renamed(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a state dict of which names are wrong under those that the library gives them, if it knows how."""
        return state

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        raise NotImplementedError

    def library_state(self) -> dict[str, Tensor]:
        """Return the trunk's state dict by its library's names."""
        return self.library_module.state_dict()

    def load_library_state(self, state: Mapping[str, Tensor], source: str) -> None:
        """Load a state dict by the library's names, of the whole model or the trunk, from a file or other `source`.

        Raises `InputError` where a tensor is missing, left over, of another shape or not finite.
        """
        wanted = self.library_state()
        if fault := mismatch(state, wanted, self.heads):
            try:
                state = self.renamed(state)
                fault = mismatch(state, wanted, self.heads)
            except ValueError as error:
                fault = f"{fault}; {error}"
        if fault:
            raise InputError(f"weights {source}: of another architecture than {self.name} ({fault}); name its own")
        check_numbers(source, state, wanted)
        # Counters that are missing stay as they are.
        self.library_module.load_state_dict(wanted | {key: state[key] for key in wanted if key in state})

    def forward(self, images: Tensor, start: int = 0) -> Tensor:
        """Return the features of images; or go on from what the first `start` of `pieces` made of them (`until`)."""
        if not start:
            return self._as_map(self.last_stage(images), images.shape[-2:])
        if start == len(self.pieces.names):
            return images
        tokens = images.squeeze(-1) if images.shape[-1] == 1 and self.form == "tokens" else images
        for name in self.pieces.names[start:]:
            tokens = self.get_submodule(name)(tokens)
        return self._as_map(tokens, None)

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
            self.last_stage(images)
        except _Reached:
            pass
        finally:
            hook.remove()
        return found[0].unsqueeze(-1) if found[0].ndim == 3 else found[0]

    @property
    def pieces(self) -> Pieces:
        """The modules that run one after another, such as a ResNet's conv1, ..., layer1.0, layer1.1, ..."""
        if self._pieces is None:
            self._pieces = pieces_of(self, self._size)
        return self._pieces

    def freeze(self, word: str) -> int:
        """Keep a part of the backbone as it is, by a word of `acol.network.pieces.FREEZE`.

        Returns how many of `pieces` run only once an image: 0 where the rest of the backbone needs more of an image
        than they give, as in a transformer whose every block is told the positions. Batch norms and dropout of what is
        frozen stay as in evaluation.
        """
        count = self._count(word)
        if not count:
            return 0
        trained = {id(tensor) for name in self.pieces.names[count:] for tensor in self.get_submodule(name).parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._still = self.pieces.names[:count]
        self.train(self.training)
        return count if count >= self.pieces.chained else 0

    def before_last_stage(self) -> nn.Module | None:
        """Return the module whose map (N, channels, h, w) the last stage takes; None if it is frozen or gives none."""
        count = self._count(LAST_STAGE)
        name = self.pieces.names[count - 1] if count else ""
        if not name or name in self._still or self.form != "channels first":
            return None
        return self.get_submodule(name)

    def _count(self, word: str) -> int:
        """How many of the pieces a word of `FREEZE` means."""
        if word == "none":
            return 0
        # The stages lie where its strides are as designed: some may have become dilation.
        return frozen_count(word, *(self.undilated or (self.pieces, self._size)))

    def frozen_state(self, start: int) -> Iterator[Tensor]:
        """Yield the tensors that decide what `until` returns."""
        later = tuple(f"{name}." for name in self.pieces.names[start:])
        yield from (value for name, value in self.state_dict().items() if not name.startswith(later))

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode of training or evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for name in self._still:
            self.get_submodule(name).eval()
        return self

    def check_size(self, size: int) -> None:
        """Raise `InputError` for images of a size that it does not take."""
        if fault := self.size_fault(size):
            raise InputError(f"images of {size} pixels a side: {fault}; change image.size or evaluate.scales")

    def _as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        return features


class _Reached(Exception):
    """The module from which training goes on is about to run."""


def no_such_stride(backbone: Backbone, wanted: int) -> InputError:
    """Return the error for an output stride that the layers of a backbone, here with its own, do not allow."""
    # A transformer has the stride of its patch, which need be none that a setting may name.
    own = backbone.stride
    known = [stride for stride in OUTPUT_STRIDES if stride >= own]
    remedy = f"use {min(known)}" if known else f"theirs is {own}: use another backbone"
    if known and min(known) != own:
        remedy += f", with which its map has its own stride of {own}"
    return InputError(f"backbone {backbone.name}: its layers do not allow output_stride {wanted}; {remedy}")
