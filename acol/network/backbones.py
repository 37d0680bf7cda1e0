"""Trunks: images in, a spatial feature map out.

A torchvision network keeps torchvision's parameter names, so that any torchvision weights file fits it unchanged,
whatever its stride; timm's model stands whole under the name `trunk`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network import torchvision_models
from acol.network.dilation import dilate
from acol.network.pieces import LAST_STAGE, Pieces, frozen_count, pieces_of
from acol.network.provenance import Provenance
from acol.network.shapes import LARGE, SMALL, LastStage, run_on_meta, stride_between
from acol.network.weights import (
    PACKAGE_LICENCE,
    by_order,
    check_numbers,
    is_path,
    mismatch,
    package_file,
    read_state,
)

OUTPUT_STRIDES = (32, 16, 8)
TIMM = "timm/"  # what the names of timm's models begin with
PACKAGE = "package"  # the weights that are installed with the project

# Pairs of sizes of which at least one is taken by whatever takes more than one size: by patches of 14 or 16 pixels, by
# windows of 7 or 8.
_SIZES = ((224, 448), (256, 512), (SMALL, LARGE))


class Backbone(nn.Module):
    """A network up to its last feature map: images (N, 3, H, W) -> features (N, channels, h, w).

    Attributes: `name`, `channels`, `stride` (pixels of the image that a cell of the map spans) and `provenance`.
    """

    channels: int
    stride: int
    _size: int  # pixels a side of an image that it takes
    _channels_first: bool

    def __init__(self, name: str, provenance: Provenance) -> None:
        super().__init__()
        self.name, self.provenance = name, provenance
        self._pieces: Pieces | None = None
        self._native: tuple[Pieces, int] | None = None  # those of the backbone without dilation, and at which size
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

    def library_state(self) -> dict[str, Tensor]:
        """Return the trunk's state dict by its library's names."""
        raise NotImplementedError

    def forward(self, images: Tensor, start: int = 0) -> Tensor:
        """Return the features of images; or go on from what the first `start` of `pieces` made of them (`until`)."""
        if not start:
            return self._as_map(self.last_stage(images), images.shape[-2:])
        if start == len(self.pieces.names):
            return images
        tokens = images.squeeze(-1) if images.shape[-1] == 1 and self._of_tokens else images
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
        if not name or name in self._still or not self._maps_channels_first:
            return None
        return self.get_submodule(name)

    def _count(self, word: str) -> int:
        """How many of the pieces a word of `FREEZE` means."""
        if self._native is None:
            native = build_backbone(self.name)  # strides as designed: here some may have become dilation
            self._native = native.pieces, native._size
        return frozen_count(word, *self._native)

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

    def takes(self, size: int, device: str = "meta") -> bool:
        """Whether the backbone takes square images of `size` pixels a side, computed on a `device`."""
        try:
            return run_on_meta(self, size, device=device).numel() > 0
        except Exception:  # each architecture refuses by an exception of its own kind
            return False

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        # By shapes alone some of timm's transformers take a size whose positions their tables do not hold.
        device = "cpu" if self.name.startswith(TIMM) and size != self.provenance.size else "meta"
        if self.takes(size) and self.takes(size, device):
            return None
        step = self.stride
        near = [other for other in (size // step * step, (size // step + 1) * step) if other and other != size]
        near = [other for other in near if self.takes(other) and self.takes(other, device)]
        return f"{self.name} takes {' or '.join(map(str, near or [self.provenance.size]))} pixels"

    def check_size(self, size: int) -> None:
        """Raise `InputError` for images of a size that it does not take."""
        if fault := self.size_fault(size):
            raise InputError(f"images of {size} pixels a side: {fault}; change image.size or evaluate.scales")

    @property
    def _of_tokens(self) -> bool:
        return False

    @property
    def _maps_channels_first(self) -> bool:
        return True

    def _as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        return features


class TorchvisionBackbone(Backbone):
    """The parts of a torchvision CNN before its pooling, by torchvision's names, one after another."""

    def __init__(self, name: str, provenance: Provenance, parts: Mapping[str, nn.Module]) -> None:
        super().__init__(name, provenance)
        for part, module in OrderedDict(parts).items():
            self.add_module(part, module)
        self._size = LARGE
        self.measure()

    def measure(self) -> None:
        """Find out stride and channels."""
        small, large = run_on_meta(self, SMALL).shape, run_on_meta(self, LARGE).shape
        stride = stride_between(small, large, (SMALL, LARGE))
        assert stride is not None  # a CNN's map grows with the image
        self.stride, self.channels = stride, small[1]
        self._pieces = None

    def last_stage(self, images: Tensor) -> Tensor:
        """Run the parts one after another."""
        for part in self.children():
            images = part(images)
        return images

    def library_state(self) -> dict[str, Tensor]:
        """Return the trunk's state dict by torchvision's names."""
        return self.state_dict()


