"""From pixels to what the network sees, by torchvision's v2 transforms."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2

from acol.data.sizes import ImageSizes


@dataclass(frozen=True)
class Preprocessing(ImageSizes):
    """How a model's images are prepared, in training and in all later use. It is stored in the checkpoint.

    Training's random crops are also flipped. `mean` and `std` are per RGB channel, for values in [0, 1]: those with
    which the trunk's weights were trained. The defaults bring values to [-1, 1], for a backbone without weights.

    >>> white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    >>> Preprocessing(size=2, train_size=3).view(white).unique()
    tensor([1.])
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def draw_crops(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw the positions of `count` training crops, with a generator on the CPU (None: torch's global one).

        Returns (count, 3) int64: top and left in [0, train_size - size], and whether the view is mirrored, 0 or 1.
        """
        corners = torch.randint(self.train_size - self.size + 1, (count, 2), generator=generator)
        return torch.cat([corners, torch.randint(2, (count, 1), generator=generator)], dim=1)

    def training_view(self, images: Tensor, crops: Tensor) -> Tensor:
        """Cut and mirror uint8 images (N, 3, train_size, train_size) by `crops` (N, 3) of `draw_crops` -> as `view`."""
        crops = crops.to(images.device, non_blocking=True)
        side = torch.arange(self.size, device=crops.device)
        top, left, mirrored = (part[:, None] for part in crops.unbind(1))
        rows, columns = top + side, left + torch.where(mirrored.bool(), self.size - 1 - side, side)  # (N, size)
        nth = torch.arange(len(images), device=images.device)
        # One read for all images: a loop over them, and indexing by three tensors, cost several times as much.
        positions = (nth[:, None, None] * self.train_size + rows[:, :, None]) * self.train_size + columns[:, None, :]
        pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).index_select(0, positions.flatten())
        return self.view(pixels.view(len(images), self.size, self.size, 3).permute(0, 3, 1, 2))

    def view(self, images: Tensor) -> Tensor:
        """Normalise uint8 (N, 3, size, size) -> float32 of the same shape, channels-last in memory."""
        scaled = v2.functional.to_dtype(images, torch.float32, scale=True)
        normalised = v2.functional.normalize(scaled, list(self.mean), list(self.std))
        return normalised.contiguous(memory_format=torch.channels_last)
