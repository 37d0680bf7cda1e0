"""Things that lie on the ground of a scene.

Some share colour and texture with what footballers wear: stripes, hoops, bright blobs, spikes.
"""

import math
from collections.abc import Callable

import numpy as np

from examples.footballers.canvas import DARK, WHITE, Canvas, any_colour, contrasting, jittered, muted, shaded, vivid


def _ball(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    skin = any_colour(rng) if rng.random() < 0.5 else WHITE
    radius = 0.4 * size
    canvas.disk(x, y, radius, shaded(skin, 0.5))
    canvas.disk(x, y, 0.9 * radius, skin)
    patch = contrasting(rng, skin)
    canvas.disk(x, y, 0.3 * radius, patch)
    turn = rng.uniform(0, 6.28)
    for spot in range(5):
        angle = turn + 1.257 * spot
        canvas.disk(x + 0.72 * radius * math.cos(angle), y + 0.72 * radius * math.sin(angle), 0.17 * radius, patch)


def _cone(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = vivid(rng)
    width = 0.35 * size
    canvas.polygon(((x - width, y), (x - 0.1 * width, y - size), (x + 0.1 * width, y - size), (x + width, y)), colour)
    band = (x - 0.7 * width, y - 0.35 * size), (x - 0.45 * width, y - 0.6 * size)
    canvas.polygon((*band, (x + 0.45 * width, y - 0.6 * size), (x + 0.7 * width, y - 0.35 * size)), WHITE)


def _goal(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    width, height = 4 * size, 2.2 * size
    net = shaded(WHITE, rng.uniform(0.7, 0.9))
    for step in np.linspace(0, 1, 9)[1:-1]:
        canvas.line(x + width * step, y, x + width * step, y - height, 0.004, net)
        canvas.line(x, y - height * step, x + width, y - height * step, 0.004, net)
    for x0, y0, x1, y1 in (
        (x, y, x, y - height),
        (x, y - height, x + width, y - height),
        (x + width, y - height, x + width, y),
    ):
        canvas.line(x0, y0, x1, y1, 0.018, WHITE)


def _bench(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = any_colour(rng)
    width = 2.2 * size
    for leg in (0.1, 0.9):
        canvas.line(x + leg * width, y, x + leg * width, y - 0.8 * size, 0.014, DARK)
    canvas.box(x, y - 0.5 * size, x + width, y - 0.35 * size, colour)
    canvas.box(x, y - 0.95 * size, x + width, y - 0.7 * size, colour)


def _flag(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    height = 2.2 * size
    canvas.line(x, y, x, y - height, 0.012, shaded(WHITE, 0.85))
    side = rng.choice((-1, 1)) * size
    canvas.polygon(((x, y - height), (x + side, y - 0.85 * height), (x, y - 0.65 * height)), vivid(rng))


def _hooped_post(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    first = any_colour(rng)
    second = contrasting(rng, first)
    width, height, bands = 0.14 * size, rng.uniform(1.5, 2.6) * size, int(rng.integers(5, 10))
    for band in range(bands):
        colour = second if band % 2 else first
        canvas.box(x - width, y - height * (band + 1) / bands, x + width, y - height * band / bands, colour)


def _striped_chair(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    first = any_colour(rng)
    second = contrasting(rng, first)
    slant, width, height, bands = rng.uniform(-0.5, 0.5) * size, 1.1 * size, 1.3 * size, int(rng.integers(5, 9))
    for band in range(bands):
        left, right = x + width * band / bands, x + width * (band + 1) / bands
        corners = (left, y), (right, y), (right + slant, y - height), (left + slant, y - height)
        canvas.polygon(corners, second if band % 2 else first)
    canvas.line(x, y + 0.3 * size, x + slant, y - height, 0.012, (120, 84, 54))
    canvas.line(x + width, y + 0.3 * size, x + width + slant, y - height, 0.012, (120, 84, 54))


def _balloons(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    for _ in range(rng.integers(1, 4)):
        x1, y1 = x + rng.uniform(-1, 1) * size, y - rng.uniform(1, 2.5) * size
        canvas.line(x, y, x1, y1, 0.004, muted(rng))
        canvas.disk(x1, y1, rng.uniform(0.2, 0.4) * size, vivid(rng))


def _spiky_plant(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = vivid(rng) if rng.random() < 0.5 else jittered(rng, (70, 130, 60), 0.3)
    canvas.box(x - 0.25 * size, y - 0.4 * size, x + 0.25 * size, y, (168, 96, 66))
    for angle in np.linspace(-1.1, 1.1, 6):
        tip = x + size * math.sin(angle), y - 0.4 * size - size * math.cos(angle)
        canvas.polygon(((x - 0.12 * size, y - 0.4 * size), (x + 0.12 * size, y - 0.4 * size), tip), colour)


def _parasol(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    first = any_colour(rng)
    second = contrasting(rng, first)
    top, radius = y - 2 * size, 1.3 * size
    canvas.line(x, y, x, top, 0.012, (150, 120, 90))
    for wedge in range(6):
        left, right = x - radius + radius * wedge / 3, x - radius + radius * (wedge + 1) / 3
        canvas.polygon(((x, top - 0.7 * size), (left, top), (right, top)), second if wedge % 2 else first)


def _bag(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = any_colour(rng)
    canvas.box(x, y - 0.5 * size, x + size, y, colour)
    canvas.box(x + 0.1 * size, y - 0.4 * size, x + 0.9 * size, y - 0.3 * size, contrasting(rng, colour))


# Each function (canvas, rng, x, y, size) draws a thing of about `size` with its foot at (x, y), in unit coordinates.
THINGS: tuple[Callable[[Canvas, np.random.Generator, float, float, float], None], ...] = (
    _ball,
    _ball,
    _cone,
    _goal,
    _bench,
    _flag,
    _hooped_post,
    _striped_chair,
    _balloons,
    _spiky_plant,
    _parasol,
    _bag,
)