class TimmBackbone(Backbone):
    """Timm's model without what comes after its last feature map; its stages are attributes here too.

    Raises `InputError` for a model without a spatial feature map.
    """

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        super().__init__(name, provenance)
        self.trunk = whole
        self._prefix = int(getattr(whole, "num_prefix_tokens", None) or 0)
        # What files of the whole model hold, in timm's order.
        self.whole_shapes = {key: value.shape for key, value in whole.state_dict().items()}
        self._measure()
        self._put_out_heads()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of timm's model, such as a stage, under its own name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "trunk":
                raise
            return getattr(super().__getattr__("trunk"), name)

    def last_stage(self, images: Tensor) -> Tensor:
        """Run timm's own `forward_features`."""
        return self.trunk.forward_features(images)

    def library_state(self) -> dict[str, Tensor]:
        """Return the trunk's state dict by timm's names."""
        return self.trunk.state_dict()

    @property
    def _of_tokens(self) -> bool:
        return self._kind == "tokens"

    @property
    def _maps_channels_first(self) -> bool:
        return self._kind == "channels first"

    def _as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        if self._kind == "channels last":
            return features.permute(0, 3, 1, 2)
        if self._kind == "channels first":
            return features
        tokens = features[:, self._prefix :]  # (N, h * w, channels)
        height, width = image or (1, 1)  # what is gone on from is of square images
        rows = round((tokens.shape[1] * height / width) ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, tokens.shape[1] // rows))

    def _measure(self) -> None:
        """Find out the form of the features, their stride and channels."""
        self._kind = "unknown"
        own = self.provenance.size
        shapes = None
        for sizes in _SIZES:
            try:
                shapes = [_shape_of(self, size) for size in sizes]
            except Exception:  # each architecture refuses a size by an exception of its own kind
                continue
            break
        else:
            sizes = (own, own)
            shapes = [_shape_of(self, own)]
        self._size = sizes[0]
        stride = stride_between(shapes[0], shapes[-1], sizes) if len(shapes) == 2 else None
        first = shapes[0]
        if len(first) == 3:
            self._kind, self.channels = "tokens", first[2]
            positions = first[1] - self._prefix
            side = round(max(positions, 0) ** 0.5)
            spatial = side * side == positions > 1
        elif len(first) == 4:
            last = first[3] == self.trunk.num_features and first[1] == first[2] and first[1] != first[3]
            self._kind = "channels last" if last else "channels first"
            self.channels, side = (first[3], first[1]) if last else (first[1], first[2])
            spatial = True
        else:
            spatial, side = False, 1
        if not spatial:
            raise InputError(f"backbone {self.name}: has no spatial feature map; choose a CNN or a ViT")
        self.stride = stride or round(sizes[0] / side)

    def _put_out_heads(self) -> None:
        """Put out what lies behind the feature map: it would train for nothing, and be saved."""
        called: set[nn.Module] = set()
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs, of=child: called.add(of))
            for child in self.trunk.children()
            for module in child.modules()
        ]
        run_on_meta(self, self._size)
        for hook in hooks:
            hook.remove()
        for name, child in list(self.trunk.named_children()):
            if child not in called and any(True for _ in child.parameters()):
                setattr(self.trunk, name, nn.Identity())
                if not self.takes(self._size):  # it is used otherwise than by a call
                    setattr(self.trunk, name, child)


