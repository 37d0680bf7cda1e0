"""Torchvision's classification CNNs, and which of their parts come before the pooling."""

from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.dilation import dilate
from acol.network.features import Backbone, no_such_stride
from acol.network.provenance import Provenance
from acol.network.shapes import LARGE, SMALL, run_on_meta, stride_between
from acol.network.weights import PACKAGE, is_path, load_whole, package_file, read_state

# What of each torchvision class stands before global pooling, in order; () is all but the heads.
_TRUNKS: dict[str, tuple[str, ...]] = {
    "AlexNet": ("features",),
    "ConvNeXt": ("features",),
    "DenseNet": ("features",),
    "EfficientNet": ("features",),
    "GoogLeNet": (),
    "Inception3": (),
    "MNASNet": ("layers",),
    "MobileNetV2": ("features",),
    "MobileNetV3": ("features",),
    "RegNet": ("stem", "trunk_output"),
    "ResNet": ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    "ShuffleNetV2": ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
    "SqueezeNet": ("features",),
    "VGG": ("features",),
}
HEADS = {"aux1", "aux2", "AuxLogits", "avgpool", "dropout", "fc", "classifier"}
INCEPTIONS = ("googlenet", "inception_v3")
# Families of torchvision without a convolutional feature map; their names start so.
_TRANSFORMERS = ("maxvit", "swin", "vit")


class TorchvisionBackbone(Backbone):
    """The parts of a torchvision CNN before its pooling, one after another.

    They keep torchvision's names, so that any torchvision weights file fits, whatever the stride.
    """

    heads = HEADS

    def __init__(self, name: str, facts: Provenance, whole: nn.Module) -> None:
        super().__init__(name, facts)
        for part, module in trunk_parts(whole).items():
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

    def dilate(self, output_stride: int) -> None:
        """Turn strides beyond `output_stride` into dilation. Raises `InputError` where the layers do not allow it."""
        fault = no_such_stride(self, output_stride)
        self.undilated = self.pieces, self._size
        dilate(self, output_stride)
        try:
            self.measure()
        except RuntimeError:  # branches that no longer meet: one of them strides inside a functional call
            raise fault from None
        if self.stride != output_stride:
            raise fault

    def last_stage(self, images: Tensor) -> Tensor:
        """Run the parts one after another."""
        for part in self.children():
            images = part(images)
        return images

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        return size_fault(self.name, size)


trunk_of = TorchvisionBackbone


def names() -> list[str]:
    """Return the name of every torchvision classification CNN, each of which can be a backbone."""
    known = torchvision.models.list_models(torchvision.models)
    return [name for name in known if not name.startswith(_TRANSFORMERS)]


def size_fault(name: str, size: int) -> str | None:
    """Return why a backbone does not take images of `size` pixels a side; torchvision's weights state the least."""
    check_name(name)
    least = max(torchvision.models.get_model_weights(name).DEFAULT.meta["min_size"])
    return None if size >= least else f"{name} takes {least} pixels or more"


def weights_entry(name: str, weights: str) -> Any:
    """Return torchvision's weights entry (with `.url`, `.transforms`, `.meta`) of a backbone by its name.

    Raises `InputError` for an unknown backbone, and for unknown weights with the names there are.
    """
    check_name(name)
    enum = torchvision.models.get_model_weights(name)
    if weights not in enum.__members__:
        raise InputError(f"weights {weights!r}: {name} has {', '.join(enum.__members__) or 'none'}; choose of these")
    return enum[weights]


def provenance(name: str, weights: str | None) -> Provenance:
    """Return what torchvision's weights by a name were trained on; without weights, its default ones."""
    entry = weights_entry(name, weights or "DEFAULT")
    view = entry.transforms()
    mean, std = tuple(view.mean), tuple(view.std)
    if name in INCEPTIONS:
        # Torchvision brings the images to ImageNet's mean and deviation, and its model then to [-1, 1], as these
        # weights were trained. The backbone leaves out both steps.
        mean = std = (0.5, 0.5, 0.5)
    return Provenance(
        library=f"torchvision {torchvision.__version__}",
        model=name,
        weights=entry.name if weights else None,
        licence=entry.meta.get("license") if weights else None,
        mean=mean,
        std=std,
        size=view.crop_size[0],
        interpolation=view.interpolation.value,
    )


def build(name: str, weights: str | None = None) -> nn.Module:
    """Build torchvision's whole model with random weights, or let torchvision load its own by their name.

    Raises `InputError` for an unknown name, and for weights that cannot be fetched or whose hash is wrong.
    """
    check_name(name)
    if weights is None:
        # The Inceptions' own initialisation takes minutes, and warns that it will go.
        options = {"init_weights": False} if name in INCEPTIONS else {}
        return torchvision.models.get_model(name, weights=None, **options)
    entry = weights_entry(name, weights)
    try:
        return torchvision.models.get_model(name, weights=entry, progress=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weights {weights} of {name}: {entry.url} cannot be fetched ({reason}); check the network, or download "
            f"the file elsewhere and name its path"
        ) from None


def backbone(name: str, weights: str | None, output_stride: int) -> TorchvisionBackbone:
    """Build a backbone with random weights (None) or torchvision's own of a name."""
    if weights == PACKAGE:
        package_file(name)  # none serves a torchvision model, which it says
    trunk = TorchvisionBackbone(name, provenance(name, weights), build(name, weights))
    if output_stride < trunk.stride:
        trunk.dilate(output_stride)
    return trunk


def whole_model(name: str, weights: str | Path) -> Any:
    """Build the whole model with its classifier, from images in the range of the weights, to read them out."""
    whole: Any
    if is_path(weights):
        whole = build(name)
        load_whole(whole, read_state(Path(weights)).state, str(weights))
    else:
        whole = build(name, str(weights))
    if name in INCEPTIONS:
        whole.transform_input = False
    return whole


def trunk_parts(whole: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a whole model that lead to its last feature map, in order, by torchvision's names."""
    parts = _TRUNKS[type(whole).__name__] or [part for part, _ in whole.named_children() if part not in HEADS]
    trunk = {part: whole.get_submodule(part) for part in parts}
    if isinstance(whole, torchvision.models.DenseNet):
        trunk["relu"] = nn.ReLU(inplace=True)  # torchvision applies it between features and pooling
    return trunk


def check_name(name: str) -> None:
    """Raise `InputError` for a name that is no torchvision CNN's."""
    if name.startswith(_TRANSFORMERS) and name in torchvision.models.list_models(torchvision.models):
        raise InputError(
            f"backbone {name}: torchvision's transformer, without a spatial feature map; use timm's, as timm/NAME"
        )
    if name not in names():
        raise InputError(
            f"backbone {name!r}: unknown to torchvision; {did_you_mean(name, names())}, or write timm/NAME for timm's"
        )
