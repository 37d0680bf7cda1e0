"""Torchvision's classification CNNs, and which of their parts come before the pooling."""

from typing import Any

import torchvision
from torch import nn

from acol.errors import InputError, did_you_mean
from acol.network.provenance import Provenance

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


def names() -> list[str]:
    """Return the name of every torchvision classification CNN, each of which can be a backbone."""
    known = torchvision.models.list_models(torchvision.models)
    return [name for name in known if not name.startswith(_TRANSFORMERS)]


def smallest_image(name: str) -> int:
    """Return the least pixels a side of an image that a backbone takes, as torchvision's weights state it."""
    check_name(name)
    return max(torchvision.models.get_model_weights(name).DEFAULT.meta["min_size"])


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
