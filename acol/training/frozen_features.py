"""Features of the frozen part of a backbone: computed once per image and view, for all cells that share this part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.loading import LabelledImages, kept_array
from acol.network.precision import autocast

if TYPE_CHECKING:
    from acol.training.loop import Training

VIEWS = 4  # the number of crops of each training image whose features are kept; the epochs use them in turn
_BATCH = 64


class LabelledFeatures(LabelledImages):
    """Like `LabelledImages`, but `pixels` (N, h, w, C) are features: float32, or the bits of bfloat16 as int16."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the features (n, C, h, w), channels-last in memory, and labels (n,) at `indices`."""
        features, labels = super().batch(indices)
        return features.view(torch.bfloat16) if features.dtype == torch.int16 else features, labels


def frozen_features(
    training: Training, cache: Path, pieces: int, images: LabelledImages, nth: int | None = None
) -> LabelledFeatures:
    """Return the outputs of the frozen pieces of a backbone for images.

    In them batch norms use their running statistics, so that the features of an image do not depend on other images.
    The array is kept on disk and used again.

    Args:
        training: whose model, preprocessing, device and precision are used.
        cache: the folder of the arrays. Their names are hashes of the frozen weights, the images and the view.
        pieces: how many of the backbone's first pieces are frozen.
        images: N images.
        nth: which crop of each image, in [0, VIEWS); None: the whole image.
    """
    model, preprocessing, seed = training.model, training.preprocessing, training.settings.seed
    # Crops are drawn once per view, so that every cell and every run has the same ones.
    bits, crops, view = training.precision == "bfloat16", None, "whole"
    if nth is not None:
        crops = preprocessing.draw_crops(len(images), torch.Generator().manual_seed(seed * VIEWS + nth))
        view = f"crops {seed} {nth}"

    def compute(indices: np.ndarray) -> np.ndarray:
        pixels = images.batch(indices)[0].to(training.device)
        inputs = preprocessing.view(pixels) if crops is None else preprocessing.training_view(pixels, crops[indices])
        with torch.inference_mode(), autocast(training.device, training.precision):
            inputs = model.backbone.forward_until(inputs, pieces)
        features = inputs.to(torch.bfloat16 if bits else torch.float32).permute(0, 2, 3, 1).contiguous().cpu()
        return (features.view(torch.int16) if bits else features).numpy()

    def fill(array: np.ndarray) -> None:
        for start in tqdm(range(0, len(images), _BATCH), desc=f"frozen backbone, {view}", disable=None):
            chosen = np.arange(start, min(start + _BATCH, len(images)))
            array[chosen] = compute(chosen)

    # The name of the array is a hash of everything on which the features depend.
    facts = f"{model.backbone.name} {model.backbone.stride} {pieces} {view} {training.precision} {training.device.type}"
    digest = hashlib.sha256(f"{facts} {torch.__version__} {asdict(preprocessing)}".encode())
    for value in model.backbone.frozen_state(pieces):
        digest.update(value.cpu().contiguous().numpy().data)
    digest.update(np.ascontiguousarray(images.pixels).data)

    # One image shows the shape of the features.
    was_training = model.training
    model.eval()
    one = compute(np.arange(1))
    path = cache / f"{digest.hexdigest()[:32]}.npy"
    features = kept_array(path, (len(images), *one.shape[1:]), one.dtype, fill)
    model.train(was_training)
    return LabelledFeatures(features, images.labels, images.names)
