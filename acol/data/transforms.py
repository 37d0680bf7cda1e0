"""From pixels to what the network sees, by torchvision's v2 transforms."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2

from acol.data.imagenet import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """What a model was trained with, and so needs ever after; it travels in the checkpoint.

    Training images are resized to `train_size` pixels square, then cropped at random to `size` and flipped; all others
    are resized to `size` (the protocol of wsolevaluation, arXiv 2001.07437: 256 and 224). `mean` and `std` are
    per RGB channel, of values in [0, 1].
    """

    size: int
    train_size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def training_view(self, images: Tensor) -> Tensor:
        """Crop and flip each of uint8 (N, 3, train_size, train_size) by torch's global generator -> as `view`."""
        augment = v2.Compose([v2.RandomCrop(self.size), v2.RandomHorizontalFlip()])
        return self.view(torch.stack([augment(image) for image in images]))

    def view(self, images: Tensor) -> Tensor:
        """Normalise uint8 (N, 3, size, size) -> float32 of the same shape, channels-last in memory."""
        scaled = v2.functional.to_dtype(images, torch.float32, scale=True)
        normalised = v2.functional.normalize(scaled, list(self.mean), list(self.std))
        return normalised.contiguous(memory_format=torch.channels_last)
