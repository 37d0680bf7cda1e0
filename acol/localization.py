"""From class maps to where the object is: normalised, fused and upsampled maps, and the box of a map."""

from typing import Protocol

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from acol.recipe import Recipe


class _HasCams(Protocol):
    @property
    def cams(self) -> Tensor: ...


def normalise(maps: Tensor) -> Tensor:
    """Min-max normalise each map of (..., h, w) to [0, 1]; a flat map becomes all zeros."""
    low = maps.amin((-2, -1), keepdim=True)
    span = maps.amax((-2, -1), keepdim=True) - low
    return (maps - low) / span.masked_fill(span == 0, 1)


def fuse(cams: Tensor, recipe: Recipe) -> Tensor:
    """Element-wise maximum of the `p` classifiers' maps: (K, N, h, w) -> (N, h, w) (Zhang et al. 2018, section 3.3)."""
    return cams[list(recipe.complementary)].amax(0)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, h, w) bilinearly to (N, H, W); values stay within [0, 1] where they were."""
    return F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)


def localization_map(out: _HasCams, recipe: Recipe | str, size: tuple[int, int]) -> Tensor:
    """Return where the target class is: the model's output -> (N, H, W) in [0, 1] at `size` (H, W) pixels.

    The `p` classifiers' normalised maps are fused by their maximum, then upsampled; an `n` classifier's never counts.
    """
    return upsample(fuse(out.cams, Recipe.parse(recipe) if isinstance(recipe, str) else recipe), size)


def box_of(score_map: np.ndarray, tau: float) -> tuple[int, int, int, int]:
    """Return the box of the largest connected region where a map (H, W) exceeds `tau` times its maximum.

    Half-open xyxy pixels of the map; the whole map where nothing does. For users; benchmarks score every contour
    (`acol.metrics.box_iou_curve`).
    """
    height, width = score_map.shape
    foreground = (score_map > tau * score_map.max()).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    if len(stats) == 1:  # the background alone
        return 0, 0, width, height
    x, y, w, h, _ = (int(value) for value in stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()])
    return x, y, x + w, y + h
