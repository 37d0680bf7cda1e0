"""The base of all methods: it changes nothing in a training step, and each other file of this folder something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the check of params.yaml imports these files for their settings, and must not wait for torch
    from torch import Tensor

    from acol.network.base_backbone import Backbone


@dataclass
class Batch:
    """The share of one process of the batch of a training step."""

    inputs: Tensor  # normalised images (m, 3, S, S), or features of the frozen part of the backbone
    labels: Tensor  # (m,) int64, their classes
    partner_labels: Tensor  # (m,) int64, the classes of the images with which they are mixed
    # In [0, 1]; the loss is `label_weight` times that of `labels`, and the rest that of `partner_labels`
    label_weight: float = 1.0


class Plain:
    """The method of ACoL and of plain CAM, which changes nothing. The class of a method has its settings as fields.

    `redraws`: whether a method changes each image anew in each epoch, so that it cannot train on kept features.
    """

    redraws = False

    def attach(self, backbone: Backbone) -> Plain:
        """Return the method for use with a backbone, to which it may add hooks."""
        return self

    def partners(self, count: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return the index of the partner of each of `count` images of a batch, (count,); None: there are no partners.

        If there are, `change` gets the images followed by their partners.
        """
        return None

    def change(self, batch: Batch, count: int, share: slice, rng: np.random.Generator) -> Batch:
        """Return the changed batch; `share` is the part of this process in the whole batch of `count` images.

        `rng` must be used for the whole batch, so that the result does not depend on the number of processes.
        """
        return batch
