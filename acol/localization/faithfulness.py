"""Whether a map shows what the model uses: its probability while pixels are removed, added or masked by the map.

This needs no boxes or masks, but about forty forward passes per image, so it is measured on a sample.
"""

import numpy as np
import torch
from tqdm import tqdm

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.evidence import CAM, combine, upsample
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
    """Measure the map `name` of the predicted class on a seeded sample of `images` of the view's N.

    Returns each of `MEASURES`, (N,) in [0, 1], NaN outside the sample; see `acol.metrics.perturbation`. The probability
    is the first classifier's, of the class that it predicts.
    """
    model.eval()
    chosen = np.sort(np.random.default_rng(seed).permutation(len(view))[:images])

    def score(batch: torch.Tensor) -> torch.Tensor:
        with autocast(device, precision):
            logits = model.classifiers[0](model.pooling(model.backbone(batch))).mean((2, 3))
        return logits.double().softmax(1)

    sources = outputs.sources(model.recipe, predicted=True)
    found = {measure: np.full(len(view), np.nan) for measure in MEASURES}
    for start in tqdm(range(0, len(chosen), batch_size), desc="faithfulness", disable=None):
        some = chosen[start : start + batch_size]
        seen = preprocessing.view(view.batch(some)[0]).to(device)
        together = combine({each: maps[some] for each, maps in sources.items()}, name)
        maps = upsample(together, (seen.shape[-2], seen.shape[-1])).clamp(0, 1).numpy()
        labels = outputs.logits[0, some].argmax(axis=1)
        drop, increase = perturbation.average_drop(score, seen, maps, labels)
        deletion = perturbation.deletion(score, seen, maps, labels, STEPS)
        insertion = perturbation.insertion(score, seen, maps, labels, STEPS)
        for measure, values in zip(MEASURES, (deletion, insertion, drop, increase), strict=True):
            found[measure][some] = values
    return found
