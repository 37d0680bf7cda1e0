"""The sources of evidence of where an object is, and the maps that are made of them.

A source is a map (N, h, w) in [0, 1] of one forward pass: `cam`, the classifiers' class maps, says which object it is;
the norms of the features (`acol.network.feature_norms`) say that something is there.
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
# Each map is the weighted sum of its sources. The order decides between equal ones.
MAPS: dict[str, dict[str, float]] = {
    CAM: {CAM: 1},
    "cam+0.25late+0.25norm": {CAM: 1, LATE: 0.25, NORM: 0.25},
    "cam+0.5late": {CAM: 1, LATE: 0.5},
    "cam+late": {CAM: 1, LATE: 1},
    "cam+early+late": {CAM: 1, EARLY: 1, LATE: 1},
    "cam+early+middle+late": {CAM: 1, EARLY: 1, MIDDLE: 1, LATE: 1},
    "cam+0.5norm": {CAM: 1, NORM: 0.5},
    NORM: {NORM: 1},  # knows no class: a mark to beat, which is never chosen
}
_FINEST_FIRST = (EARLY, MIDDLE, LATE, NORM, CAM)  # by the number of cells


def check_map(name: str, sources: Collection[str] | None = None) -> str:
    """Return the name of a map; raises `InputError` if it is none of `MAPS`, or the `sources` do not give it."""
    if name not in MAPS:
        raise InputError(f"map {name!r:.100}: unknown; {did_you_mean(name, MAPS)}")
    if sources is not None and name not in (there := possible(sources)):
        raise InputError(f"map {name}: this backbone's features do not give it; choose one of {', '.join(there)}")
    return name


def possible(sources: Collection[str]) -> list[str]:
    """Return the names of the maps that these sources allow. `early` may be lacking where there is a `middle`."""
    there = {*sources, *([EARLY] if MIDDLE in sources else [])}
    return [name for name, weights in MAPS.items() if weights.keys() <= there]


def depths_for(name: str, depths: Mapping[str, str]) -> dict[str, str]:
    """Return those of a backbone's depths that a map needs; raises `InputError` if they do not give the map."""
    check_map(name, {CAM, NORM, *depths})
    return {depth: module for depth, module in depths.items() if depth in MAPS[name]}


def fused(cams: Tensor, recipe: Recipe) -> Tensor:
    """Element-wise maximum of the `p` classifiers' maps: (K, ...) -> (...) (Zhang et al. 2018, section 3.3).

    An `n` classifier's map never counts.
    """
    return cams[list(recipe.complementary)].amax(0)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, h, w) or (N, 1, h, w) bilinearly to (..., H, W); values stay within [0, 1] where they were."""
    if maps.dim() == 3:
        return upsample(maps.unsqueeze(1), size).squeeze(1)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def combine(sources: Mapping[str, Tensor], name: str) -> Tensor:
    """Return the map `name` of `MAPS`, (N, h, w) or (N, 1, h, w) as its sources, in [0, 1].

    The sources, each of its own h' and w', are brought to the size of the finest of them and added by their weights;
    the sum is normalised again. A source alone stays as it is. `early` adds nothing where a backbone has none.
    """
    weights = {source: weight for source, weight in MAPS[name].items() if source in sources or source != EARLY}
    if len(weights) == 1:
        return sources[next(iter(weights))]
    finest = sources[next(source for source in _FINEST_FIRST if source in weights)]
    size = (finest.shape[-2], finest.shape[-1])
    return normalise(sum((weight * upsample(sources[each], size) for each, weight in weights.items()), torch.zeros(())))
