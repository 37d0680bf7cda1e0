"""Backbones by their names: torchvision's, and timm's as "timm/NAME"; each library has its own file beside this one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from acol.errors import InputError
from acol.network.features import OUTPUT_STRIDES, Backbone
from acol.network.provenance import Provenance
from acol.network.weights import PACKAGE, is_path, read_state

TIMM = "timm/"  # what the names of timm's models begin with


class Library(Protocol):
    """What `torchvision_models` and `timm_models` know of a backbone, and how they build it.

    `weights` are a name of the library's own or, where something is built, "package"; None are random. All raise
    `InputError` for a name that the library does not know.
    """

    def provenance(self, name: str, weights: str | None) -> Provenance:
        """Return what the weights were trained on."""
        ...

    def size_fault(self, name: str, size: int) -> str | None:
        """Return in a few words why a backbone does not take images of `size` pixels a side; None where it does."""
        ...

    def backbone(self, name: str, weights: str | None, output_stride: int) -> Backbone:
        """Build the backbone."""
        ...

    def whole_model(self, name: str, weights: str | Path) -> Any:
        """Build the model that the weights, here also of a file, are of, with its classifier."""
        ...

    def trunk_of(self, name: str, facts: Provenance, whole: Any) -> Backbone:
        """Return the backbone in a whole model."""
        ...


def library_of(name: str) -> Library:
    """Return the library of a backbone by its name."""
    # Imported here: timm takes a second to load.
    if name.startswith(TIMM):
        from acol.network import timm_models

        return timm_models
    from acol.network import torchvision_models

    return torchvision_models


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
    path = Path(weights) if weights is not None and is_path(weights) else None
    named = None if weights is None or path else str(weights)
    backbone = library_of(name).backbone(name, named, output_stride)
    if path:
        load_weights(backbone, path)
    return backbone


def size_fault(name: str, size: int) -> str | None:
    """Return in a few words why a backbone does not take images of `size` pixels a side; None where it does."""
    return library_of(name).size_fault(name, size)


def provenance_of(name: str, weights: str | Path | None) -> Provenance:
    """Return what is known of a backbone's weights without loading them: of a file, what its library gives."""
    named = None if weights is None or weights == PACKAGE or is_path(weights) else str(weights)
    return library_of(name).provenance(name, named)


def load_weights(backbone: Backbone, path: str | Path) -> None:
    """Load a weights file into the backbone.

    It may hold the whole model or the backbone, by the library's names: the heads are left out. It is read without
    unpickling code, see `acol.network.weights`, and no tensor may be missing, left over or of another shape.

    Raises `InputError` for a file that cannot be read, and for weights of another architecture.
    """
    state, stated = read_state(Path(path))
    backbone.load_library_state(state, str(path))
    backbone.provenance = stated or replace(backbone.provenance, weights=Path(path).name, licence=None)
