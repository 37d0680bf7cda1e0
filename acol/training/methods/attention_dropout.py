"""Attention-based dropout (ADL; Choe & Shim, CVPR 2019, arXiv 1908.10028): hide the strongest features, or weight them.

It has no weights and works in training alone. It stands where the last stage of the backbone begins, if what is before
that is trained too, and after its last feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from acol.bounds import Fraction
from acol.training.methods.plain import Batch, Plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from acol.network.features import Backbone


@dataclass(frozen=True)
class AttentionDropout(Plain):
    """In a share `drop_rate` of the steps features above `threshold` of the attention's maximum become 0.

    The defaults are the paper's for ResNet-50 (section 4.1): it calls the threshold gamma.
    """

    drop_rate: Annotated[float, Ge(0), Le(1)] = 0.75
    threshold: Fraction = 0.9

    def on(self, backbone: Backbone) -> Plain:
        """Put it into a backbone, which keeps it."""
        return _Placed(self, backbone)


class _Placed(Plain):
    """Attention-based dropout at its places in a backbone."""

    def __init__(self, settings: AttentionDropout, backbone: Backbone) -> None:
        self.settings = settings
        modules = [module for module in (backbone.before_last_stage(), backbone) if module is not None]
        self._drop = [False] * len(modules)
        for nth, module in enumerate(modules):
            module.register_forward_hook(partial(self._after, nth))

    def change(self, batch: Batch, count: int, mine: slice, rng: np.random.Generator) -> Batch:
        """Choose for this step, at each place, between hiding and weighting."""
        self._drop = (rng.random(len(self._drop)) < self.settings.drop_rate).tolist()
        return batch

    def _after(self, nth: int, module: nn.Module, inputs: Any, features: Tensor) -> Tensor:
        return drop_out(features, self._drop[nth], self.settings.threshold) if module.training else features


def drop_out(features: Tensor, drop: bool, threshold: float) -> Tensor:
    """Return features (N, channels, h, w) times their drop mask or their importance map (section 3.1).

    The attention is the mean over the channels. The drop mask is 0 where it is above `threshold` times its maximum over
    the map, and 1 elsewhere; the importance map is its sigmoid.
    """
    attention = features.mean(1, keepdim=True)
    if not drop:
        return features * attention.sigmoid()
    limit = threshold * attention.amax((2, 3), keepdim=True)
    return features * (attention < limit).to(features.dtype)
