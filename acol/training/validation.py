"""The pass over the validation images after each epoch: losses, accuracy, and the maps of some of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.manifest import uneven
from acol.losses import classifier_losses
from acol.network.precision import autocast
from acol.training.results import PhaseResult, batch_sums

if TYPE_CHECKING:
    from acol.training.loop import Training

MAPPED = 300  # the number of validation images whose maps are kept


@torch.inference_mode()
def validate(training: Training, after_batch: Callable[[], None] = lambda: None) -> tuple[PhaseResult, Tensor]:
    """Return the results, and the fused maps of the true class of the `mapped_images`, (n, h, w) float16.

    Erasing uses the maps of the true labels, as in training, so that the losses can be compared. `after_batch` is
    called after each batch.
    """
    model, world, device = training.model.eval(), training.world, training.device
    count, recipe = len(training.val), model.recipe
    sums = torch.zeros(len(recipe) + 2, dtype=torch.float64, device=device)
    right = torch.zeros(model.num_classes, dtype=torch.float64, device=device)
    maps: list[Tensor] = []

    # All processes have the same number of batches, the last of which may be empty, since `after_batch` may wait for
    # all of them. Without gradients there is memory for twice as many images as in a batch of training.
    mine = np.arange(count)[world.share(count)]
    size, largest = 2 * training.settings.batch_size // world.size, -(-count // world.size)
    batches = [mine[start : start + size] for start in range(0, largest, size)]
    start, feed = training.val_start, training.val_feed
    bar = tqdm(feed.batches(batches), desc="validate", total=len(batches), leave=False, disable=None)
    for indices, (inputs, labels) in zip(batches, bar, strict=True):
        if len(labels):
            if not start:
                inputs = training.preprocessing.view(inputs)
            with autocast(device, training.precision):
                out = model(inputs, labels, start)
            sums += batch_sums(classifier_losses(out.logits, labels, recipe), out.logits[0], labels)
            right.index_add_(0, labels, (out.logits[0].argmax(1) == labels).double())
            kept = torch.from_numpy(np.isin(indices, mapped_images(count)))
            # As in acol.localization: the maximum of the maps of the `p` classifiers.
            maps.append(out.cams[list(recipe.complementary)].amax(0).half().cpu()[kept])
        after_batch()

    # Bring together the results of all processes.
    all_maps = torch.cat(world.gather(maps))
    result = PhaseResult.of(world.sum(sums))
    if uneven_classes(training.val.labels):
        images = np.bincount(training.val.labels, minlength=model.num_classes)
        shares = world.sum(right).cpu() / torch.from_numpy(images)
        result = replace(result, balanced_accuracy=float(shares.nanmean()))  # NaN is a class without images
    return result, all_maps


def uneven_classes(labels: np.ndarray) -> bool:
    """Return whether the classes differ so much in size that balanced accuracy must be used."""
    return uneven(np.unique(labels, return_counts=True)[1].tolist())


def mapped_images(count: int) -> np.ndarray:
    """Return the indices of the validation images, of `count`, whose maps are kept: at most `MAPPED`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MAPPED)).astype(np.int64))
