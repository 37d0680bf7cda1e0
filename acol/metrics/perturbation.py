"""Whether a map shows what a model uses: its probability while the image's pixels are changed by the map.

Results are per image (N,), so that they can be averaged and bootstrapped. This needs forward passes, but no boxes.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array
from acol.metrics.quality import checked_maps

Score = Callable[[torch.Tensor], torch.Tensor]  # images (N, 3, H, W) -> probabilities of the classes (N, C)


@torch.inference_mode()
def average_drop(score: Score, images: torch.Tensor, maps: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Return each image's drop and increase (N,) when it is multiplied by its map.

    With the label's probability p on the image and q on image x map: drop = max(0, p - q) / p, increase = q > p. Their
    means are the average drop (lower is better) and increase in confidence (higher is better) of Chattopadhay et al.,
    Grad-CAM++ (WACV 2018), section 4.1, as shares. `score`: images -> probabilities (N, C); `images`
    (N, 3, H, W) as it takes them, `maps` (N, H, W) in [0, 1], `labels` (N,). Raises `InputError` for unequal shapes.

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> average_drop(probabilities, torch.ones(1, 3, 2, 2), [[[1, 1], [0, 0]]], [0])
    (array([0.5]), array([False]))
    """
    through, target = _for_images(maps, labels, images)
    p, q = _label_score(score, images, target), _label_score(score, images * through[:, None], target)
    return np.maximum(0, p - q) / np.maximum(p, np.finfo(np.float64).tiny), q > p


@torch.inference_mode()
def deletion(
    score: Score,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "mean",
    batch: int = 64,
    insert: bool = False,
) -> Array:
    """Return the area (N,) under the label's probability as pixels are removed, the map's highest first; low is good.

    Petsiuk et al., RISE (BMVC 2018), section 4.2. In `steps` equal steps the baseline replaces pixels: the image's
    "mean" colour, or its Gaussian "blur" (sigma: the shorter side / 20). With `insert` pixels replace the baseline
    instead, see `insertion`. `batch` images are scored at a time. The other arguments are those of `average_drop`.
    Raises `InputError` for unequal shapes, fewer than one step, and an unknown baseline.

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> images = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).expand(1, 3, 2, 2)
    >>> deletion(probabilities, images, [[[1.0, 0.0], [0.0, 0.0]]], [0], steps=2)
    array([0.1875])
    """
    values, target = _for_images(maps, labels, images)
    if steps < 1 or batch < 1:
        raise InputError(f"steps, batch: {steps} and {batch} must be at least 1")
    if baseline not in ("mean", "blur"):
        raise InputError(f"baseline: {baseline!r} is unknown; choose 'mean' or 'blur'")
    areas = []
    for start in range(0, len(images), batch):
        some, ranked, label = (x[start : start + batch] for x in (images, values, target))
        order = ranked.flatten(1).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(dim=1).view_as(ranked)[:, None]  # 0 for the map's highest pixel
        plain = _blurred(some) if baseline == "blur" else some.mean(dim=(2, 3), keepdim=True).expand_as(some)
        first, last = (plain, some) if insert else (some, plain)
        curve = [
            _label_score(score, torch.where(rank < order.shape[1] * step / steps, last, first), label)
            for step in range(steps + 1)
        ]
        areas.append(np.trapezoid(curve, dx=1 / steps, axis=0))
    return np.concatenate(areas) if areas else np.zeros(0)


def insertion(
    score: Score,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "blur",
    batch: int = 64,
) -> Array:
    """Return the area (N,) under the label's probability as pixels replace the baseline; high is good.

    The counterpart of `deletion`: arguments, errors and source are those. The default baseline is the "blur".

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> images = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).expand(1, 3, 2, 2)
    >>> insertion(probabilities, images, [[[1.0, 0.0], [0.0, 0.0]]], [0], steps=2, baseline="mean")
    array([0.3125])
    """
    return deletion(score, images, maps, labels, steps, baseline, batch, insert=True)


def _blurred(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import gaussian_blur  # this import takes seconds

    side = min(images.shape[-2:])
    kernel = min(2 * (side // 4) + 1, 2 * side - 1)
    blurred: torch.Tensor = gaussian_blur(images, [kernel, kernel], [max(side / 20, 0.5)])
    return blurred


def _label_score(score: Score, images: torch.Tensor, labels: torch.Tensor) -> Array:
    return as_array(score(images).gather(1, labels[:, None])[:, 0].double())


def _for_images(maps: ArrayLike, labels: ArrayLike, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(np.ascontiguousarray(checked_maps(maps, 3))).to(images)
    target = torch.as_tensor(np.array(as_array(labels)), dtype=torch.int64, device=images.device)
    if images.ndim != 4 or values.shape != images[:, 0].shape or target.shape != images.shape[:1]:
        raise InputError(
            f"maps, labels: shapes {tuple(values.shape)} and {tuple(target.shape)} for images of {tuple(images.shape)};"
            " give one of each per image"
        )
    return values, target