class _Reached(Exception):
    """The module from which training goes on is about to run."""


def _shape_of(backbone: TimmBackbone, size: int) -> torch.Size:
    found = run_on_meta(LastStage(backbone), size)
    return found.shape if isinstance(found, Tensor) else torch.Size()


def build_backbone(name: str, *, weights: str | Path | None = None, output_stride: int = 32) -> Backbone:
    """Build the backbone `name` with random (None) or given weights.

    `name` is torchvision's of a classification CNN, or "timm/NAME" of any timm model with a spatial feature map.
    `weights` are a name of the library's own ("DEFAULT", torchvision's "IMAGENET1K_V1", a timm tag), which the library
    itself fetches; the path of a state dict, see `load_weights`; or "package" for those installed with the project.

    `output_stride` (32, 16 or 8) is the most pixels a cell of the feature map may span; a network whose own stride is
    smaller keeps it. Strides beyond it become dilation, see `acol.network.dilation`; timm's models do so themselves.

    Raises `InputError` for an unknown name, a network without a spatial feature map, a stride that the architecture
    does not allow, and weights that cannot be had or do not fit.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride {output_stride}: not supported; choose 32, 16 or 8")
    build = _build_timm if name.startswith(TIMM) else _build_torchvision
    return build(name, weights, output_stride)


def check_name(name: str) -> None:
    """Raise `InputError` for a name that `build_backbone` does not know, with the nearest one that it does."""
    if name.startswith(TIMM):
        from acol.network import timm_models

        timm_models.bare(name)
    else:
        torchvision_models.check_name(name)


def size_fault(name: str, size: int) -> str | None:
    """Return in a few words why a backbone does not take images of `size` pixels a side; None where it does."""
    if not name.startswith(TIMM):
        least = torchvision_models.smallest_image(name)
        return None if size >= least else f"{name} takes {least} pixels or more"
    return build_backbone(name).size_fault(size)


def provenance_of(name: str, weights: str | Path | None) -> Provenance:
    """Return what is known of a backbone's weights without loading them: of a file, what its library gives."""
    named = None if weights is None or weights == PACKAGE or is_path(weights) else str(weights)
    if not name.startswith(TIMM):
        return torchvision_models.provenance(name, named)
    from acol.network import timm_models

    return timm_models.provenance(name, named)


def load_weights(backbone: Backbone, weights: str | Path) -> None:
    """Load weights into the backbone, as `build_backbone` does.

    A file may hold the whole model or the backbone, by the library's names: the heads are left out. It is read without
    unpickling code, see `acol.network.weights`, and no tensor may be missing, left over or of another shape.

    Raises `InputError` for an unknown weights name, weights that cannot be fetched or read, and weights of another
    architecture.
    """
    if not is_path(weights):
        other = build_backbone(backbone.name, weights=str(weights))
        backbone.load_state_dict(other.state_dict())
        backbone.provenance = other.provenance
        return
    path = Path(weights)
    state, said = read_state(path)
    load_state(backbone, state, str(path))
    facts = backbone.provenance
    backbone.provenance = said or replace(facts, weights=path.name, licence=None)


