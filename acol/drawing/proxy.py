"""The proxy task: textured shapes on clutter, drawn in memory, for a trunk to learn from where no weights can be had.

It shares no class and no picture with the embedded data set, only what all pictures share: edges, textures, shapes,
and that colour and surroundings say nothing. So the offline default is transfer learning, too.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Grid = NDArray[np.float32]

_SHAPES = ("disk", "ring", "star", "cross", "arrow")
_TEXTURES = ("plain", "stripes", "hoops", "dots")
PROXY_CLASSES = tuple(f"{texture}-{shape}" for shape in _SHAPES for texture in _TEXTURES)

_SUBPIXEL = 4  # bits of OpenCV's fixed-point coordinates


def proxy_images(count: int, *, size: int, seed: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Draw `count` images (count, size, size, 3) uint8 RGB and their labels (count,), indices of `PROXY_CLASSES`.

    The classes are balanced to within one image; the same arguments give the same pixels.
    """
    labels = np.random.default_rng(seed).permutation(np.arange(count) % len(PROXY_CLASSES))
    pixels = np.empty((count, size, size, 3), np.uint8)
    for index, label in enumerate(labels):
        pixels[index] = _draw(np.random.default_rng((seed, index)), int(label), size)
    return pixels, labels.astype(np.int64)


def _draw(rng: np.random.Generator, label: int, size: int) -> Pixels:
    shape, texture = _SHAPES[label // len(_TEXTURES)], _TEXTURES[label % len(_TEXTURES)]
    image = _scene(rng, size)
    radius = size * rng.uniform(0.18, 0.45)
    x, y = rng.uniform(0.7 * radius, size - 0.7 * radius, 2)
    inside = _mask(_outline(shape) @ _turn(rng.uniform(-0.5, 0.5)) * radius + (x, y), size)
    if shape == "ring":
        inside -= _mask(_outline("disk") * 0.5 * radius + (x, y), size)
    first, second = _two_colours(rng)
    where = _pattern(rng, texture, size, radius)[..., None]
    painted = where * first + (1 - where) * second
    image += inside.clip(0, 1)[..., None] * (painted - image)
    image += rng.normal(0, rng.uniform(0, 12), image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _scene(rng: np.random.Generator, size: int) -> Grid:
    """A blotchy backdrop with bars and patches lying about, striped ones among them."""
    blotches = rng.uniform(0, 255, (int(rng.integers(2, 7)), int(rng.integers(2, 7)), 3)).astype(np.float32)
    image = cv2.resize(blotches, (size, size), interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 6)):
        corners = rng.uniform(0, size, 2) + rng.uniform(-0.3, 0.3, (4, 2)) * size
        part = _mask(cv2.convexHull(corners.astype(np.float32))[:, 0], size)[..., None]
        colour = rng.uniform(0, 255, 3)
        image += rng.uniform(0.3, 1) * part * (colour - image)
    return np.asarray(image, np.float32)


def _outline(shape: str) -> NDArray[np.float64]:
    """Corners of a shape of radius 1 about the origin."""
    if shape in ("disk", "ring"):
        angles, radii = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.ones(40)
    elif shape == "star":
        angles, radii = np.linspace(0, 2 * np.pi, 10, endpoint=False), np.tile([1.0, 0.42], 5)
    elif shape == "cross":
        a = 0.34
        return np.array(
            [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]
        )
    else:
        return np.array([(0, -1), (0.9, 0.1), (0.35, 0.1), (0.35, 1), (-0.35, 1), (-0.35, 0.1), (-0.9, 0.1)])
    return np.stack([np.sin(angles), -np.cos(angles)], 1) * radii[:, None]


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])


def _mask(corners: NDArray[Any], size: int) -> Grid:
    """The anti-aliased inside of a polygon, in [0, 1]."""
    canvas = np.zeros((size, size), np.uint8)
    points = np.round(corners * 2**_SUBPIXEL).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, _SUBPIXEL)
    return np.asarray(canvas / 255, np.float32)


def _two_colours(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two colours that a texture of both shows."""
    first = rng.uniform(0, 255, 3)
    second = rng.uniform(0, 255, 3)
    return first, np.where(np.abs(first - second).sum() < 200, 255 - first.round(), second)


def _pattern(rng: np.random.Generator, texture: str, size: int, radius: float) -> Grid:
    """How much of the first colour each pixel has (size, size), in [0, 1]."""
    period, phase = radius * rng.uniform(0.35, 0.6), rng.uniform(0, 2 * np.pi, 2)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) * 2 * np.pi / period
    waves: dict[str, Callable[[], Any]] = {
        "plain": lambda: np.ones((size, size)),
        "stripes": lambda: np.sin(columns + phase[0]),
        "hoops": lambda: np.sin(rows + phase[1]),
        "dots": lambda: 2 * np.sin(columns + phase[0]) * np.sin(rows + phase[1]) - 0.4,
    }
    return np.asarray((0.5 + 2 * waves[texture]()).clip(0, 1), np.float32)
