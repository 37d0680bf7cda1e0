"""One pass over a split: what a trained model says of every image, and the maps behind it."""

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.model import ACoL
from acol.precision import autocast


@dataclass(frozen=True)
class SplitOutputs:
    """N images' outputs of K classifiers over C classes, in the images' order, as float32 on the CPU.

    `logits` (K, N, C): erasing followed the true labels, as in training; the first classifier's know no label.
    `cams` and `predicted_cams` (K, N, h, w) in [0, 1]: each classifier's map of the true class (GT-known), and of the
    class that the first classifier predicts, each after its predecessors' erasing by that same class.
    """

    logits: np.ndarray
    cams: np.ndarray
    predicted_cams: np.ndarray


@torch.inference_mode()
def run_split(
    model: ACoL,
    images: LabelledImages,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
) -> SplitOutputs:
    """Run the model over images (S = `preprocessing.size` pixels square); the trunk runs once for each."""
    model.eval()
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in tqdm(range(0, len(images), batch_size), desc="evaluate", disable=None):
        pixels, labels = images.batch(np.arange(start, min(start + batch_size, len(images))))
        view = preprocessing.view(pixels).to(device)
        with autocast(device, precision):
            features = model.backbone(view)
            known, predicted = model.classify(features, labels.to(device)), model.classify(features)
        parts.append((known.logits.cpu().numpy(), known.cams.cpu().numpy(), predicted.cams.cpu().numpy()))
    logits, cams, predicted_cams = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return SplitOutputs(logits, cams, predicted_cams)
