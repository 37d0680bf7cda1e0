"""From pixels to the inputs of a network: random crops in training, and normalisation."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2

from acol.data.sizes import ImageSizes


@dataclass(frozen=True)
class Preprocessing(ImageSizes):
    """How images are prepared for a model, in training and in all later use. It is stored in the checkpoint.

    Args:
        size: pixels per side of the images that enter the network (default: 224).
        train_size: pixels per side to which training images are resized (default: 248). They are then cropped to `size`
            at random, and mirrored at random.
        mean, std: of each RGB channel, for values in [0, 1]: those with which the weights of the backbone were trained.
            The defaults, 0.5, bring values to [-1, 1], for a backbone without weights.

    Raises `InputError` if `train_size` is smaller than `size`.

    >>> white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    >>> Preprocessing(size=2, train_size=3).view(white).unique()
    tensor([1.])
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def draw_crops(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `count` training crops, with a generator on the CPU (None: that of torch).

        Returns (count, 3) int64: top and left in [0, train_size - size], and whether the crop is mirrored, 0 or 1.
        """
        corners = torch.randint(self.train_size - self.size + 1, (count, 2), generator=generator)
        return torch.cat([corners, torch.randint(2, (count, 1), generator=generator)], dim=1)

    def training_view(self, images: Tensor, crops: Tensor) -> Tensor:
        """Return the `view` of crops of uint8 images (N, 3, train_size, train_size); `crops` (N, 3) of `draw_crops`."""
        crops = crops.to(images.device, non_blocking=True)
        side = torch.arange(self.size, device=crops.device)
        top, left, mirrored = (part[:, None] for part in crops.unbind(1))
        rows, columns = top + side, left + torch.where(mirrored.bool(), self.size - 1 - side, side)  # (N, size)
        nth = torch.arange(len(images), device=images.device)
        # One `index_select` for all images: a loop over them, or indexing by three tensors, takes several times as
        # long.
        positions = (nth[:, None, None] * self.train_size + rows[:, :, None]) * self.train_size + columns[:, None, :]
        pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).index_select(0, positions.flatten())
        return self.view(pixels.view(len(images), self.size, self.size, 3).permute(0, 3, 1, 2))

    def view(self, images: Tensor) -> Tensor:
        """Return uint8 images (N, 3, size, size) normalised, as float32 of the same shape, channels-last in memory."""
        scaled = v2.functional.to_dtype(images, torch.float32, scale=True)
        normalised = v2.functional.normalize(scaled, list(self.mean), list(self.std))
        return normalised.contiguous(memory_format=torch.channels_last)
