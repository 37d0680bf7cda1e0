"""Drawn scenes: varied, cluttered backgrounds, and the effects of a camera."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.footballers.canvas import (
    WHITE,
    Canvas,
    Colour,
    Pixels,
    any_colour,
    contrasting,
    jittered,
    muted,
    shaded,
    vivid,
)
from examples.footballers.clutter import THINGS

_OVERSAMPLING = 2


def background(rng: np.random.Generator, size: int, *, horizon: float, clutter: int) -> NDArray[np.float32]:
    """Draw a scene: the ground, what stands behind it, and things on the ground.

    Args:
        rng: the source of every random choice.
        size: pixels a side.
        horizon: height in [0, 1], from the top, at which the ground begins.
        clutter: the number of things on the ground.

    Returns:
        (size, size, 3) float32 in 0..255.
    """
    canvas = Canvas.blank(size * _OVERSAMPLING)
    backdrop, ground = _SCENES[rng.integers(len(_SCENES))]
    backdrop(canvas, rng, horizon)
    ground(canvas, rng, horizon)
    for _ in range(clutter):
        x, y = rng.uniform(0.0, 1.0), rng.uniform(horizon, 1.05)
        THINGS[rng.integers(len(THINGS))](canvas, rng, x, y, rng.uniform(0.05, 0.16))
    scene = canvas.shrunk(size)[0]
    # Out of focus and faded, as behind a player photographed with a long lens.
    scene = cv2.GaussianBlur(scene, (0, 0), size * rng.uniform(0.004, 0.02)).astype(np.float32)
    grey = scene.mean(2, keepdims=True)
    return np.asarray(grey + np.float32(rng.uniform(0.35, 0.9)) * (scene - grey), np.float32)


def developed(rng: np.random.Generator, image: NDArray[np.float32]) -> Pixels:
    """Add the effects of a camera to a scene: uneven light, exposure, white balance and noise.

    Args:
        rng: the source of every random choice.
        image: (S, S, 3) float32 in 0..255.

    Returns:
        (S, S, 3) uint8.
    """
    size = len(image)
    exposure = rng.uniform(0.75, 1.25)
    balance = exposure * rng.uniform(0.92, 1.08, 3)
    light = cv2.resize(rng.uniform(0.82, 1.14, (3, 3)).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1.0, 6.0))
    exposed = image * light[..., None] * balance.astype(np.float32) + noise
    pixels: Pixels = np.clip(exposed, 0, 255).astype(np.uint8)
    return pixels


# What stands behind the ground: drawn from the top edge down to the horizon.


def _sky(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    low, high = jittered(rng, (196, 218, 236)), jittered(rng, (110, 165, 225))
    for step in range(6):
        blend = tuple(round(a + (b - a) * step / 5) for a, b in zip(high, low, strict=True))
        canvas.box(0, horizon * step / 6, 1, horizon, (blend[0], blend[1], blend[2]))
    for _ in range(rng.integers(0, 4)):
        x, y, radius = rng.random(), rng.uniform(0, horizon), rng.uniform(0.03, 0.07)
        for offset in (-1.0, 0.0, 1.1):
            canvas.disk(x + offset * radius, y, radius * (1 - 0.3 * abs(offset)), (240, 243, 246))


def _trees(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    _sky(canvas, rng, horizon)
    for x in np.arange(-0.05, 1.1, rng.uniform(0.09, 0.2)):
        leaf = jittered(rng, (58, 104, 52), 0.3)
        height = rng.uniform(0.25, 0.7) * horizon
        if rng.random() < 0.4:
            canvas.polygon(((x - 0.08, horizon), (x, horizon - 1.3 * height), (x + 0.08, horizon)), leaf)
        else:
            canvas.line(x, horizon, x, horizon - height, 0.02, (92, 70, 50))
            canvas.disk(x, horizon - height, rng.uniform(0.05, 0.1), leaf)


def _crowd(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    size = len(canvas.rgb)
    bottom = max(1, round(horizon * size))
    rows, columns = max(2, bottom // 9), size // 8
    grey = rng.integers(40, 170, (rows, columns, 1))
    people = np.clip(grey + rng.integers(-45, 46, (rows, columns, 3)), 0, 255).astype(np.uint8)
    canvas.rgb[:bottom] = cv2.resize(people, (size, bottom), interpolation=cv2.INTER_LINEAR)
    skins = jittered(rng, (214, 170, 140)), jittered(rng, (120, 84, 62))
    for _ in range(45):
        x, y = rng.random(), rng.uniform(0, horizon)
        canvas.disk(x, y + 0.028, 0.018, any_colour(rng))
        canvas.disk(x, y, 0.013, skins[rng.integers(2)])
    if rng.random() < 0.7:
        height = rng.uniform(0.04, 0.09)
        x = -0.1
        while x < 1:
            width = rng.uniform(0.15, 0.45)
            colour = any_colour(rng)
            canvas.box(x, horizon - height, x + width, horizon, colour)
            ink = contrasting(rng, colour)
            for letter in np.arange(x + 0.03, x + width - 0.03, 0.035):
                canvas.box(
                    letter, horizon - 0.7 * height, letter + rng.uniform(0.01, 0.025), horizon - 0.3 * height, ink
                )
            x += width


def _night(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    canvas.box(0, 0, 1, horizon, jittered(rng, (22, 26, 48), 0.4))
    for x in rng.random(rng.integers(1, 4)):
        top = rng.uniform(0.1, 0.6) * horizon
        canvas.line(x, horizon, x, top, 0.012, (70, 72, 80))
        for row in range(2):
            for column in range(-1, 2):
                canvas.disk(x + 0.028 * column, top + 0.028 * row, 0.012, (255, 250, 215))


def _bricks(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    brick = jittered(rng, (160, 88, 70), 0.25)
    canvas.box(0, 0, 1, horizon, brick)
    mortar = shaded(brick, rng.uniform(0.7, 1.3))
    height = rng.uniform(0.035, 0.06)
    for row, y in enumerate(np.arange(0, horizon, height)):
        canvas.line(0, y, 1, y, 0.006, mortar)
        for x in np.arange(height * (row % 2), 1, 2.2 * height):
            canvas.line(x, y, x, min(y + height, horizon), 0.006, mortar)
    if rng.random() < 0.4:
        x, y = rng.random(2)
        for _ in range(4):
            x1, y1 = x + rng.uniform(-0.2, 0.2), rng.uniform(0, horizon)
            canvas.line(x, min(y, horizon), x1, y1, 0.025, vivid(rng))
            x, y = x1, y1


def _hall(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    wall = muted(rng)
    canvas.box(0, 0, 1, horizon, wall)
    canvas.box(0, horizon * rng.uniform(0.55, 0.9), 1, horizon, any_colour(rng))
    bar = shaded(wall, rng.choice((0.6, 1.35)))
    left, right = sorted(rng.random(2))
    for y in np.arange(0.05, horizon, 0.05):
        canvas.line(left, y, right, y, 0.012, bar)
    for x in np.arange(left, right, 0.15):
        canvas.line(x, 0, x, horizon, 0.014, bar)


def _sea(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    _sky(canvas, rng, horizon)
    top = horizon * rng.uniform(0.35, 0.75)
    water = jittered(rng, (44, 130, 175))
    canvas.box(0, top, 1, horizon, water)
    for _ in range(10):
        x, y, width = rng.random(), rng.uniform(top, horizon), rng.uniform(0.04, 0.15)
        canvas.line(x, y, x + width, y, 0.008, shaded(water, 1.35))


def _city(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    _sky(canvas, rng, horizon)
    x = -0.05
    while x < 1:
        width, top = rng.uniform(0.1, 0.25), horizon * rng.uniform(0.1, 0.75)
        wall = muted(rng)
        canvas.box(x, top, x + width, horizon, wall)
        window = shaded(wall, rng.choice((0.55, 1.4)))
        for column in np.arange(x + 0.02, x + width - 0.03, 0.045):
            for row in np.arange(top + 0.02, horizon - 0.03, 0.06):
                canvas.box(column, row, column + 0.022, row + 0.03, window)
        x += width


# The ground: from the horizon down to the bottom edge.


def _grass(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    green = jittered(rng, (82, 148, 66), 0.25)
    canvas.box(0, horizon, 1, 1, green)
    mown = shaded(green, rng.uniform(0.82, 0.93))
    kind = rng.integers(4)
    if kind == 0:  # bands towards the horizon, converging
        vanishing = rng.uniform(0, 1)
        for x in np.arange(-1.5, 2.5, rng.uniform(0.3, 0.6)):
            near, far = x, vanishing + (x - vanishing) * 0.35
            canvas.polygon(((far, horizon), (far + 0.06, horizon), (near + 0.18, 1), (near, 1)), mown)
    elif kind == 1:  # bands across, growing
        y, height = horizon, rng.uniform(0.03, 0.07)
        while y < 1:
            canvas.box(0, y, 1, y + height, mown)
            y, height = y + 2.2 * height, 1.35 * height
    elif kind == 2:
        for _ in range(40):
            x, y = rng.random(), rng.uniform(horizon, 1)
            canvas.line(x, y, x + rng.uniform(-0.01, 0.01), y - 0.025, 0.006, mown)
    _pitch_lines(canvas, rng, horizon, WHITE)


def _pitch_lines(canvas: Canvas, rng: np.random.Generator, horizon: float, colour: Colour) -> None:
    for _ in range(rng.integers(0, 3)):
        if rng.random() < 0.5:
            y = rng.uniform(horizon, 1)
            canvas.line(0, y, 1, y + rng.uniform(-0.1, 0.1) * (y - horizon), 0.012, colour)
        else:
            canvas.line(rng.random(), horizon, rng.uniform(-0.5, 1.5), 1, 0.014, colour)


def _sand(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sand = jittered(rng, (222, 196, 144))
    canvas.box(0, horizon, 1, 1, sand)
    for _ in range(25):
        x, y = rng.random(), rng.uniform(horizon, 1)
        canvas.line(x, y, x + rng.uniform(0.01, 0.05), y, 0.008, shaded(sand, rng.uniform(0.82, 1.1)))


def _planks(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    wood = jittered(rng, (196, 146, 92), 0.2)
    canvas.box(0, horizon, 1, 1, wood)
    vanishing = rng.uniform(0, 1)
    for x in np.arange(-1.5, 2.5, rng.uniform(0.12, 0.25)):
        canvas.line(vanishing + (x - vanishing) * 0.4, horizon, x, 1, 0.006, shaded(wood, 0.8))
    _pitch_lines(canvas, rng, horizon, vivid(rng))


def _asphalt(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    grey = jittered(rng, (112, 112, 118), 0.25)
    canvas.box(0, horizon, 1, 1, grey)
    for _ in range(30):
        canvas.disk(
            rng.random(), rng.uniform(horizon, 1), rng.uniform(0.004, 0.012), shaded(grey, rng.uniform(0.8, 1.2))
        )
    _pitch_lines(canvas, rng, horizon, any_colour(rng))


def _dirt(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    earth = jittered(rng, (152, 112, 78), 0.2)
    canvas.box(0, horizon, 1, 1, earth)
    for _ in range(14):
        x, y = rng.random(), rng.uniform(horizon, 1)
        tone = shaded(earth, rng.uniform(0.8, 1.15)) if rng.random() < 0.7 else jittered(rng, (92, 138, 70))
        canvas.disk(x, y, rng.uniform(0.01, 0.05), tone)


def _snow(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    snow = jittered(rng, (206, 213, 224), 0.08)
    canvas.box(0, horizon, 1, 1, snow)
    for _ in range(12):
        x, y = rng.random(), rng.uniform(horizon, 1)
        canvas.line(x, y, x + rng.uniform(0.03, 0.15), y, 0.012, shaded(snow, 0.92))


_Layer = Callable[[Canvas, np.random.Generator, float], None]
_SCENES: tuple[tuple[_Layer, _Layer], ...] = (
    (_sky, _grass),
    (_trees, _grass),
    (_crowd, _grass),
    (_crowd, _grass),
    (_night, _grass),
    (_city, _grass),
    (_hall, _planks),
    (_crowd, _planks),
    (_sea, _sand),
    (_trees, _sand),
    (_bricks, _asphalt),
    (_city, _asphalt),
    (_night, _asphalt),
    (_trees, _dirt),
    (_bricks, _dirt),
    (_trees, _snow),
)
