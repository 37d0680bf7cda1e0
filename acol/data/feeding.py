"""Batches of a split on the device that computes."""

import os
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from acol.data.loading import LabelledImages

_MEMORY_SHARE = 0.4  # the share of a GPU's free memory that a data set may take
_WORKERS = 4


class Feed:
    """Loads batches of a split for a device.

    On a GPU the whole split is kept in its memory if it fits. Otherwise worker processes read the next batches into
    pinned memory.
    """

    def __init__(self, images: LabelledImages, device: torch.device) -> None:
        self.images, self.device = images, device
        self._resident: tuple[Tensor, Tensor] | None = None
        if device.type == "cuda" and images.pixels.nbytes < _MEMORY_SHARE * torch.cuda.mem_get_info()[0]:
            pixels, labels = images.batch(np.arange(len(images)))
            self._resident = pixels.permute(0, 2, 3, 1).to(device), labels.to(device)

    def batches(self, indices: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batch (`LabelledImages.batch`) of each array of indices, in their order, on the device."""
        if self._resident is not None:
            pixels, labels = self._resident
            for chosen in indices:
                positions = torch.from_numpy(chosen).pin_memory().to(self.device, non_blocking=True)
                yield pixels[positions].permute(0, 3, 1, 2), labels[positions]
        elif self.device.type == "cuda":
            workers = min(_WORKERS, os.cpu_count() or 1)
            # An element of this "data set" is the indices of a batch, which `collate_fn` turns into the batch.
            source = cast("Dataset[np.ndarray]", indices)
            read = self.images.batch
            loader = DataLoader(source, batch_size=None, collate_fn=read, num_workers=workers, pin_memory=True)
            for pixels, labels in loader:
                yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        else:
            yield from map(self.images.batch, indices)
