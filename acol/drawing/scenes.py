"""Drawn scenes: the canvas, the colours, and the varied, cluttered backgrounds of everything that we draw ourselves."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green, blue in 0..255."""

WHITE: Colour = (244, 244, 240)
DARK: Colour = (32, 32, 38)

_SUBPIXEL_BITS = 4
_OVERSAMPLING = 2


@dataclass
class Canvas:
    """A square picture in which shapes are placed by unit coordinates: (0, 0) top left, (1, 1) bottom right.

    Shapes have hard edges: draw on a canvas larger than the picture wanted, and shrink it.

    Attributes:
        rgb: pixels (S, S, 3) uint8, drawn on in place.
        mask: None, or (S, S) uint8 in which whatever is drawn becomes 255 too.
    """

    rgb: Pixels
    mask: Pixels | None = None

    @classmethod
    def blank(cls, size: int, *, with_mask: bool = False) -> "Canvas":
        """A black canvas of `size` pixels a side, with an empty mask if asked for."""
        mask = np.zeros((size, size), np.uint8) if with_mask else None
        return cls(np.zeros((size, size, 3), np.uint8), mask)

    def polygon(self, points: ArrayLike, colour: Colour, *, outline: Colour | None = None, width: float = 0.0) -> None:
        """Fill the polygon `points` (n, 2), after drawing its outline, which reaches `width / 2` beyond it."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        corners = [np.rint(np.asarray(points, np.float64) * scale).astype(np.int32)]
        pen = max(1, round(width * len(self.rgb)))
        for layer, fill, line in ((self.rgb, colour, outline), (self.mask, (255,), (255,))):
            if layer is None:
                continue
            if outline is not None and line is not None:
                cv2.polylines(layer, corners, True, line, pen, cv2.LINE_8, _SUBPIXEL_BITS)
            cv2.fillPoly(layer, corners, fill, cv2.LINE_8, _SUBPIXEL_BITS)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def disk(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a disk."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        centre = (round(x * scale), round(y * scale))
        for layer, fill in ((self.rgb, colour), (self.mask, (255,))):
            if layer is not None:
                cv2.circle(layer, centre, round(radius * scale), fill, -1, cv2.LINE_8, _SUBPIXEL_BITS)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, colour: Colour) -> None:
        """Draw a straight line `width` thick."""
        scale = len(self.rgb) << _SUBPIXEL_BITS
        start, end = (round(x0 * scale), round(y0 * scale)), (round(x1 * scale), round(y1 * scale))
        for layer, fill in ((self.rgb, colour), (self.mask, (255,))):
            if layer is not None:
                pen = max(1, round(width * len(self.rgb)))
                cv2.line(layer, start, end, fill, pen, cv2.LINE_8, _SUBPIXEL_BITS)

    def shrunk(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The picture anti-aliased: rgb (size, size, 3) in 0..255 times its coverage, coverage (size, size) in 0..1.

        A canvas without a mask counts as covered everywhere.
        """
        rgb = cv2.resize(self.rgb, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self.mask is None:
            return rgb, np.ones((size, size), np.float32)
        coverage = cv2.resize(self.mask, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        return rgb, coverage / np.float32(255)


def vivid(rng: np.random.Generator) -> Colour:
    """A saturated colour of any hue."""
    return _hsv(rng.random(), rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0))


def muted(rng: np.random.Generator) -> Colour:
    """A greyish colour of any hue and brightness."""
    return _hsv(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.2, 0.95))


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour as clothes and things have them: often saturated, sometimes white, dark or greyish."""
    kind = rng.random()
    if kind < 0.6:
        return vivid(rng)
    if kind < 0.75:
        return WHITE
    return DARK if kind < 0.85 else muted(rng)


def contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """A colour clearly lighter or darker than `colour`."""
    for _ in range(16):
        other = any_colour(rng)
        if abs(_luma(other) - _luma(colour)) > 90:
            return other
    return WHITE if _luma(colour) < 128 else DARK


def shaded(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


def background(rng: np.random.Generator, size: int, *, horizon: float, clutter: int) -> NDArray[np.float32]:
    """Draw a scene: ground, what stands behind it, and things lying about.

    Args:
        rng: where every random choice comes from.
        size: pixels a side.
        horizon: height in [0, 1], from the top, at which the ground begins.
        clutter: how many things lie about.

    Returns:
        (size, size, 3) float32 in 0..255.
    """
    canvas = Canvas.blank(size * _OVERSAMPLING)
    backdrop, ground = _SCENES[rng.integers(len(_SCENES))]
    backdrop(canvas, rng, horizon)
    ground(canvas, rng, horizon)
    for _ in range(clutter):
        x, y = rng.uniform(0.0, 1.0), rng.uniform(horizon, 1.05)
        _CLUTTER[rng.integers(len(_CLUTTER))](canvas, rng, x, y, rng.uniform(0.05, 0.16))
    scene = canvas.shrunk(size)[0]
    # Out of focus and faded, as behind a player photographed with a long lens.
    scene = cv2.GaussianBlur(scene, (0, 0), size * rng.uniform(0.004, 0.02)).astype(np.float32)
    grey = scene.mean(2, keepdims=True)
    return np.asarray(grey + np.float32(rng.uniform(0.35, 0.9)) * (scene - grey), np.float32)


def developed(rng: np.random.Generator, image: NDArray[np.float32]) -> Pixels:
    """What a camera makes of a scene: uneven light, exposure, white balance and noise.

    Args:
        rng: where every random choice comes from.
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


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _luma(colour: Colour) -> float:
    red, green, blue = colour
    return 0.3 * red + 0.59 * green + 0.11 * blue


