"""Whether a map shows what the model looks at: the model's own answer as pixels go, come, or are seen through the map.

Needs neither boxes nor masks, but some forty forward passes an image: it is measured on a sample.
"""

import numpy as np
import torch

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.inference import SplitOutputs
from acol.localization import fuse, upsample
from acol.metrics import quality
from acol.model import ACoL
from acol.precision import autocast

STEPS = 20  # of deletion and insertion


def faithfulness(
    model: ACoL,
    view: LabelledImages,
    outputs: SplitOutputs,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: str,
    images: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Measure the fused maps of the predicted class on a seeded sample of `images` of the view's N.

    Returns `deletion`, `insertion`, `average_drop` and `average_increase`, each (N,) in [0, 1] with NaN outside the
    sample: see `acol.metrics.quality`. The probability is the first classifier's, of the class that it predicts.
    """
    model.eval()
    count = len(view)
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:images])
    pixels, _ = view.batch(chosen)
    seen = preprocessing.view(pixels).to(device)
    size = (seen.shape[-2], seen.shape[-1])
    maps = upsample(fuse(torch.from_numpy(outputs.predicted_cams[:, chosen]), model.recipe), size).clamp(0, 1).numpy()
    labels = outputs.logits[0, chosen].argmax(axis=1)

    def score(batch: torch.Tensor) -> torch.Tensor:
        with autocast(device, precision):
            logits = model.classifiers[0](model.backbone(batch)).mean((2, 3))
        return logits.double().softmax(1)

    drop, increase = quality.average_drop(score, seen, maps, labels)
    measured = {
        "deletion": quality.deletion(score, seen, maps, labels, STEPS),
        "insertion": quality.insertion(score, seen, maps, labels, STEPS),
        "average_drop": drop,
        "average_increase": increase,
    }
    found = {name: np.full(count, np.nan) for name in measured}
    for name, values in measured.items():
        found[name][chosen] = values
    return found
