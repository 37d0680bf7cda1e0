"""The features of a trunk's frozen part: computed once for each image and view, for all cells that share it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.loading import LabelledImages
from acol.data.memory_maps import Array, kept_array
from acol.data.transforms import Preprocessing
from acol.network.model import ACoL
from acol.network.precision import autocast

VIEWS = 4  # crops of each training image that are computed; the epochs use them in turn
_BATCH = 64


class LabelledFeatures(LabelledImages):
    """As `LabelledImages`, but `pixels` (N, h, w, C) are features: float32, or the bits of bfloat16 as int16."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the features (n, C, h, w), channels-last in memory, and labels (n,) at `indices`."""
        features, labels = super().batch(indices)
        return features.view(torch.bfloat16) if features.dtype == torch.int16 else features, labels


@dataclass(frozen=True)
class FrozenTrunk:
    """The first `pieces` of a model's backbone, which `Backbone.freeze` keeps as they are.

    Batch norms use their running statistics there, so that an image's features do not depend on other images. The
    arrays are kept under `cache`, named by a hash of the frozen weights, the images and the view.
    """

    model: ACoL
    pieces: int
    preprocessing: Preprocessing
    device: torch.device
    precision: str
    cache: Path
    seed: int

    def training_view(self, images: LabelledImages, nth: int) -> LabelledFeatures:
        """Return the features of the training images' `nth` crops, nth in [0, VIEWS)."""
        generator = torch.Generator().manual_seed(self.seed * VIEWS + nth)
        crops = self.preprocessing.draw_crops(len(images), generator)
        return self.view(images, f"crops {self.seed} {nth}", crops)

    def view(self, images: LabelledImages, name: str = "whole", crops: Tensor | None = None) -> LabelledFeatures:
        """Return the features of whole images of the network's size, or of one crop of each."""
        bits = self.precision == "bfloat16"

        def compute(indices: Array) -> Array:
            pixels = images.batch(indices)[0].to(self.device)
            if crops is None:
                inputs = self.preprocessing.view(pixels)
            else:
                inputs = self.preprocessing.training_view(pixels, crops[indices])
            with torch.inference_mode(), autocast(self.device, self.precision):
                inputs = self.model.backbone.until(inputs, self.pieces)
            features = inputs.to(torch.bfloat16 if bits else torch.float32).permute(0, 2, 3, 1).contiguous().cpu()
            return (features.view(torch.int16) if bits else features).numpy()

        def fill(array: Array) -> None:
            for start in tqdm(range(0, len(images), _BATCH), desc=f"frozen backbone, {name}", disable=None):
                chosen = np.arange(start, min(start + _BATCH, len(images)))
                array[chosen] = compute(chosen)

        training = self.model.training
        self.model.eval()
        one = compute(np.arange(1))
        path = self.cache / f"{self._key(images, name)}.npy"
        features = kept_array(path, (len(images), *one.shape[1:]), one.dtype, fill)
        self.model.train(training)
        return LabelledFeatures(features, images.labels, images.names)

    def _key(self, images: LabelledImages, view: str) -> str:
        facts = f"{self.model.backbone.name} {self.model.backbone.stride} {self.pieces} {view} {self.precision}"
        digest = hashlib.sha256(f"{facts} {self.device.type} {torch.__version__} {asdict(self.preprocessing)}".encode())
        for value in self.model.backbone.frozen_state(self.pieces):
            digest.update(value.cpu().contiguous().numpy().data)
        digest.update(np.ascontiguousarray(images.pixels).data)
        return digest.hexdigest()[:32]
