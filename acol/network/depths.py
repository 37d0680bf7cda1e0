"""How strong a backbone's features are at each place of the image, at three depths and at the end.

The strength is the L2 norm over the channels. It knows no class: it says that something is there, not what.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from acol.network.features import Backbone
from acol.network.pieces import LAST_STAGE

NORM = "norm"  # of the last features, which the classifiers see
EARLY, MIDDLE, LATE = "early", "middle", "late"


def modules_of_depths(backbone: nn.Module) -> dict[str, str]:
    """Name the modules that give the features of each depth.

    `early` is what the last stage takes, `late` its last block, and `middle` the block before that. Where the stage has
    one block alone, `middle` is what it takes, and there is no `early`. EfficientNet-Lite0 has `blocks.4.2`,
    `blocks.5.3` and `blocks.6.0`. A backbone without such blocks, or of another making, has no depths: an empty dict.
    """
    if not isinstance(backbone, Backbone):
        return {}
    dimensions = 3 if backbone.form == "tokens" else 4
    with torch.inference_mode(False):  # what runs is told apart by counts that inference does not keep
        pieces, first = backbone.pieces, backbone.count(LAST_STAGE)
    layers = {
        name: sum(parameter.ndim > 1 for parameter in backbone.get_submodule(name).parameters())
        for name, shape in zip(pieces.names, pieces.shapes, strict=True)
        if shape is not None and len(shape) == dimensions
    }
    last = {name: count for name, count in layers.items() if name in pieces.names[first:]}
    least = 1 if max(last.values(), default=0) > 1 else 0  # a block has several layers; a VGG has layers alone
    before = [name for name in layers if name in pieces.names[:first]][-1:]
    found = [*before, *(name for name, count in last.items() if count > least)]
    if len(found) < 2:
        return {}
    depths = {EARLY: found[0], MIDDLE: found[-2], LATE: found[-1]}
    return depths if len(found) > 2 else {name: depths[name] for name in (MIDDLE, LATE)}


def with_norms(backbone: Backbone, images: Tensor, depths: Mapping[str, str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the features of images (N, channels, h, w), and the norms (N, 1, h', w') of these and of the `depths`.

    `depths` are of `modules_of_depths`, or some of these. Norms are float32 and at least 0.
    """
    norms: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        # At once: a layer that follows may work in place.
        norms[name] = _norm(backbone.as_map(output, images.shape[-2:]))

    hooks = [
        backbone.get_submodule(module).register_forward_hook(partial(keep, name)) for name, module in depths.items()
    ]
    try:
        features = backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    return features, norms | {NORM: _norm(features)}


def _norm(features: Tensor) -> Tensor:
    return torch.linalg.vector_norm(features.float(), dim=1, keepdim=True)
