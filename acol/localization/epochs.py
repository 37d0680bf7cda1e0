"""How well the maps of each epoch localize, from the maps of the validation images that training keeps."""

from collections.abc import Sequence

import numpy as np
import torch

from acol.data.manifest import Image
from acol.localization.evidence import upsample
from acol.localization.true_boxes import MAP_SIZE, true_boxes
from acol.metrics.max_box_acc import MaxBoxAccV2

_CHUNK = 64


def localization_of(maps: np.ndarray, images: Sequence[Image]) -> float:
    """Return MaxBoxAccV2 of fused maps (n, h, w) in [0, 1] of n images, all of which have boxes.

    They are plain CAMs, whatever map the cell is scored by later: training keeps no norms, and behind a frozen part of
    the backbone it could not.
    """
    metric = MaxBoxAccV2()
    for start in range(0, len(images), _CHUNK):
        part = upsample(torch.from_numpy(maps[start : start + _CHUNK]).float(), (MAP_SIZE, MAP_SIZE)).clamp(0, 1)
        metric.update(part.numpy(), [true_boxes(image) for image in images[start : start + _CHUNK]])
    return float(metric.compute())
