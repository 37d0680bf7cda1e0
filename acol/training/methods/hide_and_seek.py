"""Hide-and-Seek (Singh & Lee, ICCV 2017, arXiv 1704.04232): hide random patches, so that other parts must be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le, MinLen

from acol.setting_types import Fraction
from acol.training.methods.plain import Batch, Plain

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class HideAndSeek(Plain):
    """Each image is divided into patches by one of `grids`, drawn at random; each patch is hidden with `probability`.

    A grid is the number of patches per side; 0 hides nothing. The default is the mixture of the paper: nothing hidden,
    or patches of 56, 44, 32 and 16 pixels at image size 224 (section 3.1 and table 4).
    """

    grids: Annotated[tuple[Annotated[int, Ge(0), Le(256)], ...], MinLen(1)] = (0, 4, 5, 7, 14)
    probability: Fraction = 0.5

    redraws = True

    def change(self, batch: Batch, count: int, share: slice, rng: np.random.Generator) -> Batch:
        """Hide patches of each image."""
        hidden = draw_hidden(count, batch.inputs.shape[-1], self, rng)
        return replace(batch, inputs=hide(batch.inputs, hidden[share]))


def draw_hidden(count: int, size: int, settings: HideAndSeek, rng: np.random.Generator) -> np.ndarray:
    """Draw which pixels of `count` images of `size` pixels per side are hidden, as (count, size, size) bool."""
    grids = rng.choice(settings.grids, count)
    largest = max(1, *settings.grids)
    patches = rng.random((count, largest, largest)) < settings.probability
    patches[grids == 0] = False
    patch = np.arange(size) * grids[:, None] // size  # (count, size): the patch of each row or column
    hidden: np.ndarray = patches[np.arange(count)[:, None, None], patch[:, :, None], patch[:, None, :]]
    return hidden


def hide(images: Tensor, hidden: np.ndarray) -> Tensor:
    """Return normalised images (N, 3, S, S) with hidden pixels at 0, the mean of the training images (section 3.1)."""
    import torch

    # Not masked_fill, which would give up the order of channels last.
    return torch.where(torch.from_numpy(hidden).to(images.device).unsqueeze(1), 0, images)
