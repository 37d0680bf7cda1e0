"""Backbones by name: those of torchvision, and those of timm as "timm/NAME". Each library has its own file."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.network.base_backbone import OUTPUT_STRIDES, TIMM, Backbone
from acol.network.weights import (
    PACKAGE,
    PACKAGE_LICENCE,
    Provenance,
    State,
    is_path,
    load_state,
    package_file,
    read_state,
    renamed_by_order,
)

if TYPE_CHECKING:
    from acol.network.timm_models import TimmBackbone
    from acol.network.torchvision_models import TorchvisionBackbone

CLASSES = 1000  # the number of ImageNet's classes


def library_of(name: str) -> "type[TimmBackbone] | type[TorchvisionBackbone]":
    """Return the `Backbone` class of the library that a backbone's name belongs to."""
    # Imported here, since timm takes a second to load.
    if name.startswith(TIMM):
        from acol.network.timm_models import TimmBackbone

        return TimmBackbone
    from acol.network.torchvision_models import TorchvisionBackbone

    return TorchvisionBackbone


def build_backbone(name: str, *, weights: str | Path | None = None, output_stride: int = 32) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        name: the name of a torchvision classification CNN, or "timm/NAME" of a timm model with a spatial feature map.
        weights: None (random); a name of the library's weights ("DEFAULT", torchvision's "IMAGENET1K_V1", a timm tag),
            which the library downloads; the path of a state dict (`load_weights`); or "package": the weights that are
            installed with the project.
        output_stride: the largest number of pixels that a position of the feature map may span: 32, 16 or 8. Larger
            strides of the network become dilation; a network whose own stride is smaller keeps it.

    Raises `InputError` for an unknown name, a network without a spatial feature map, a stride that the architecture
    does not allow, and weights that cannot be read or do not fit.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride {output_stride}: not supported; choose 32, 16 or 8")
    library, facts = library_of(name), provenance_of(name, weights)
    if weights == PACKAGE:
        _package_file(name)  # fails before the network is built
    backbone = library(name, facts, library.build_whole(name)).of_stride(output_stride)
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def size_fault(name: str, size: int) -> str | None:
    """Return why a backbone does not take square images of `size` pixels per side, in a few words; None if it does."""
    return build_backbone(name).size_fault(size)


def provenance_of(name: str, weights: str | Path | None) -> Provenance:
    """Return the facts about a backbone's weights without loading them; for a file, those of the architecture."""
    named = None if weights is None or weights == PACKAGE or is_path(weights) else str(weights)
    return library_of(name).provenance_of(name, named)


def load_weights(backbone: Backbone, weights: str | Path) -> None:
    """Load weights into the backbone: those of a file, or any others that `build_backbone` takes.

    A file may hold the whole model or the backbone alone, under the names that the library uses; heads are left out. No
    code in it is run (`acol.network.weights`). No tensor may be missing, left over or of another shape.

    Raises `InputError` for a file that cannot be read, and for weights of another architecture.
    """
    module, renamed = backbone.library_module, partial(backbone.renamed, backbone.name)
    state, source, facts = _read(backbone.name, weights, module.state_dict())
    load_state(module, state, source, backbone.name, renamed, backbone.heads)
    backbone.provenance = facts


class ImageNetClassifier(NamedTuple):
    """A linear classifier of 1,000 classes on the pooled features of a backbone.

    `weight` (1000, channels) and `bias` (1000,) also make a 1x1 convolution on the feature map, whose outputs are
    class maps (Zhou et al., CVPR 2016, arXiv 1512.04150, section 2).
    """

    weight: Tensor
    bias: Tensor


def imagenet_classifier(name: str, weights: str | Path) -> ImageNetClassifier:
    """Return the ImageNet classifier of the whole model to which a backbone and its weights belong.

    `name` and `weights` are as in `build_backbone`; a file must hold the whole model.

    Raises `InputError` for weights that cannot be read, for a model that was not trained on ImageNet's 1,000 classes,
    and for one that does more between its feature map and its classes than pooling and one linear layer.
    """
    library = library_of(name)
    whole = library.build_whole(name).eval()
    state, source, facts = _read(name, weights, whole.state_dict())
    load_state(whole, state, source, f"the whole {name}", partial(library.renamed, name))
    # The last linear layer is the classifier if it gives the model's own scores from the mean of the features.
    image = torch.rand(1, 3, facts.size, facts.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = whole(image)
    linear = next((layer for layer in reversed([*whole.modules()]) if isinstance(layer, nn.Linear)), None)
    backbone = library(name, facts, whole)
    if (
        linear is None
        or (linear.out_features, linear.in_features) != (CLASSES, backbone.channels)
        or linear.bias is None
    ):
        raise InputError(f"backbone {name}: has no linear classifier of ImageNet's {CLASSES} classes on its features")
    with torch.inference_mode():
        pooled = linear(backbone.eval()(image).mean((2, 3)))
    if not torch.allclose(pooled, scores, rtol=1e-3, atol=1e-3):
        raise InputError(f"backbone {name}: its classifier reads more than the mean of its features")
    return ImageNetClassifier(linear.weight.detach(), linear.bias.detach())


def _read(name: str, weights: str | Path, wanted: State) -> tuple[State, str, Provenance]:
    """Return the weights of a backbone or of its whole model, a text that says where they are from, and their facts."""
    facts = provenance_of(name, weights)
    if weights == PACKAGE:
        path = _package_file(name)
        facts = replace(facts, weights=path.name, licence=PACKAGE_LICENCE)
        return renamed_by_order(read_state(path).state, wanted), str(path), facts
    if is_path(weights):
        state, stated = read_state(Path(weights))
        return state, str(weights), stated or replace(facts, weights=Path(weights).name, licence=None)
    return library_of(name).fetch_state(name, str(weights)), f"{weights} of {name}", facts


def _package_file(name: str) -> Path:
    return package_file(name.removeprefix(TIMM).partition(".")[0])
