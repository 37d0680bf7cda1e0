"""The sources of evidence of where an object is, and the maps that combine them.

A source is a map (N, h, w) in [0, 1] from one forward pass. The source `cam`, made of the class maps of the
classifiers, shows where the class is; the norms of features (`acol.network.feature_norms`) show that something is
there.
"""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from acol.errors import InputError, did_you_mean
from acol.network.feature_norms import EARLY, LATE, MIDDLE, NORM
from acol.network.model import normalise
from acol.recipe import Recipe

CAM = "cam"
# A map is the weighted sum of its sources, here with their weights. Of equally good maps the first is chosen.
MAPS: dict[str, dict[str, float]] = {
    CAM: {CAM: 1},
    "cam+0.25late+0.25norm": {CAM: 1, LATE: 0.25, NORM: 0.25},
    "cam+0.5late": {CAM: 1, LATE: 0.5},
    "cam+late": {CAM: 1, LATE: 1},
    "cam+early+late": {CAM: 1, EARLY: 1, LATE: 1},
    "cam+early+middle+late": {CAM: 1, EARLY: 1, MIDDLE: 1, LATE: 1},
    "cam+0.5norm": {CAM: 1, NORM: 0.5},
    NORM: {NORM: 1},  # knows no class; it is a baseline, and never chosen
}
_FINEST_FIRST = (EARLY, MIDDLE, LATE, NORM, CAM)  # by the number of positions


def check_map(name: str, sources: Collection[str] | None = None) -> str:
    """Return the name; raise `InputError` if it is none of `MAPS`, or if the `sources` are not enough for this map."""
    if name not in MAPS:
        raise InputError(f"map {name!r:.100}: unknown; {did_you_mean(name, MAPS)}")
    if sources is not None and name not in (names := possible(sources)):
        raise InputError(f"map {name}: this backbone's features do not give it; choose one of {', '.join(names)}")
    return name


def possible(sources: Collection[str]) -> list[str]:
    """Return the names of the maps that can be made of these sources. With `middle`, `early` may be missing."""
    usable = {*sources, *([EARLY] if MIDDLE in sources else [])}
    return [name for name, weights in MAPS.items() if weights.keys() <= usable]


def depths_for(name: str, depths: Mapping[str, str]) -> dict[str, str]:
    """Return those of a backbone's depths that a map needs; raise `InputError` if they are not enough for it."""
    check_map(name, {CAM, NORM, *depths})
    return {depth: module for depth, module in depths.items() if depth in MAPS[name]}


def fused(cams: Tensor, recipe: Recipe) -> Tensor:
    """Return the element-wise maximum of the maps of the `p` classifiers, (K, ...) -> (...).

    Maps of `n` classifiers are not used. (Zhang et al. 2018, section 3.3.)
    """
    return cams[list(recipe.complementary)].amax(0)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (N, h, w) or (N, 1, h, w) resized bilinearly to (..., H, W); values in [0, 1] stay in it."""
    if maps.dim() == 3:
        return upsample(maps.unsqueeze(1), size).squeeze(1)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def combine(sources: Mapping[str, Tensor], name: str) -> Tensor:
    """Return the map `name` of `MAPS` in [0, 1], (N, h, w) or (N, 1, h, w) like its sources.

    The sources may have different sizes h' x w'. They are resized to that of the finest of them and added with their
    weights; the sum is normalised again. A single source stays as it is. A missing `early` is left out.
    """
    weights = {source: weight for source, weight in MAPS[name].items() if source in sources or source != EARLY}
    if len(weights) == 1:
        return sources[next(iter(weights))]
    finest = sources[next(source for source in _FINEST_FIRST if source in weights)]
    size = (finest.shape[-2], finest.shape[-1])
    return normalise(sum((weight * upsample(sources[each], size) for each, weight in weights.items()), torch.zeros(())))
