"""The pass over the validation images after each epoch: losses, accuracy, and the maps of some of the images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.evenness import uneven
from acol.data.feeding import Feed
from acol.data.transforms import Preprocessing
from acol.losses import classifier_losses
from acol.network.distributed import World
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.training.results import PhaseResult, batch_sums

MAPPED = 300  # validation images whose maps are kept


@dataclass(frozen=True)
class Validation:
    """What a pass needs: the images' `feed`, which serves what enters the backbone at its piece `start`.

    `batch_size` is that of one process of the `world`.
    """

    model: ACoL
    feed: Feed
    start: int
    preprocessing: Preprocessing
    precision: str
    batch_size: int
    world: World

    @property
    def images_by_class(self) -> np.ndarray:
        """The number of images of each class (C,)."""
        return np.bincount(self.feed.images.labels, minlength=self.model.num_classes)

    @property
    def uneven(self) -> bool:
        """Whether some class has so many more images than another that balanced accuracy is what counts."""
        images = self.images_by_class
        return uneven(images[images > 0].tolist())

    @torch.inference_mode()
    def run(self, after_batch: Callable[[], None] = lambda: None) -> tuple[PhaseResult, Tensor]:
        """Return the results and the fused maps (n, h, w) float16 of the true class of the `mapped_images`.

        Erasing follows the true labels, as in training, so that the losses can be compared.
        """
        self.model.eval()
        count, recipe, device = len(self.feed.images), self.model.recipe, self.feed.device
        sums = torch.zeros(len(recipe) + 2, dtype=torch.float64, device=device)
        right = torch.zeros(self.model.num_classes, dtype=torch.float64, device=device)
        maps: list[Tensor] = []

        # Every process has the same number of batches, and its last may be empty: `after_batch` may wait for all.
        mine = np.arange(count)[self.world.share(count)]
        largest = -(-count // self.world.size)
        batches = [mine[start : start + self.batch_size] for start in range(0, largest, self.batch_size)]
        bar = tqdm(self.feed.batches(batches), desc="validate", total=len(batches), leave=False, disable=None)
        for indices, (inputs, labels) in zip(batches, bar, strict=True):
            if len(labels):
                if not self.start:
                    inputs = self.preprocessing.view(inputs)
                with autocast(device, self.precision):
                    out = self.model(inputs, labels, self.start)
                sums += batch_sums(classifier_losses(out.logits, labels, recipe), out.logits[0], labels)
                right.index_add_(0, labels, (out.logits[0].argmax(1) == labels).double())
                kept = torch.from_numpy(np.isin(indices, mapped_images(count)))
                # As in acol.localization: the `p` classifiers' maps, fused by their maximum.
                maps.append(out.cams[list(recipe.complementary)].amax(0).half().cpu()[kept])
            after_batch()

        # What all processes found.
        found = torch.cat(self.world.gathered(maps))
        result = PhaseResult.of(self.world.sum(sums))
        if self.uneven:
            shares = self.world.sum(right).cpu() / torch.from_numpy(self.images_by_class)
            result = replace(result, balanced_accuracy=float(shares.nanmean()))  # 0 / 0: a class without images
        return result, found


def mapped_images(count: int) -> np.ndarray:
    """Return which of `count` validation images have their maps kept: evenly chosen, at most `MAPPED`."""
    return np.unique(np.linspace(0, count - 1, min(count, MAPPED)).astype(np.int64))
