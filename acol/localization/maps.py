"""From class maps and norms to localization maps: normalised, averaged over sizes, combined and upsampled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acol.errors import InputError
from acol.localization.fusion import CAM, combine, fused, upsample
from acol.localization.regions import MAP_SIZE
from acol.network.model import ACoLOutput, normalise
from acol.recipe import Recipe


def mean_cams(outputs: Sequence[ACoLOutput]) -> Tensor:
    """Return the normalised mean (K, N, h, w) of the target's class maps, over outputs for several sizes of the images.

    All class maps are resized to the size of the largest of them. For a single output the result is its `cams`.
    """
    images = torch.arange(len(outputs[0].target), device=outputs[0].target.device)
    chosen = [out.class_maps[:, images, out.target].flatten(0, 1) for out in outputs]
    return _mean(chosen).unflatten(0, (-1, len(images)))


def mean_norms(views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the normalised mean of each norm (N, h, w) over several image sizes (`acol.network.feature_norms`)."""
    return {name: _mean([norms[name] for norms in views]) for name in views[0]}


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Return the normalised mean of maps (n, h, w), resized to the size of the largest of them."""
    size = max((maps.shape[-2], maps.shape[-1]) for maps in parts)
    return normalise(torch.stack([upsample(maps, size) for maps in parts]).mean(0))


def localization_map(out: ACoLOutput, recipe: Recipe | str, size: tuple[int, int]) -> Tensor:
    """Return the map of the target class of each image, (N, H, W) in [0, 1].

    It is the map `cam`: the maximum of the normalised maps of the `p` classifiers, upsampled; maps of `n` classifiers
    are not used (Zhang et al. 2018, section 3.3). For other maps, which also need norms of features, see
    `acol.localization.fusion`.

    Args:
        out: the output of a model for N images.
        recipe: of this model.
        size: (H, W) of the maps in pixels.

    Raises `InputError` for a text that is no recipe, and for another number of classifiers.

    >>> out = ACoL("timm/test_resnet", "pn-0.9", num_classes=4).eval()(torch.rand(2, 3, 64, 64))
    >>> localization_map(out, "pn-0.9", (64, 48)).shape
    torch.Size([2, 64, 48])
    """
    recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
    if len(recipe) != len(out.cams):
        raise InputError(f"recipe {recipe}: not that of the {len(out.cams)} classifiers of `out`; give the model's own")
    return upsample(fused(out.cams, recipe), size)


def fused_maps(sources: Mapping[str, Tensor], name: str = CAM) -> np.ndarray:
    """Return the map `name` of sources (n, h, w), upsampled to (n, MAP_SIZE, MAP_SIZE), for scores and boxes."""
    return upsample(combine(sources, name), (MAP_SIZE, MAP_SIZE)).clamp(0, 1).numpy()


def at_size(score_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Upsample a map (h, w) in [0, 1] to an image's `size` (width, height)."""
    return upsample(torch.from_numpy(score_map)[None], size[::-1])[0].clamp(0, 1).numpy()


@dataclass(frozen=True)
class FusedMaps:
    """The `fused_maps` of the sources (N, h, w) of N images, 64 images at a time: all may not fit into memory."""

    sources: Mapping[str, Tensor]
    name: str = CAM

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the maps in the order of the images."""
        for start in range(0, len(self.sources[CAM]), 64):
            yield fused_maps({source: maps[start : start + 64] for source, maps in self.sources.items()}, self.name)
