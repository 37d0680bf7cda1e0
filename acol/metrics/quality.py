"""The quality of maps without boxes, and what erasing did for a recipe's classifiers.

Maps are (N, H, W), or (K, N, H, W) of K classifiers, normalised to [0, 1]; results are per image, so that they can be
sorted, averaged and bootstrapped.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.boxes import as_array

Array = np.ndarray[Any, Any]
Score = Callable[[torch.Tensor], torch.Tensor]  # images (N, 3, H, W) -> probabilities of the classes (N, C)


def coverage(maps: ArrayLike, tau: float | None = None) -> Array:
    """Return the share of each image (N,) where its map is above `tau`; without a tau, the map's mean."""
    values = _maps(maps, 3)
    share: Array = (values if tau is None else values > tau).mean(axis=(1, 2))
    return share


def entropy(maps: ArrayLike) -> Array:
    """Return the entropy (N,) of each map as a distribution over pixels, divided by the uniform one's: in [0, 1].

    0 is a single pixel; 1 is uniform, which a map of zeros counts as.
    """
    values = _maps(maps, 3).reshape(len(as_array(maps)), -1)
    pixels = values.shape[1]
    if pixels == 1:
        return np.ones(len(values))
    total = values.sum(axis=1)
    single = values.astype(np.float32)  # a logarithm of every pixel: twice as fast, and exact to six digits
    weighted = (single * np.log(np.where(single > 0, single, 1))).sum(axis=1, dtype=np.float64)
    safe = np.where(total > 0, total, 1)
    # With p = v / total: -sum p log p = log total - sum v log v / total.
    return np.where(total > 0, (np.log(safe) - weighted / safe) / np.log(pixels), 1)


def overlap(maps: ArrayLike, delta: float) -> Array:
    """Return the IoU (K, K, N) of the classifiers' regions above `delta`; two empty regions have 0."""
    masks = _maps(maps, 4) > delta
    shared = (masks[:, None] & masks[None]).sum(axis=(3, 4))
    either = (masks[:, None] | masks[None]).sum(axis=(3, 4))
    return np.asarray(shared / np.maximum(either, 1))


def complementarity(maps: ArrayLike, delta: float) -> Array:
    """Return what each classifier's region above `delta` adds (K, N): its new part, as a share of all found so far.

    The first has 1 where it found anything; 0 means that a classifier only repeats those before it.
    """
    masks = _maps(maps, 4) > delta
    union = np.logical_or.accumulate(masks, axis=0).sum(axis=(2, 3))
    added = np.diff(union, axis=0, prepend=0)
    return np.asarray(added / np.maximum(union, 1))


def object_share(maps: ArrayLike, objects: ArrayLike, tau: float) -> Array:
    """Return the share (K, N) of each image's object that each classifier's map covers above `tau`.

    `objects` (N, H, W) bool, a mask or `box_mask` of the true boxes. Raises `InputError` for an image without object.
    """
    masks, truth = _maps(maps, 4) > tau, as_array(objects).astype(bool)
    if truth.shape != masks.shape[1:]:
        raise InputError(f"objects: shape {truth.shape} for maps of {masks.shape}; give (images, height, width)")
    area = truth.sum(axis=(1, 2))
    if (area == 0).any():
        raise InputError(f"objects: image {int(np.argmin(area))} has no object pixel; leave it out")
    share: Array = (masks & truth).sum(axis=(2, 3)) / area
    return share


def box_mask(boxes: ArrayLike, size: tuple[int, int]) -> Array:
    """Return which pixels (H, W) have their centre in one of `boxes` (M, 4), xyxy half-open; `size` (width, height)."""
    rows = as_array(boxes).astype(np.float64).reshape(-1, 4, 1)
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    columns, lines = (rows[:, 0] <= x) & (x < rows[:, 2]), (rows[:, 1] <= y) & (y < rows[:, 3])
    return np.asarray((lines[:, :, None] & columns[:, None, :]).any(axis=0))


@torch.inference_mode()
def average_drop(score: Score, images: torch.Tensor, maps: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Return each image's drop and increase (N,) when it is shown through its map (image x map).

    With p the label's probability on the image and q through the map: drop = max(0, p - q) / p, increase = q > p. Their
    means are the average drop (lower is better) and increase in confidence (higher is better) of Chattopadhay et al.,
    Grad-CAM++ (WACV 2018), section 4.1, as shares. `images` (N, 3, H, W) as `score` takes them, `maps` (N, H, W).
    """
    through, target = _for_images(maps, labels, images)
    p, q = _label_score(score, images, target), _label_score(score, images * through[:, None], target)
    return np.maximum(0, p - q) / np.maximum(p, np.finfo(np.float64).tiny), q > p


def deletion(
    score: Score,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "mean",
    batch: int = 64,
) -> Array:
    """Return the area (N,) under the label's probability as pixels go, highest of the map first; low is good.

    Petsiuk et al., RISE (BMVC 2018), section 4.2. In `steps` equal steps pixels turn into the baseline: the
    image's "mean" colour, or its Gaussian "blur" (sigma: the shorter side / 20). `images` (N, 3, H, W) as `score` takes
    them, `maps` (N, H, W).
    """
    return _replace(score, images, maps, labels, steps, baseline, batch, insert=False)


def insertion(
    score: Score,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int = 20,
    baseline: Literal["mean", "blur"] = "blur",
    batch: int = 64,
) -> Array:
    """Return the area (N,) under the label's probability as pixels come into the baseline; high is good.

    The counterpart of `deletion`, whose arguments it takes.
    """
    return _replace(score, images, maps, labels, steps, baseline, batch, insert=True)


@torch.inference_mode()
def _replace(
    score: Score,
    images: torch.Tensor,
    maps: ArrayLike,
    labels: ArrayLike,
    steps: int,
    baseline: Literal["mean", "blur"],
    batch: int,
    insert: bool,
) -> Array:
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


def _blurred(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import gaussian_blur  # its import takes seconds: only where it is used

    side = min(images.shape[-2:])
    kernel = min(2 * (side // 4) + 1, 2 * side - 1)
    blurred: torch.Tensor = gaussian_blur(images, [kernel, kernel], [max(side / 20, 0.5)])
    return blurred


def _label_score(score: Score, images: torch.Tensor, labels: torch.Tensor) -> Array:
    return as_array(score(images).gather(1, labels[:, None])[:, 0].double())


def _for_images(maps: ArrayLike, labels: ArrayLike, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(np.ascontiguousarray(_maps(maps, 3))).to(images)
    target = torch.as_tensor(np.array(as_array(labels)), dtype=torch.int64, device=images.device)
    if images.ndim != 4 or values.shape != images[:, 0].shape or target.shape != images.shape[:1]:
        raise InputError(
            f"maps, labels: shapes {tuple(values.shape)} and {tuple(target.shape)} for images of {tuple(images.shape)}"
        )
    return values, target


def _maps(maps: ArrayLike, dimensions: int) -> Array:
    values = as_array(maps).astype(np.float64)
    if values.ndim != dimensions or 0 in values.shape[-2:]:
        wanted = "(images, height, width)" if dimensions == 3 else "(classifiers, images, height, width)"
        raise InputError(f"maps: have shape {values.shape}; give {wanted}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(f"maps: values from {values.min():.4g} to {values.max():.4g}; min-max normalise to [0, 1]")
    return values
