"""From class maps to where the object is: normalised, fused and upsampled maps, and the box of a map."""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acol.network.model import normalise
from acol.recipe import Recipe


class _HasClassMaps(Protocol):
    @property
    def class_maps(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...


class _HasCams(Protocol):
    @property
    def cams(self) -> Tensor: ...


def fuse(cams: Tensor, recipe: Recipe) -> Tensor:
    """Element-wise maximum of the `p` classifiers' maps: (K, N, h, w) -> (N, h, w) (Zhang et al. 2018, section 3.3)."""
    return cams[list(recipe.complementary)].amax(0)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, h, w) bilinearly to (N, H, W); values stay within [0, 1] where they were."""
    return F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)


def mean_cams(outputs: Sequence[_HasClassMaps]) -> Tensor:
    """Return the normalised mean of the target's class maps over outputs of the same images at several sizes.

    Each output's maps (K, N, C, h, w) are upsampled to the largest of them; of a single output, these are its `cams`.
    """
    height, width = max(tuple(out.class_maps.shape[-2:]) for out in outputs)
    total = None
    for out in outputs:
        images = torch.arange(len(out.target), device=out.target.device)
        maps = upsample(out.class_maps[:, images, out.target].flatten(0, 1), (height, width))
        total = maps if total is None else total + maps
    assert total is not None  # at least one output
    return normalise(total / len(outputs)).unflatten(0, (-1, len(outputs[0].target)))


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
