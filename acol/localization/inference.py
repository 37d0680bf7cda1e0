"""One pass over a split: a trained model's logits and maps of every image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.maps import mean_cams
from acol.network.distributed import ALONE, World
from acol.network.model import ACoL, ACoLOutput
from acol.network.precision import autocast


@dataclass(frozen=True)
class SplitOutputs:
    """N images' outputs of K classifiers over C classes, in the images' order, as float32 on the CPU.

    `logits` (K, N, C): erasing followed the true labels, as in training; the first classifier's do not depend on them.
    `cams` and `predicted_cams` (K, N, h, w) in [0, 1]: each classifier's map of the true class (GT-known), and of the
    class that the first classifier predicts, each after its predecessors' erasing by that same class.
    """

    logits: np.ndarray
    cams: np.ndarray
    predicted_cams: np.ndarray


@torch.inference_mode()
def run_split(
    model: ACoL,
    views: Sequence[LabelledImages],
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
    world: World = ALONE,
) -> SplitOutputs:
    """Run the model over a split; the backbone runs once for each image and view.

    `views` are the same images at one or more sizes, the model's own size first. The first view gives the logits, all
    views give the maps (`mean_cams`). Of several processes, each runs its share of the batches; all return all outputs.
    """
    model.eval()
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    count = len(views[0])
    starts = range(0, count, batch_size)
    for start in tqdm(starts[world.share(len(starts))], desc="evaluate", disable=None if world.first else True):
        indices = np.arange(start, min(start + batch_size, count))
        known: list[ACoLOutput] = []
        predicted: list[ACoLOutput] = []
        for view in views:
            pixels, labels = view.batch(indices)
            with autocast(device, precision):
                features = model.backbone(preprocessing.view(pixels).to(device))
                known.append(model.classify(features, labels.to(device)))
                predicted.append(model.classify(features, predicted[0].target if predicted else None))
        parts.append(tuple(x.cpu().numpy() for x in (known[0].logits, mean_cams(known), mean_cams(predicted))))  # type: ignore[arg-type]
    logits, cams, predicted_cams = (np.concatenate(part, axis=1) for part in zip(*world.gathered(parts), strict=True))
    return SplitOutputs(logits, cams, predicted_cams)
