"""Torchvision classification CNNs as trunks: images in, a spatial feature map out.

A trunk keeps torchvision's parameter names, so any torchvision weights file fits it unchanged, whatever its stride.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.archive import check_archive, load_failure

OUTPUT_STRIDES = (32, 16, 8)
FREEZE = ("none", "stem", "layer3", "all")

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
_HEADS = {"aux1", "aux2", "AuxLogits", "avgpool", "dropout", "fc", "classifier"}
_INCEPTIONS = ("googlenet", "inception_v3")
# Families of torchvision without a convolutional feature map; their names start so.
_TRANSFORMERS = ("maxvit", "swin", "vit")

# Two image sizes between which a feature map of stride 32, 16, 8, ... grows by a whole number of cells.
_SMALL, _LARGE = 192, 512


class Backbone(nn.Sequential):
    """A torchvision CNN up to its last feature map: images (N, 3, H, W) -> features (N, channels, h, w).

    Attributes: `name` (torchvision's), `channels`, `stride` (pixels of the image that a cell of the map spans).
    """

    def __init__(self, name: str, parts: dict[str, nn.Module]) -> None:
        super().__init__(OrderedDict(parts))
        self.name = name
        self.stride, self.channels = _measure(self)

    def forward(self, images: Tensor, start: int = 0) -> Tensor:
        """Return the features of images; or go on from what the first `start` of `pieces` made of them."""
        for piece in self.pieces[start:]:
            images = piece(images)
        return images

    @property
    def pieces(self) -> list[nn.Module]:
        """The modules that run one after another, such as a ResNet's conv1, ..., layer1.0, layer1.1, ..."""
        return _pieces(self)

    def frozen_pieces(self, freeze: str) -> int:
        """Return how many of `pieces` stay as they are: none; the stem, down to stride 4; all before the last stage.

        That is what `none`, `stem` and `layer3` of `FREEZE` mean, in a ResNet's words; `all` is the whole trunk.
        """
        if freeze in ("none", "all"):
            return len(self.pieces) if freeze == "all" else 0
        # Strides as designed: here some may have become dilation.
        native = nn.Sequential(OrderedDict(_trunk_parts(self.name))).to("meta").eval()
        small, large = (torch.empty(1, 3, size, size, device="meta") for size in (_SMALL, _LARGE))
        strides = []
        for piece in _pieces(native):
            small, large = piece(small), piece(large)
            strides.append((_LARGE - _SMALL) // (large.shape[-1] - small.shape[-1]))
        if freeze == "stem":
            return next(n for n, stride in enumerate(strides, 1) if stride >= 4)
        return strides.index(max(strides))


class _InceptionInput(nn.Module):
    """ImageNet-normalised images to the range (-1, 1) that torchvision's Inception weights were trained on."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.new_tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
        std = images.new_tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
        return (images * std + mean - 0.5) / 0.5


def backbone_names() -> list[str]:
    """Return the name of every torchvision classification CNN, each of which can be a trunk."""
    names = torchvision.models.list_models(torchvision.models)
    return [name for name in names if not name.startswith(_TRANSFORMERS)]


def smallest_image(name: str) -> int:
    """Return the least pixels a side of an image that a backbone takes, as torchvision's weights state it."""
    _check_name(name)
    return max(torchvision.models.get_model_weights(name).DEFAULT.meta["min_size"])


def build_backbone(name: str, *, weights: str | Path | None = None, output_stride: int = 32) -> Backbone:
    """Build the trunk `name` with random (None) or given weights (see `load_weights`).

    `output_stride` (32, 16 or 8) is the most pixels a cell of the feature map may span; a network whose own stride is
    smaller keeps it. Strides beyond it become dilation (DeepLab, arXiv 1606.00915, section 3.1): no weight changes, and
    the dense map holds the original one at every second (fourth) position.

    Raises `InputError` for an unknown name, a network without a spatial feature map, a stride that the architecture
    does not allow, and for whatever `load_weights` raises.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride {output_stride}: not supported; choose 32, 16 or 8")
    backbone = Backbone(name, _trunk_parts(name))
    native = backbone.stride
    if output_stride < native:
        _dilate(backbone, output_stride)
        try:
            backbone.stride, backbone.channels = _measure(backbone)
        except RuntimeError:  # branches that no longer meet: one of them strides inside a functional call
            backbone.stride = native
        if backbone.stride != output_stride:
            raise InputError(f"backbone {name}: its layers do not allow output_stride {output_stride}; use {native}")
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def load_weights(backbone: Backbone, weights: str | Path) -> None:
    """Load a torchvision weights name ("DEFAULT", "IMAGENET1K_V1", ...) or the path of a state dict into the trunk.

    A file may hold the whole torchvision model: the heads are left out. It is read without unpickling code.

    Raises `InputError` for an unknown weights name, weights that cannot be fetched or read, and weights of another
    architecture.
    """
    if isinstance(weights, Path) or "/" in weights or Path(weights).suffix in (".pt", ".pth"):
        source, state = str(weights), _read_state(Path(weights))
    else:
        source, state = weights, _fetch_state(backbone.name, weights)
    wanted = backbone.state_dict()
    heads = {key for key in state if key.split(".")[0] in _HEADS}
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted and key not in heads]
    if missing or surplus:
        example = f"it lacks {missing[0]}" if missing else f"it has {surplus[0]}, which {backbone.name} has not"
        raise InputError(f"weights {source}: of another architecture than {backbone.name} ({example}); name its own")
    for key, value in wanted.items():
        if state[key].shape != value.shape:
            raise InputError(
                f"weights {source}: {key} has shape {tuple(state[key].shape)}, but {backbone.name} needs "
                f"{tuple(value.shape)}; name weights of that architecture"
            )
        if state[key].is_floating_point() != value.is_floating_point() or not _is_finite(state[key]):
            raise InputError(f"weights {source}: {key} holds values that are no finite numbers; replace the file")
    backbone.load_state_dict({key: state[key] for key in wanted})


def torchvision_weights(name: str, weights: str) -> Any:
    """Return torchvision's weights entry (with `.url`, `.transforms`) of a backbone by its name.

    Raises `InputError` for an unknown backbone, and for unknown weights with the names there are.
    """
    _check_name(name)
    enum = torchvision.models.get_model_weights(name)
    if weights not in enum.__members__:
        raise InputError(f"weights {weights!r}: {name} has {', '.join(enum.__members__) or 'none'}; choose of these")
    return enum[weights]


def _pieces(module: nn.Module) -> list[nn.Module]:
    if type(module).forward not in (nn.Sequential.forward, Backbone.forward):
        return [module]
    return [piece for child in module.children() for piece in _pieces(child)]


def _check_name(name: str) -> None:
    if name.startswith(_TRANSFORMERS) and name in torchvision.models.list_models(torchvision.models):
        raise InputError(f"backbone {name}: a transformer, not a CNN with a spatial feature map; use e.g. resnet50")
    if name not in backbone_names():
        raise InputError(f"backbone {name!r}: unknown to torchvision; {did_you_mean(name, backbone_names())}")


def _trunk_parts(name: str) -> dict[str, nn.Module]:
    _check_name(name)
    # The Inceptions' own initialisation takes minutes, and warns that it will go.
    options = {"init_weights": False} if name in _INCEPTIONS else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    names = _TRUNKS[type(model).__name__] or [part for part, _ in model.named_children() if part not in _HEADS]
    parts = {part: model.get_submodule(part) for part in names}
    if name in _INCEPTIONS:
        parts = {"transform_input": _InceptionInput(), **parts}
    if isinstance(model, torchvision.models.DenseNet):
        parts["relu"] = nn.ReLU(inplace=True)  # torchvision applies it between features and pooling
    return parts


def _run_on_meta(backbone: nn.Module, size: int) -> Tensor:
    """Shapes only: no weight is read and nothing is computed."""
    state = {key: torch.empty_like(value, device="meta") for key, value in backbone.state_dict().items()}
    training = backbone.training
    backbone.eval()
    features = torch.func.functional_call(backbone, state, (torch.empty(1, 3, size, size, device="meta"),))
    backbone.train(training)
    return features


def _measure(backbone: nn.Module) -> tuple[int, int]:
    small, large = _run_on_meta(backbone, _SMALL), _run_on_meta(backbone, _LARGE)
    return (_LARGE - _SMALL) // (large.shape[-1] - small.shape[-1]), small.shape[1]


def _dilate(backbone: nn.Module, output_stride: int) -> None:
    """Give each convolution and pooling the stride and dilation that keep the map at `output_stride`.

    A layer depends only on the stride of its own input in the original network, so branches need no bookkeeping: with
    input stride s, everything beyond `output_stride` turns from stride into dilation.
    """
    for layer, stride_in in _input_strides(backbone).items():
        step, stride_out = _pair(layer.stride)[0], stride_in * _pair(layer.stride)[0]
        if isinstance(layer, nn.MaxPool2d) and layer.ceil_mode and stride_out > output_stride:
            continue  # its last window hangs over the edge: no dense equivalent; the caller sees the stride stay
        dilation = max(1, stride_in // output_stride)
        step = min(stride_out, output_stride) // min(stride_in, output_stride)
        layer.stride = (step, step)
        layer.dilation = tuple(dilation * d for d in _pair(layer.dilation))
        layer.padding = tuple(dilation * p for p in _pair(layer.padding))


def _input_strides(backbone: nn.Module) -> dict[Any, int]:
    """The stride of what enters each convolution and max pooling that looks at more than its own position."""
    layers = [
        module
        for module in backbone.modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and _pair(module.kernel_size) + _pair(module.stride) != (1,) * 4
    ]
    sizes: dict[Any, list[int]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: sizes[module].append(inputs[0].shape[-1]))
        for layer in layers
    ]
    _run_on_meta(backbone, _SMALL)
    _run_on_meta(backbone, _LARGE)
    for hook in hooks:
        hook.remove()
    return {layer: (_LARGE - _SMALL) // (large - small) for layer, (small, large) in sizes.items()}


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _is_finite(value: Tensor) -> bool:
    # A sparse tensor, or one without storage, has no values to look at.
    return value.layout is torch.strided and value.device.type == "cpu" and bool(value.isfinite().all())


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file; check the path") from None
    except Exception as error:
        reason = load_failure(error)
        raise InputError(f"weights {path}: not a PyTorch state dict ({reason}); save one by torch.save") from None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise InputError(f"weights {path}: holds no plain state dict; save model.state_dict() by torch.save")
    return state


def _fetch_state(name: str, weights: str) -> dict[str, Tensor]:
    entry = torchvision_weights(name, weights)
    try:
        return dict(entry.get_state_dict(progress=False, check_hash=True))
    except Exception as error:
        raise InputError(
            f"weights {weights} of {name}: {entry.url} cannot be fetched ({error}); "
            f"check the network, or download the file elsewhere and name its path"
        ) from None
