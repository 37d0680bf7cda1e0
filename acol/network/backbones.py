"""Backbones by their names: torchvision's, and timm's as "timm/NAME"; each library has its own file beside this one."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.features import OUTPUT_STRIDES, Backbone
from acol.network.weights import (
    PACKAGE,
    PACKAGE_LICENCE,
    Provenance,
    State,
    by_order,
    is_path,
    load_state,
    package_file,
    read_state,
)

if TYPE_CHECKING:
    from acol.network.timm_models import TimmBackbone
    from acol.network.torchvision_models import TorchvisionBackbone

TIMM = "timm/"  # what the names of timm's models begin with
CLASSES = 1000  # of ImageNet


def library_of(name: str) -> "type[TimmBackbone] | type[TorchvisionBackbone]":
    """Return the class of a backbone by its name: its library's."""
    # Imported here: timm takes a second to load.
    if name.startswith(TIMM):
        from acol.network.timm_models import TimmBackbone

        return TimmBackbone
    from acol.network.torchvision_models import TorchvisionBackbone

    return TorchvisionBackbone


def build_backbone(name: str, *, weights: str | Path | None = None, output_stride: int = 32) -> Backbone:
    """Build the backbone `name` with random (None) or given weights.

    `name` is torchvision's of a classification CNN, or "timm/NAME" of any timm model with a spatial feature map.
    `weights` are a name of the library's own ("DEFAULT", torchvision's "IMAGENET1K_V1", a timm tag), which the library
    itself fetches; the path of a state dict, see `load_weights`; or "package" for those installed with the project.

    `output_stride` (32, 16 or 8) is the most pixels a cell of the feature map may span; a network whose own stride is
    smaller keeps it. Strides beyond it become dilation.

    Raises `InputError` for an unknown name, a network without a spatial feature map, a stride that the architecture
    does not allow, and weights that cannot be had or do not fit.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride {output_stride}: not supported; choose 32, 16 or 8")
    library, facts = library_of(name), provenance_of(name, weights)
    if weights == PACKAGE:
        _packaged(name)  # before a network is built for nothing
    backbone = library(name, facts, library.whole(name)).of_stride(output_stride)
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def size_fault(name: str, size: int) -> str | None:
    """Return in a few words why a backbone does not take images of `size` pixels a side; None where it does."""
    return build_backbone(name).size_fault(size)


def provenance_of(name: str, weights: str | Path | None) -> Provenance:
    """Return what is known of a backbone's weights without loading them: of a file, what its library gives."""
    named = None if weights is None or weights == PACKAGE or is_path(weights) else str(weights)
    return library_of(name).known(name, named)


def load_weights(backbone: Backbone, weights: str | Path) -> None:
    """Load weights into the backbone: a file's, or what else `build_backbone` takes.

    A file may hold the whole model or the backbone, by the library's names: the heads are left out. It is read without
    unpickling code, see `acol.network.weights`, and no tensor may be missing, left over or of another shape.

    Raises `InputError` for a file that cannot be read, and for weights of another architecture.
    """
    module, renamed = backbone.library_module, partial(backbone.renamed, backbone.name)
    state, source, facts = _read(backbone.name, weights, module.state_dict())
    load_state(module, state, source, backbone.name, renamed, backbone.heads)
    backbone.provenance = facts


class ImageNetClassifier(NamedTuple):
    """A linear classifier of 1,000 classes on a trunk's pooled features.

    `weight` (1000, channels) and `bias` (1000,) are also those of a 1x1 convolution on the feature map, whose outputs
    are class maps (Zhou et al., CVPR 2016, arXiv 1512.04150, section 2).
    """

    weight: Tensor
    bias: Tensor


def imagenet_classifier(name: str, weights: str | Path) -> ImageNetClassifier:
    """Return the classifier in the whole model that a backbone and its weights are of.

    `name` and `weights` are as in `build_backbone`; a file must hold the whole model.

    Raises `InputError` for weights that cannot be had, for a model that was not trained on ImageNet's 1,000 classes,
    and for one that does more between its feature map and its classes than pooling and one linear layer.
    """
    library = library_of(name)
    whole = library.whole(name).eval()
    state, source, facts = _read(name, weights, whole.state_dict())
    load_state(whole, state, source, f"the whole {name}", partial(library.renamed, name))
    image = torch.rand(1, 3, facts.size, facts.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = whole(image)
    linear = next((layer for layer in reversed([*whole.modules()]) if isinstance(layer, nn.Linear)), None)
    trunk = library(name, facts, whole)
    if linear is None or (linear.out_features, linear.in_features) != (CLASSES, trunk.channels) or linear.bias is None:
        raise InputError(f"backbone {name}: has no linear classifier of ImageNet's {CLASSES} classes on its features")
    with torch.inference_mode():
        pooled = linear(trunk.eval()(image).mean((2, 3)))
    if not torch.allclose(pooled, scores, rtol=1e-3, atol=1e-3):
        raise InputError(f"backbone {name}: its classifier reads more than the mean of its features")
    return ImageNetClassifier(linear.weight.detach(), linear.bias.detach())


def _read(name: str, weights: str | Path, wanted: State) -> tuple[State, str, Provenance]:
    """Read weights of a backbone or of its whole model, where they are from, and what is known of them."""
    facts = provenance_of(name, weights)
    if weights == PACKAGE:
        path = _packaged(name)
        facts = replace(facts, weights=path.name, licence=PACKAGE_LICENCE)
        return by_order(read_state(path).state, wanted), str(path), facts
    if is_path(weights):
        state, stated = read_state(Path(weights))
        return state, str(weights), stated or replace(facts, weights=Path(weights).name, licence=None)
    return library_of(name).published(name, str(weights)), f"{weights} of {name}", facts


def _packaged(name: str) -> Path:
    return package_file(name.removeprefix(TIMM).partition(".")[0])