def _jitter(rng: np.random.Generator, colour: Colour, spread: float = 0.15) -> Colour:
    factors = rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.94, 1.06, 3)
    red, green, blue = (min(255, round(channel * float(f))) for channel, f in zip(colour, factors, strict=True))
    return red, green, blue


# What stands behind the ground: drawn from the top edge down to the horizon.


def _sky(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    low, high = _jitter(rng, (196, 218, 236)), _jitter(rng, (110, 165, 225))
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
        leaf = _jitter(rng, (58, 104, 52), 0.3)
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
    skins = _jitter(rng, (214, 170, 140)), _jitter(rng, (120, 84, 62))
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
    canvas.box(0, 0, 1, horizon, _jitter(rng, (22, 26, 48), 0.4))
    for x in rng.random(rng.integers(1, 4)):
        top = rng.uniform(0.1, 0.6) * horizon
        canvas.line(x, horizon, x, top, 0.012, (70, 72, 80))
        for row in range(2):
            for column in range(-1, 2):
                canvas.disk(x + 0.028 * column, top + 0.028 * row, 0.012, (255, 250, 215))


def _bricks(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    brick = _jitter(rng, (160, 88, 70), 0.25)
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
    water = _jitter(rng, (44, 130, 175))
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
    green = _jitter(rng, (82, 148, 66), 0.25)
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
    sand = _jitter(rng, (222, 196, 144))
    canvas.box(0, horizon, 1, 1, sand)
    for _ in range(25):
        x, y = rng.random(), rng.uniform(horizon, 1)
        canvas.line(x, y, x + rng.uniform(0.01, 0.05), y, 0.008, shaded(sand, rng.uniform(0.82, 1.1)))


def _planks(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    wood = _jitter(rng, (196, 146, 92), 0.2)
    canvas.box(0, horizon, 1, 1, wood)
    vanishing = rng.uniform(0, 1)
    for x in np.arange(-1.5, 2.5, rng.uniform(0.12, 0.25)):
        canvas.line(vanishing + (x - vanishing) * 0.4, horizon, x, 1, 0.006, shaded(wood, 0.8))
    _pitch_lines(canvas, rng, horizon, vivid(rng))


def _asphalt(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    grey = _jitter(rng, (112, 112, 118), 0.25)
    canvas.box(0, horizon, 1, 1, grey)
    for _ in range(30):
        canvas.disk(
            rng.random(), rng.uniform(horizon, 1), rng.uniform(0.004, 0.012), shaded(grey, rng.uniform(0.8, 1.2))
        )
    _pitch_lines(canvas, rng, horizon, any_colour(rng))


def _dirt(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    earth = _jitter(rng, (152, 112, 78), 0.2)
    canvas.box(0, horizon, 1, 1, earth)
    for _ in range(14):
        x, y = rng.random(), rng.uniform(horizon, 1)
        tone = shaded(earth, rng.uniform(0.8, 1.15)) if rng.random() < 0.7 else _jitter(rng, (92, 138, 70))
        canvas.disk(x, y, rng.uniform(0.01, 0.05), tone)


def _snow(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    snow = _jitter(rng, (206, 213, 224), 0.08)
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

# Things lying about. Some share colour and texture with what footballers wear: stripes, hoops, bright blobs, spikes.


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
    colour = vivid(rng) if rng.random() < 0.5 else _jitter(rng, (70, 130, 60), 0.3)
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


_CLUTTER: tuple[Callable[[Canvas, np.random.Generator, float, float, float], None], ...] = (
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
