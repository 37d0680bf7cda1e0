"""The localization score of each epoch, from the maps of validation images that training keeps."""

from collections.abc import Sequence

import numpy as np
import torch

from acol.data.manifest import Image
from acol.localization.fusion import CAM
from acol.localization.maps import FusedMaps
from acol.localization.regions import true_boxes
from acol.metrics.max_box_acc import MaxBoxAccV2


def localization_of(maps: np.ndarray, images: Sequence[Image]) -> float:
    """Return MaxBoxAccV2 of fused maps (N, h, w) in [0, 1]; all of the N images have boxes.

    The maps are plain CAMs, also if the cell is later scored by another map: training keeps no norms, since it does not
    run the frozen part of the backbone.
    """
    metric, truths = MaxBoxAccV2(), iter([true_boxes(image) for image in images])
    for part in FusedMaps({CAM: torch.from_numpy(maps).float()}):
        metric.update(part, [next(truths) for _ in part])
    return float(metric.compute())
