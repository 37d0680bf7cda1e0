"""Backbones from torchvision's classification CNNs: the parts before the pooling, and strides turned into dilation."""

from collections.abc import Iterator
from typing import Any

import torchvision
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.base_backbone import Backbone
from acol.network.pieces import run_on_meta
from acol.network.weights import Provenance, State, with_new_names

INCEPTIONS = ("googlenet", "inception_v3")
# Families of torchvision without a convolutional feature map, by the start of their names.
_TRANSFORMERS = ("maxvit", "swin", "vit")
# Two image sizes between which a map of stride 32, 16, 8, ... grows by a whole number of positions.
_SMALL, _LARGE = 192, 512


class TorchvisionBackbone(Backbone):
    """The parts of a torchvision CNN before its pooling, one after another.

    They keep torchvision's names, so that any weights file of torchvision fits, at any output stride.
    """

    heads = frozenset({"aux1", "aux2", "AuxLogits", "avgpool", "dropout", "fc", "classifier"})

    @staticmethod
    def provenance_of(name: str, weights: str | None) -> Provenance:
        """Return the facts about torchvision's weights of this name; without weights, those about its default ones."""
        entry = _entry(name, weights or "DEFAULT")
        view = entry.transforms()
        # For the Inceptions torchvision first normalises images by ImageNet's mean and deviation, and then its model
        # brings them to [-1, 1], for which these weights were trained. The backbone does the same in one step.
        plain = (0.5, 0.5, 0.5) if name in INCEPTIONS else None
        return Provenance(
            library=f"torchvision {torchvision.__version__}",
            model=name,
            weights=entry.name if weights else None,
            licence=entry.meta.get("license") if weights else None,
            mean=plain or tuple(view.mean),
            std=plain or tuple(view.std),
            size=view.crop_size[0],
            interpolation=view.interpolation.value,
        )

    @staticmethod
    def build_whole(name: str, **options: Any) -> Any:
        """Build torchvision's whole model with random weights."""
        check_name(name)
        # The initialisation of the Inceptions takes minutes, and warns that it will be removed.
        quick = {"init_weights": False} if name in INCEPTIONS else {}
        return torchvision.models.get_model(name, weights=None, **quick, **options)

    @staticmethod
    def fetch_state(name: str, weights: str) -> State:
        """Have torchvision download its weights of this name, and check their hash."""
        entry = _entry(name, weights)
        try:
            return with_new_names(entry.get_state_dict(progress=False, check_hash=True))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"weights {weights} of {name}: {entry.url} cannot be fetched ({reason}); check the network, or "
                f"download the file elsewhere and name its path"
            ) from None

    def _set_trunk(self, whole: Any) -> None:
        for part, module in whole.named_children():
            if part not in self.heads:
                self.add_module(part, module)
        if isinstance(whole, torchvision.models.DenseNet):
            self.add_module("relu", nn.ReLU(inplace=True))  # torchvision applies it between features and pooling

    def last_stage(self, images: Tensor) -> Tensor:
        """Run the parts one after another."""
        for part in self.children():
            images = part(images)
        return images

    def dilated(self, output_stride: int) -> Backbone:
        """Give each convolution and pooling the stride and dilation with which the map has `output_stride`.

        No weight changes. The denser map has the values of the original one at every second (fourth) position (DeepLab,
        arXiv 1606.00915, section 3.1). What a layer gets depends only on the stride of its input in the original
        network: the part of it that is beyond `output_stride` becomes dilation.
        """
        for layer, stride_in in _input_strides(self).items():
            step, stride_out = _pair(layer.stride)[0], stride_in * _pair(layer.stride)[0]
            if isinstance(layer, nn.MaxPool2d) and layer.ceil_mode and stride_out > output_stride:
                continue  # its last window reaches over the edge, which has no dense equivalent; the stride stays
            dilation = max(1, stride_in // output_stride)
            step = min(stride_out, output_stride) // min(stride_in, output_stride)
            layer.stride = (step, step)
            layer.dilation = tuple(dilation * d for d in _pair(layer.dilation))
            layer.padding = tuple(dilation * p for p in _pair(layer.padding))
        self.measure()  # fails if branches no longer have the same size, since one has its stride in a functional call
        return self

    def size_fault(self, size: int) -> str | None:
        """Return why it does not take images of `size` pixels per side; torchvision states the smallest size."""
        least = max(_entry(self.name, "DEFAULT").meta["min_size"])
        return None if size >= least else f"{self.name} takes {least} pixels or more"


def names() -> Iterator[str]:
    """Yield the names of torchvision's classification CNNs. Each of them can be a backbone."""
    known = torchvision.models.list_models(torchvision.models)
    return (name for name in known if not name.startswith(_TRANSFORMERS))


def check_name(name: str) -> None:
    """Raise `InputError` for a name that belongs to no CNN of torchvision."""
    if name.startswith(_TRANSFORMERS) and name in torchvision.models.list_models(torchvision.models):
        raise InputError(
            f"backbone {name}: torchvision's transformers have no spatial feature map; use timm's, as timm/NAME"
        )
    if name not in names():
        raise InputError(
            f"backbone {name!r}: unknown to torchvision; {did_you_mean(name, names())}, or write timm/NAME for timm's"
        )


def _entry(name: str, weights: str) -> Any:
    """Return torchvision's entry for weights of a backbone, which has `.url`, `.transforms` and `.meta`."""
    check_name(name)
    enum = torchvision.models.get_model_weights(name)
    if weights not in enum.__members__:
        raise InputError(
            f"weights {weights!r}: {name} has {', '.join(enum.__members__) or 'none'}; choose one of these"
        )
    return enum[weights]


def _input_strides(network: nn.Module) -> dict[Any, int]:
    """Return the stride of the input of each convolution and max pooling that uses more than one position."""
    layers = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and _pair(module.kernel_size) + _pair(module.stride) != (1,) * 4
    ]
    sizes: dict[Any, list[int]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: sizes[module].append(inputs[0].shape[-1]))
        for layer in layers
    ]
    run_on_meta(network, _SMALL)
    run_on_meta(network, _LARGE)
    for hook in hooks:
        hook.remove()
    return {layer: (_LARGE - _SMALL) // (large - small) for layer, (small, large) in sizes.items()}


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
