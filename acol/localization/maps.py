"""From class maps to where the object is: normalised, fused and upsampled maps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acol.localization.fusion import fused
from acol.localization.truth import MAP_SIZE
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

    The `p` classifiers' normalised maps are fused by their maximum, then upsampled; an `n` classifier's never counts
    (Zhang et al. 2018, section 3.2). `out` has `cams` (K, N, h, w); `recipe` is the model's. Raises `InputError` for a
    malformed recipe.

    >>> out = ACoL("timm/test_resnet", "pn-0.9", num_classes=4).eval()(torch.rand(2, 3, 64, 64))
    >>> localization_map(out, "pn-0.9", (64, 48)).shape
    torch.Size([2, 64, 48])
    """
    return upsample(fused(out.cams, Recipe.parse(recipe) if isinstance(recipe, str) else recipe), size)


def fused_maps(cams: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Fuse maps (K, n, h, w) and upsample them to (n, MAP_SIZE, MAP_SIZE) in [0, 1], for scores and boxes."""
    return np.clip(upsample(torch.from_numpy(fused(cams, recipe)), (MAP_SIZE, MAP_SIZE)).numpy(), 0, 1)


@dataclass(frozen=True)
class FusedMaps:
    """The `fused_maps` of N images' maps (K, N, h, w), 64 images at a time, since all may not fit in memory."""

    cams: np.ndarray
    recipe: Recipe

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the maps in the images' order."""
        for start in range(0, self.cams.shape[1], 64):
            yield fused_maps(self.cams[:, start : start + 64], self.recipe)
