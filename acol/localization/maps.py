"""From class maps and norms to where the object is: normalised, averaged over sizes, combined and upsampled maps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acol.localization.evidence import CAM, combine, fused, upsample
from acol.localization.regions import MAP_SIZE
from acol.network.model import ACoLOutput, normalise
from acol.recipe import Recipe


def mean_cams(outputs: Sequence[ACoLOutput]) -> Tensor:
    """Return the normalised mean of the target's class maps over outputs of the same images at several sizes.

    Each output's maps (K, N, C, h, w) are upsampled to the largest of them; of a single output, these are its `cams`.
    """
    images = torch.arange(len(outputs[0].target), device=outputs[0].target.device)
    chosen = [out.class_maps[:, images, out.target].flatten(0, 1) for out in outputs]
    return _mean(chosen).unflatten(0, (-1, len(images)))


def mean_norms(views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the normalised mean over several image sizes of each norm (N, h, w) of `acol.network.feature_norms`."""
    return {name: _mean([norms[name] for norms in views]) for name in views[0]}


def _mean(parts: Sequence[Tensor]) -> Tensor:
    size = max((maps.shape[-2], maps.shape[-1]) for maps in parts)
    return normalise(torch.stack([upsample(maps, size) for maps in parts]).mean(0))


def localization_map(out: ACoLOutput, recipe: Recipe | str, size: tuple[int, int]) -> Tensor:
    """Return where the target class is: the model's output -> (N, H, W) in [0, 1] at `size` (H, W) pixels.

    It is the map `cam`: the `p` classifiers' normalised maps are fused by their maximum, then upsampled; an `n`
    classifier's never counts (Zhang et al. 2018, section 3.2). Other maps need the backbone's norms, see
    `acol.localization.evidence`. `out` has `cams` (K, N, h, w); `recipe` is the model's. Raises `InputError` for a
    malformed recipe.

    >>> out = ACoL("timm/test_resnet", "pn-0.9", num_classes=4).eval()(torch.rand(2, 3, 64, 64))
    >>> localization_map(out, "pn-0.9", (64, 48)).shape
    torch.Size([2, 64, 48])
    """
    return upsample(fused(out.cams, Recipe.parse(recipe) if isinstance(recipe, str) else recipe), size)


def fused_maps(sources: Mapping[str, Tensor], name: str = CAM) -> np.ndarray:
    """Combine sources (n, h, w) to the map `name`, upsampled to (n, MAP_SIZE, MAP_SIZE), for scores and boxes."""
    return upsample(combine(sources, name), (MAP_SIZE, MAP_SIZE)).clamp(0, 1).numpy()


@dataclass(frozen=True)
class FusedMaps:
    """The `fused_maps` of N images' sources (N, h, w), 64 images at a time, since all may not fit in memory."""

    sources: Mapping[str, Tensor]
    name: str = CAM

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the maps in the images' order."""
        for start in range(0, len(self.sources[CAM]), 64):
            yield fused_maps({each: maps[start : start + 64] for each, maps in self.sources.items()}, self.name)
