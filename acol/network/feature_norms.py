"""The L2 norms, over the channels, of a backbone's features: at up to three depths, and of the last features.

Such a norm says how strong the features are at a position. It depends on no class: it shows that something is there,
not what it is.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from acol.network.base_backbone import Backbone
from acol.network.pieces import LAST_STAGE

NORM = "norm"  # of the last features, which the classifiers use
EARLY, MIDDLE, LATE = "early", "middle", "late"


def modules_of_depths(backbone: nn.Module) -> dict[str, str]:
    """Return for each depth the name of the module whose output is taken.

    `early` is the input of the last stage, `late` the output of its last block, and `middle` that of the block before.
    If the last stage has only one block, `middle` is its input, and there is no `early`. In EfficientNet-Lite0 the
    modules are `blocks.4.2`, `blocks.5.3` and `blocks.6.0`. The dict is empty for a backbone without such blocks, and
    for a module that is no `Backbone`.
    """
    if not isinstance(backbone, Backbone):
        return {}
    dimensions = 3 if backbone.form == "tokens" else 4
    with torch.inference_mode(False):  # pieces are found by version counts of tensors, which inference mode lacks
        pieces, first = backbone.pieces, backbone.count_frozen(LAST_STAGE)
    # How many layers with weights each piece has, of those whose output has the form of a map.
    layers = {
        name: sum(parameter.ndim > 1 for parameter in backbone.get_submodule(name).parameters())
        for name, shape in zip(pieces.names, pieces.shapes, strict=True)
        if shape is not None and len(shape) == dimensions
    }
    last_stage = {name: count for name, count in layers.items() if name in pieces.names[first:]}
    least = 1 if max(last_stage.values(), default=0) > 1 else 0  # a block has several layers; a VGG has no blocks
    before = [name for name in layers if name in pieces.names[:first]][-1:]
    blocks = [*before, *(name for name, count in last_stage.items() if count > least)]
    if len(blocks) < 2:
        return {}
    depths = {EARLY: blocks[0], MIDDLE: blocks[-2], LATE: blocks[-1]}
    return depths if len(blocks) > 2 else {name: depths[name] for name in (MIDDLE, LATE)}


def features_and_norms(
    backbone: Backbone, images: Tensor, depths: Mapping[str, str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a backbone; return its features (N, channels, h, w) and, by name, norms (N, 1, h', w').

    The norms are float32 and at least 0: that of the features, as "norm", and those of the given `depths`, which are
    all or some of `modules_of_depths`.
    """
    norms: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        # Computed at once, since a layer that follows may change the output in place.
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
