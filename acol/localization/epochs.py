"""How well the maps of each epoch localize, from the maps of the validation images that training keeps."""

from collections.abc import Sequence

import numpy as np
import torch

from acol.data.manifest import Image
from acol.localization.evidence import CAM
from acol.localization.maps import FusedMaps
from acol.localization.regions import true_boxes
from acol.metrics.max_box_acc import MaxBoxAccV2


def localization_of(maps: np.ndarray, images: Sequence[Image]) -> float:
    """Return MaxBoxAccV2 of fused maps (N, h, w) in [0, 1] of N images, all of which have boxes.

    They are plain CAMs, whatever map the cell is scored by later: training keeps no norms, and behind a frozen part of
    the backbone it could not.
    """
    metric, truths = MaxBoxAccV2(), iter([true_boxes(image) for image in images])
    for part in FusedMaps({CAM: torch.from_numpy(maps).float()}):
        metric.update(part, [next(truths) for _ in part])
    return float(metric.compute())
