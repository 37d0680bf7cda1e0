"""Whether a map shows what a model uses: how a class's probability changes when pixels are changed by the map.

There is one result per image (N,), so that results can be averaged and bootstrapped. These metrics need forward passes,
but no boxes.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array
from acol.metrics.quality import checked_maps

Classify = Callable[[torch.Tensor], torch.Tensor]  # images (N, 3, H, W) -> probabilities of the classes (N, C)


@torch.inference_mode()
def average_drop(score: Classify, images: torch.Tensor, maps: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Return the drop and the increase of the label's probability when each image is multiplied by its map.

    With the probability p for the image and q for image x map, drop = max(0, p - q) / p in [0, 1], and increase is
    whether q > p. Their means over the images are the average drop (lower is better) and the increase in confidence
    (higher is better) of Chattopadhay et al., Grad-CAM++ (WACV 2018), section 4.1, as shares.

    Args:
        score: a function from images (N, 3, H, W) to the probabilities of the classes (N, C).
        images: (N, 3, H, W) float, as `score` takes them.
        maps: (N, H, W) in [0, 1].
        labels: (N,) whole numbers in [0, C).

    Returns (N,) float64 and (N,) bool. Raises `InputError` for unequal shapes, and for maps outside [0, 1].

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> average_drop(probabilities, torch.ones(1, 3, 2, 2), [[[1, 1], [0, 0]]], [0])
    (array([0.5]), array([False]))
    """
    values, target = _as_tensors(maps, labels, images)
    p, q = _label_score(score, images, target), _label_score(score, images * values[:, None], target)
    return np.maximum(0, p - q) / np.maximum(p, np.finfo(np.float64).tiny), q > p


@torch.inference_mode()
def deletion(
    score: Classify,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "mean",
    batch: int = 64,
    insert: bool = False,
) -> Array:
    """Return the area under the label's probability while pixels are removed, the map's highest first; low is good.

    The source is Petsiuk et al., RISE (BMVC 2018), section 4.2.

    Args:
        score, images, maps, labels: as in `average_drop`.
        steps: the number of equal steps in which pixels are removed, at least 1 (default: 20).
        baseline: what replaces a removed pixel: the "mean" colour of the image (default), or its Gaussian "blur", with
            a sigma of 1/20 of the shorter side.
        batch: how many images are scored at a time (default: 64).
        insert: whether pixels are added to the baseline instead, as in `insertion` (default: False).

    Returns (N,) float64 in [0, 1]. Raises `InputError` for unequal shapes, maps outside [0, 1], steps or a batch below
    1, and an unknown baseline.

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> images = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).expand(1, 3, 2, 2)
    >>> deletion(probabilities, images, [[[1.0, 0.0], [0.0, 0.0]]], [0], steps=2)
    array([0.1875])
    """
    values, target = _as_tensors(maps, labels, images)
    if steps < 1 or batch < 1:
        raise InputError(f"steps, batch: {steps} and {batch} must be at least 1")
    if baseline not in ("mean", "blur"):
        raise InputError(f"baseline: {baseline!r} is unknown; choose 'mean' or 'blur'")
    areas = []
    for start in range(0, len(images), batch):
        part, part_maps, label = (x[start : start + batch] for x in (images, values, target))
        # The rank of each pixel by its map.
        order = part_maps.flatten(1).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(dim=1).view_as(part_maps)[:, None]  # 0 for the map's highest pixel
        plain = _blurred(part) if baseline == "blur" else part.mean(dim=(2, 3), keepdim=True).expand_as(part)
        # At each step the pixels of the lowest ranks come from `last`, the others from `first`.
        first, last = (plain, part) if insert else (part, plain)
        curve = [
            _label_score(score, torch.where(rank < order.shape[1] * step / steps, last, first), label)
            for step in range(steps + 1)
        ]
        areas.append(np.trapezoid(curve, dx=1 / steps, axis=0))
    return np.concatenate(areas) if areas else np.zeros(0)


def insertion(
    score: Classify,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "blur",
    batch: int = 64,
) -> Array:
    """Return the area under the label's probability while pixels are added to a baseline; high is good.

    The map's highest pixels are added first. Arguments, result, errors and source are those of `deletion`, but the
    default baseline is "blur".

    >>> def probabilities(images):
    ...     light = images.mean((1, 2, 3))
    ...     return torch.stack([light, 1 - light], dim=1)
    >>> images = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).expand(1, 3, 2, 2)
    >>> insertion(probabilities, images, [[[1.0, 0.0], [0.0, 0.0]]], [0], steps=2, baseline="mean")
    array([0.3125])
    """
    return deletion(score, images, maps, labels, steps, baseline, batch, insert=True)


def _blurred(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import gaussian_blur  # takes seconds to load

    side = min(images.shape[-2:])
    kernel = min(2 * (side // 4) + 1, 2 * side - 1)
    sigma = [max(side / 20, 0.5)]
    # One axis after the other gives the same up to rounding, and is many times as fast.
    blurred: torch.Tensor = gaussian_blur(gaussian_blur(images, [kernel, 1], sigma), [1, kernel], sigma)
    return blurred


def _label_score(score: Classify, images: torch.Tensor, labels: torch.Tensor) -> Array:
    """Return the probability of the label of each image (N,) as float64."""
    return as_array(score(images).gather(1, labels[:, None])[:, 0].double())


def _as_tensors(maps: ArrayLike, labels: ArrayLike, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return maps and labels as tensors on the device of the images; raise `InputError` if shapes do not fit."""
    values = torch.from_numpy(np.ascontiguousarray(checked_maps(maps, 3))).to(images)
    target = torch.as_tensor(np.array(as_array(labels)), dtype=torch.int64, device=images.device)
    if images.ndim != 4 or values.shape != images[:, 0].shape or target.shape != images.shape[:1]:
        raise InputError(
            f"maps, labels: shapes {tuple(values.shape)} and {tuple(target.shape)} for images of {tuple(images.shape)};"
            " give one of each per image"
        )
    return values, target
