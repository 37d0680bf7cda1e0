"""Attention-based dropout (ADL; Choe & Shim, CVPR 2019, arXiv 1908.10028): hide the strongest features, or weight them.

It has no weights, and acts only in training, at two places of the backbone: after its last feature map, and before its
last stage if the part before that is trained too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from acol.setting_types import Fraction
from acol.training.methods.plain import Batch, Plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from acol.network.base_backbone import Backbone


@dataclass(frozen=True)
class AttentionDropout(Plain):
    """In a share `drop_rate` of the steps, features become 0 where the attention is above `threshold` x its maximum.

    The defaults are those of the paper for ResNet-50 (section 4.1), which calls the threshold gamma.
    """

    drop_rate: Annotated[float, Ge(0), Le(1)] = 0.75
    threshold: Fraction = 0.9

    def attach(self, backbone: Backbone) -> Plain:
        """Add it to a backbone, for good."""
        return _InBackbone(self, backbone)


class _InBackbone(Plain):
    """Attention-based dropout in a backbone."""

    def __init__(self, settings: AttentionDropout, backbone: Backbone) -> None:
        self.settings = settings
        modules = [module for module in (backbone.before_last_stage(), backbone) if module is not None]
        self._drop = [False] * len(modules)
        for nth, module in enumerate(modules):
            module.register_forward_hook(partial(self._after, nth))

    def change(self, batch: Batch, count: int, share: slice, rng: np.random.Generator) -> Batch:
        """Choose for each place whether features are hidden or weighted in this step."""
        self._drop = (rng.random(len(self._drop)) < self.settings.drop_rate).tolist()
        return batch

    def _after(self, nth: int, module: nn.Module, inputs: Any, features: Tensor) -> Tensor:
        return drop_out(features, self._drop[nth], self.settings.threshold) if module.training else features


def drop_out(features: Tensor, drop: bool, threshold: float) -> Tensor:
    """Return features (N, channels, h, w) times their drop mask or their importance map (section 3.1).

    The attention is the mean over the channels. The drop mask is 0 where the attention is at least `threshold` x its
    maximum over the map, and 1 elsewhere; the importance map is the sigmoid of the attention.
    """
    attention = features.mean(1, keepdim=True)
    if not drop:
        return features * attention.sigmoid()
    limit = threshold * attention.amax((2, 3), keepdim=True)
    return features * (attention < limit).to(features.dtype)
