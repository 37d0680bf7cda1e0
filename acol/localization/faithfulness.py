"""Whether maps show what the model uses: its probability when pixels are removed, added or weighted by the map.

This needs no boxes or masks, but about forty forward passes per image, so it is measured on a sample of the images.
"""

import numpy as np
import torch
from tqdm import tqdm

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.fusion import CAM, combine, upsample
from acol.localization.inference import SplitOutputs
from acol.metrics import perturbation
from acol.network.model import ACoL
from acol.network.precision import autocast

MEASURES = ("deletion", "insertion", "average_drop", "average_increase")
STEPS = 20  # of deletion and insertion


def faithfulness(
    model: ACoL,
    view: LabelledImages,
    outputs: SplitOutputs,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
    images: int,
    seed: int,
    name: str = CAM,
) -> dict[str, np.ndarray]:
    """Measure the map `name` of the predicted class on a random sample of N images (`acol.metrics.perturbation`).

    The probability is that of the first classifier for the class that it predicts. `view` are the images at the size of
    the model, and `outputs` its outputs for them. The sample is of `images` images, drawn with `seed`.

    Returns each of `MEASURES`, (N,) in [0, 1]; NaN for images outside of the sample.
    """
    model.eval()
    chosen = np.sort(np.random.default_rng(seed).permutation(len(view))[:images])

    def score(batch: torch.Tensor) -> torch.Tensor:
        with autocast(device, precision):
            logits = model.classifiers[0](model.pooling(model.backbone(batch))).mean((2, 3))
        return logits.double().softmax(1)

    sources = outputs.sources(model.recipe, predicted=True)
    results = {measure: np.full(len(view), np.nan) for measure in MEASURES}
    for start in tqdm(range(0, len(chosen), batch_size), desc="faithfulness", disable=None):
        indices = chosen[start : start + batch_size]
        inputs = preprocessing.view(view.batch(indices)[0]).to(device)
        combined = combine({source: maps[indices] for source, maps in sources.items()}, name)
        maps = upsample(combined, (inputs.shape[-2], inputs.shape[-1])).clamp(0, 1).numpy()
        labels = outputs.logits[0, indices].argmax(axis=1)
        drop, increase = perturbation.average_drop(score, inputs, maps, labels)
        deletion = perturbation.deletion(score, inputs, maps, labels, STEPS)
        insertion = perturbation.insertion(score, inputs, maps, labels, STEPS)
        for measure, values in zip(MEASURES, (deletion, insertion, drop, increase), strict=True):
            results[measure][indices] = values
    return results