def load_state(backbone: Backbone, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict by the library's names, of a file or other `source`; raises `InputError` as `load_weights`."""
    wanted = backbone.library_state()
    fault = mismatch(state, wanted, _heads(backbone, wanted))
    if fault and isinstance(backbone, TimmBackbone):
        state, fault = _renamed_by_timm(backbone, state, wanted, fault)
    if fault:
        raise InputError(f"weights {source}: of another architecture than {backbone.name} ({fault}); name its own")
    check_numbers(source, state, wanted)
    # Counters that are missing stay as they are.
    target = backbone.trunk if isinstance(backbone, TimmBackbone) else backbone
    target.load_state_dict(wanted | {key: state[key] for key in wanted if key in state})


def _heads(backbone: Backbone, wanted: Mapping[str, Tensor]) -> set[str]:
    """What of a file's names, up to the first dot, are of heads."""
    if not isinstance(backbone, TimmBackbone):
        return torchvision_models.HEADS
    left_out = {key.split(".")[0] for key in backbone.whole_shapes} - {key.split(".")[0] for key in wanted}
    return left_out | {"classifier", "fc", "head"}  # a model that timm builds without a classifier may come with one


def _renamed_by_timm(
    backbone: TimmBackbone, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], fault: str
) -> tuple[Mapping[str, Tensor], str | None]:
    """Have timm load a state dict into its whole model, by which it renames what others named; return the trunk's."""
    from acol.network import timm_models

    rows = state.get(f"{timm_models.classifier_name(backbone.name)}.weight")
    try:
        whole = timm_models.build(backbone.name, state, 0 if rows is None else len(rows))
    except Exception as error:  # timm's own renaming raises whatever other names than it knows make it raise
        reason = " ".join(str(error).split())
        return state, f"{fault}; timm: {reason:.160}"
    return {key: value for key, value in whole.state_dict().items() if key in wanted}, None


def _build_torchvision(name: str, weights: str | Path | None, output_stride: int) -> Backbone:
    if weights == PACKAGE:
        package_file(name)  # none serves a torchvision model, which it says
    named = None if weights is None or is_path(weights) else str(weights)
    whole = torchvision_models.build(name, named)
    facts = torchvision_models.provenance(name, named)
    backbone = TorchvisionBackbone(name, facts, torchvision_models.trunk_parts(whole))
    native = backbone.stride
    if output_stride < native:
        dilate(backbone, output_stride)
        try:
            backbone.measure()
        except RuntimeError:  # branches that no longer meet: one of them strides inside a functional call
            backbone.stride = native
        if backbone.stride != output_stride:
            raise _no_such_stride(name, output_stride, native)
    if weights is not None and named is None:
        load_weights(backbone, weights)
    return backbone


def _build_timm(name: str, weights: str | Path | None, output_stride: int) -> Backbone:
    from acol.network import timm_models

    architecture = timm_models.bare(name).partition(".")[0]
    named = None if weights is None or weights == PACKAGE or is_path(weights) else str(weights)
    facts = timm_models.provenance(name, named)
    path = package_file(architecture) if weights == PACKAGE else None
    backbone = TimmBackbone(name, facts, timm_models.build(name))
    native = backbone.stride
    if output_stride < native:
        try:
            backbone = TimmBackbone(name, facts, timm_models.build(name, output_stride=output_stride))
        except Exception:  # TypeError, AssertionError, NotImplementedError: each family has its own
            raise _no_such_stride(name, output_stride, native) from None
        if backbone.stride != output_stride:
            raise _no_such_stride(name, output_stride, native)
    if path is not None:
        state = by_order(read_state(path).state, backbone.whole_shapes)
        load_state(backbone, state, str(path))
        backbone.provenance = replace(facts, weights=path.name, licence=PACKAGE_LICENCE)
    elif named is not None:
        load_state(backbone, read_state(timm_models.fetch(name, named)).state, f"{named} of {name}")
    elif weights is not None:
        load_weights(backbone, weights)
    return backbone


def _no_such_stride(name: str, wanted: int, native: int) -> InputError:
    # A transformer has the stride of its patch, which need be none that a setting may name.
    known = [stride for stride in OUTPUT_STRIDES if stride >= native]
    remedy = f"use {min(known)}" if known else f"theirs is {native}: use another backbone"
    if known and min(known) != native:
        remedy += f", with which its map has its own stride of {native}"
    return InputError(f"backbone {name}: its layers do not allow output_stride {wanted}; {remedy}")
