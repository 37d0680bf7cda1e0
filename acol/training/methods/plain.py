"""A step of training without another method's changes; each other file of this folder changes something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # params.yaml is checked by the settings beside these steps, without torch
    from torch import Tensor

    from acol.network.features import Backbone


@dataclass
class Batch:
    """What one process trains on in a step: its share of the n images of the whole batch.

    `inputs` are normalised images (m, 3, S, S), or features of the backbone's frozen part; `labels` (m,) their classes.
    The loss is `own` times that of `labels` plus 1 - `own` times that of `others` (m,).
    """

    inputs: Tensor
    labels: Tensor
    others: Tensor
    own: float = 1.0


class Plain:
    """The method of ACoL and of plain CAM: nothing changes. A method's class holds its settings.

    `redraws`: whether it changes each image anew in each epoch, so that features of fixed views cannot replace images.
    """

    redraws = False

    def on(self, backbone: Backbone) -> Plain:
        """Return the method at work on a backbone."""
        return self

    def partners(self, count: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return which other image (count,) of the whole batch each image needs beside itself, None if it needs none.

        `change` then gets the images, and behind them their partners.
        """
        return None

    def change(self, batch: Batch, count: int, mine: slice, rng: np.random.Generator) -> Batch:
        """Return the batch that is trained on; `mine` is this process's part of the `count` images of the whole one.

        What is drawn from `rng` is drawn for the whole batch, so that it does not depend on the number of processes.
        """
        return batch
