"""Procedurally drawn footballers: an image set with labels, and with true boxes and masks to check localization by.

What tells the four classes apart is two *parts* of the figure, apart from each other and one of them smaller: a mohawk
and boots of its colour, a striped jersey and half-dark socks, a keeper's gloves and neon boots, hooped socks and a
headband. A class activation map that finds the stronger part alone misses the player; one that gathers more of the
figure finds the box, and what is erased leaves evidence for the next classifier. All else (scene, clutter, pose, size,
place, skin, clothes and their colours) is drawn from the same distribution for every class.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from acol.drawing.scenes import (
    DARK,
    WHITE,
    Canvas,
    Colour,
    Pixels,
    Points,
    any_colour,
    background,
    contrasting,
    developed,
    shaded,
)
from acol.errors import InputError

CLASSES = ("hoops", "keeper", "mohawk", "stripes")
"""Named after the stronger part: hooped socks, a goalkeeper's gloves, a mohawk, a vertically striped jersey."""

_SMALLEST_SIZE = 32
_OVERSAMPLING = 3
_LONG_SIDE = (0.42, 0.85)  # of the player, as a fraction of the image's
_JPEG_QUALITY = 94

# The classes' parts have colours of their own: a few hundred images are enough to learn them from.
_DYED: Colour = (255, 40, 170)
_NEON: Colour = (215, 255, 40)
_RED: Colour = (215, 20, 40)

_TURN: Points = np.array([(math.cos(angle), math.sin(angle)) for angle in np.arange(20) * math.pi / 10])
_HALF_TURN: Points = np.array([(math.cos(angle), math.sin(angle)) for angle in np.arange(9) * math.pi / 8])

_SKINS: tuple[Colour, ...] = ((247, 213, 186), (229, 184, 148), (198, 146, 106), (150, 102, 70), (104, 70, 50))
_HAIRS: tuple[Colour, ...] = ((36, 30, 30), (74, 50, 36), (122, 82, 46), (206, 168, 96), (150, 70, 40), (150, 150, 152))


def draw_footballers(folder: str | Path, *, per_class: int = 240, size: int = 96, seed: int = 0) -> None:
    """Draw `per_class` images of each class, a single player in each, with box and mask.

    Writes `images/CLASS/NAME.jpg` (RGB, `size` x `size`), `masks/CLASS/NAME.png` (255 where the player is) and
    `annotations/NAME.xml` (Pascal VOC: 1-based inclusive pixels, tight around the mask). The files depend on
    the arguments alone; a larger `per_class` adds images and keeps the others as they were. Drawing again over the same
    files is fine.

    Args:
        folder: where to write; made if absent.
        per_class: images of each class, at least 1.
        size: pixels a side, at least 32.
        seed: non-negative; another seed, another set.

    Raises:
        InputError: an argument is out of its range, or `folder` holds images of another drawing.
    """
    if per_class < 1:
        raise InputError(f"per_class is {per_class}: give at least 1 image for each class")
    if size < _SMALLEST_SIZE:
        raise InputError(f"size is {size}: footballers need images of at least {_SMALLEST_SIZE} pixels a side")
    if seed < 0:
        raise InputError(f"seed is {seed}: give a non-negative whole number")
    folder = Path(folder)
    names = {label: [f"{label}-{index:04d}" for index in range(per_class)] for label in CLASSES}
    _refuse_strangers(folder, {name for of_class in names.values() for name in of_class})
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    with tqdm(total=per_class * len(CLASSES), desc="drawing footballers", unit="image", disable=None) as progress:
        for label in CLASSES:
            for kind in ("images", "masks"):
                (folder / kind / label).mkdir(parents=True, exist_ok=True)
            for index, name in enumerate(names[label]):
                image, mask = footballer(label, index, size=size, seed=seed)
                image_file = folder / "images" / label / f"{name}.jpg"
                Image.fromarray(image).save(image_file, quality=_JPEG_QUALITY, subsampling=0)
                Image.fromarray(mask).save(folder / "masks" / label / f"{name}.png")
                (folder / "annotations" / f"{name}.xml").write_bytes(_voc(label, image_file.name, mask))
                progress.update()


def footballer(label: str, index: int, *, size: int, seed: int) -> tuple[Pixels, Pixels]:
    """Draw one image: the `index`-th of class `label` in the set of `seed`.

    Returns:
        The image (size, size, 3) uint8 RGB and the player's mask (size, size) uint8 of 0 and 255.
    """
    rng = np.random.default_rng((seed, CLASSES.index(label), index))
    figure = _figure(rng, label)
    feet, middle = figure.place(rng)
    scene = background(rng, size, horizon=rng.uniform(0.1, max(0.15, feet - 0.1)), clutter=int(rng.integers(0, 4)))
    canvas = Canvas.blank(size * _OVERSAMPLING, with_mask=True)
    for shape in figure.shapes:
        outline = shaded(shape.colour, 0.5) if shape.outlined else None
        canvas.polygon(shape.points, shape.colour, outline=outline, width=figure.outline)
    player, coverage = canvas.shrunk(size)
    shadow = Canvas.blank(size, with_mask=True)
    reach = rng.uniform(10, 16) * figure.outline
    shadow.polygon((middle, feet) + reach * _TURN * (1.0, 0.22), WHITE)
    dim = 1 - np.float32(0.45) * cv2.GaussianBlur(shadow.shrunk(size)[1], (0, 0), 0.012 * size)
    lit = player * _relief(rng, coverage)[..., None]
    image = developed(rng, scene * (dim * (1 - coverage))[..., None] + lit)
    return image, np.where(coverage >= 0.5, 255, 0).astype(np.uint8)


def _refuse_strangers(folder: Path, names: set[str]) -> None:
    for file in sorted((folder / "images").glob("*/*")):
        if file.stem not in names or file.parent.name not in CLASSES:
            raise InputError(
                f"{file}: not of this drawing; draw into an empty folder, or remove this one's images first"
            )


def _voc(label: str, filename: str, mask: Pixels) -> bytes:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = label
    ElementTree.SubElement(root, "filename").text = filename
    shape = ElementTree.SubElement(root, "size")
    for tag, value in (("width", mask.shape[1]), ("height", mask.shape[0]), ("depth", 3)):
        ElementTree.SubElement(shape, tag).text = str(value)
    ElementTree.SubElement(root, "segmented").text = "1"
    thing = ElementTree.SubElement(root, "object")
    for tag, text in (("name", label), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
        ElementTree.SubElement(thing, tag).text = text
    box = ElementTree.SubElement(thing, "bndbox")
    for tag, value in (("xmin", columns[0]), ("ymin", rows[0]), ("xmax", columns[-1]), ("ymax", rows[-1])):
        ElementTree.SubElement(box, tag).text = str(value + 1)
    ElementTree.indent(root)
    return ElementTree.tostring(root) + b"\n"


def _relief(rng: np.random.Generator, coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light from one side, as if the figure bulged: a factor (S, S) around 1."""
    height = cv2.GaussianBlur(coverage, (0, 0), 0.02 * len(coverage))
    angle = rng.uniform(0, math.pi)
    slope = math.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + math.sin(angle) * cv2.Sobel(
        height, cv2.CV_32F, 0, 1
    )
    lit: NDArray[np.float32] = np.clip(1 + 0.6 * slope, 0.6, 1.3).astype(np.float32)
    return lit


# The figure. Unit: the standing player's height. x points to where the player faces, y down, the pelvis is at (0, 0).
# Angles in degrees, from straight down towards the front; limbs are (upper, lower) pairs.


@dataclass(frozen=True)
class _Pose:
    name: str
    near_leg: tuple[float, float]
    far_leg: tuple[float, float]
    near_arm: tuple[float, float]
    far_arm: tuple[float, float]
    lean: float = 0.0  # of the trunk, forwards
    roll: float = 0.0  # of the whole figure, forwards
    breadth: float = 1.0  # 1 seen from the front, 0 from the side


_POSES = (
    _Pose("stand", (-9, -6), (9, 6), (-18, -10), (18, 12)),
    _Pose("hands on hips", (-11, -8), (11, 8), (-48, 38), (48, -38)),
    _Pose("run", (48, -22), (-24, -78), (-48, 30), (50, 125), lean=14, breadth=0.5),
    _Pose("sprint", (66, -5), (-42, -70), (-62, 20), (62, 140), lean=24, breadth=0.4),
    _Pose("dribble", (28, -12), (-16, -40), (-40, 15), (42, 70), lean=10, breadth=0.7),
    _Pose("kick", (72, 60), (-8, -16), (-66, -40), (60, 95), lean=-14, breadth=0.6),
    _Pose("wind up", (-40, -95), (14, 2), (70, 95), (-60, -75), lean=12, breadth=0.6),
    _Pose("cheer", (-14, -8), (14, 8), (-145, -165), (145, 165)),
    _Pose("jump", (38, -45), (-6, -62), (-125, -155), (120, 160), lean=4, breadth=0.8),
    _Pose("arms wide", (-16, -10), (16, 10), (-92, -98), (92, 98)),
    _Pose("dive", (22, -10), (-6, -24), (150, 165), (176, 172), roll=66, breadth=0.8),
    _Pose("slide", (62, 76), (30, -50), (-35, -20), (50, 85), lean=-22, roll=-28, breadth=0.6),
)


@dataclass
class _Shape:
    points: Points
    colour: Colour
    outlined: bool


@dataclass
class _Figure:
    """Filled outlines from back to front, in figure units until `place` has put them on the unit square."""

    shapes: list[_Shape] = field(default_factory=list)
    outline: float = 0.018

    def add(self, points: Points, colour: Colour, *, outlined: bool = True) -> None:
        self.shapes.append(_Shape(points, colour, outlined))

    def limb(self, start: Points, end: Points, first: float, last: float, colour: Colour) -> None:
        """A rounded bar from `start` (radius `first`) to `end` (radius `last`)."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy)
        forth = np.array([dx / length, dy / length])
        aside = np.array([-forth[1], forth[0]])
        cap = _HALF_TURN[:, :1] * aside + _HALF_TURN[:, 1:] * forth
        self.add(np.concatenate([start - first * cap, end + last * cap]), colour)

    def disk(self, centre: Points, radius: float, colour: Colour, *, outlined: bool = True) -> None:
        self.add(centre + radius * _TURN, colour, outlined=outlined)

    def place(self, rng: np.random.Generator) -> tuple[float, float]:
        """Scale, mirror and shift the figure to anywhere on the unit square; return its feet's y and its middle's x."""
        mirror = np.array([rng.choice((-1.0, 1.0)), 1.0])
        everything = np.concatenate([shape.points for shape in self.shapes]) * mirror
        margin = self.outline / 2
        low, high = everything.min(0) - margin, everything.max(0) + margin
        scale = _LONG_SIDE[0] * (_LONG_SIDE[1] / _LONG_SIDE[0]) ** rng.random() / (high - low).max()
        # A U-shaped density: players stand near the edges too, so that a box in the middle finds few of them.
        free = 0.97 - scale * (high - low)
        corner = 0.015 + free * rng.beta(0.6, 0.6, 2)
        for shape in self.shapes:
            shape.points = (shape.points * mirror - low) * scale + corner
        self.outline *= scale
        bottom_right = corner + scale * (high - low)
        return float(bottom_right[1]), float((corner[0] + bottom_right[0]) / 2)


def _towards(degrees: float, length: float) -> Points:
    angle = math.radians(degrees)
    return np.array([math.sin(angle) * length, math.cos(angle) * length])


@dataclass
class _Kit:
    """What a player wears and looks like, chosen without regard to the class, but for the class's own part."""

    label: str
    skin: Colour
    hair: Colour
    jersey: Colour
    trim: Colour
    shorts: Colour
    socks: Colour
    sock_trim: Colour
    boots: Colour
    gloves: Colour
    hair_style: str
    pattern: str
    sleeve: float  # fraction of the arm
    sock: float  # fraction of the shin
    build: float  # thickness of limbs and trunk


def _kit(rng: np.random.Generator, label: str) -> _Kit:
    skin = _SKINS[rng.integers(len(_SKINS))]
    jersey, socks = any_colour(rng), any_colour(rng)
    natural = _HAIRS[rng.integers(len(_HAIRS))]
    style = str(rng.choice(("short", "short", "bald", "long", "afro", "bun")))
    pattern = str(rng.choice(("plain", "plain", "sleeves", "badge", "number", "yoke")))
    kit = _Kit(
        label=label,
        skin=shaded(skin, rng.uniform(0.92, 1.05)),
        hair=natural,
        jersey=jersey,
        trim=contrasting(rng, jersey),
        shorts=any_colour(rng),
        socks=socks,
        sock_trim=contrasting(rng, socks),
        boots=any_colour(rng),
        gloves=_NEON,
        hair_style=style,
        pattern=pattern,
        sleeve=float(rng.choice((0.38, 0.38, 1.0))),
        sock=rng.uniform(0.45, 0.95),
        build=rng.uniform(0.9, 1.15),
    )
    if label == "mohawk":
        kit.hair, kit.hair_style, kit.boots = _DYED, "mohawk", _DYED
    elif label == "stripes":
        kit.pattern, kit.jersey, kit.trim = "stripes", WHITE, DARK
        kit.sock, kit.socks, kit.sock_trim = 0.95, WHITE, DARK
    elif label == "hoops":
        kit.sock, kit.socks, kit.sock_trim = 0.95, _RED, WHITE
    else:
        kit.boots = _NEON
    return kit


def _figure(rng: np.random.Generator, label: str) -> _Figure:
    pose, kit = _POSES[rng.integers(len(_POSES))], _kit(rng, label)
    figure = _Figure()
    pelvis = np.zeros(2)
    lean = pose.lean + rng.uniform(-7, 7)
    up = _towards(180 - lean, 1.0)
    across = np.array([-up[1], up[0]])
    breadth = 0.55 + 0.45 * min(1.0, max(0.0, pose.breadth + rng.uniform(-0.15, 0.15)))
    shoulder = {side: 0.25 * up + sign * 0.125 * breadth * across for side, sign in (("near", -1), ("far", 1))}
    hip = {side: pelvis + sign * 0.062 * breadth * across for side, sign in (("near", -1), ("far", 1))}

    _arm(figure, rng, kit, shoulder["far"], pose.far_arm, shade=0.88)
    _leg(figure, rng, kit, hip["far"], pose.far_leg, shade=0.88)
    _leg(figure, rng, kit, hip["near"], pose.near_leg, shade=1.0)
    figure.limb(hip["near"] - 0.01 * up, hip["far"] - 0.01 * up, 0.058 * kit.build, 0.058 * kit.build, kit.shorts)
    figure.limb(0.26 * up, 0.34 * up, 0.03, 0.03, shaded(kit.skin, 0.9))
    _trunk(figure, kit, across * breadth * kit.build, up)
    _head(figure, rng, kit, 0.4 * up + _towards(90, 0.012), up)
    _arm(figure, rng, kit, shoulder["near"], pose.near_arm, shade=1.0)

    roll = math.radians(pose.roll + rng.uniform(-8, 8))
    turned = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    for shape in figure.shapes:
        shape.points = shape.points @ turned
    return figure


def _leg(
    figure: _Figure, rng: np.random.Generator, kit: _Kit, hip: Points, angles: tuple[float, float], *, shade: float
) -> None:
    upper, lower = (angle + rng.uniform(-8, 8) for angle in angles)
    knee = hip + _towards(upper, 0.215)
    ankle = knee + _towards(lower, 0.205)
    build = kit.build
    figure.limb(hip, knee, 0.056 * build, 0.043 * build, shaded(kit.skin, shade))
    figure.limb(knee, ankle, 0.042 * build, 0.03 * build, shaded(kit.skin, shade))
    top = ankle + (knee - ankle) * kit.sock
    figure.limb(top, ankle, 0.06 * build, 0.048 * build, shaded(kit.socks, shade))
    if kit.label == "hoops":
        side = _towards(lower + 90, 1.0)
        for band in (0.06, 0.38, 0.7):
            ends = [top + (ankle - top) * (band + offset) for offset in (0.0, 0.18)]
            widths = [(0.064 - 0.012 * (band + offset)) * build for offset in (0.0, 0.18)]
            corners = [
                ends[0] - side * widths[0],
                ends[0] + side * widths[0],
                ends[1] + side * widths[1],
                ends[1] - side * widths[1],
            ]
            figure.add(np.array(corners), shaded(kit.sock_trim, shade))
    elif kit.label == "stripes":
        side = _towards(lower + 90, 0.02 * build)
        figure.limb(top + side, ankle + side, 0.022 * build, 0.018 * build, shaded(kit.sock_trim, shade))
    toe = ankle + _towards(lower + 78, 0.07) + _towards(lower, 0.014)
    thick = 0.04 if kit.label in ("keeper", "mohawk") else 0.03
    figure.limb(ankle + _towards(lower, 0.014), toe, thick, thick - 0.01, shaded(kit.boots, shade))
    figure.limb(hip, hip + (knee - hip) * 0.5, 0.062 * build, 0.064 * build, shaded(kit.shorts, shade))


def _arm(
    figure: _Figure, rng: np.random.Generator, kit: _Kit, shoulder: Points, angles: tuple[float, float], *, shade: float
) -> None:
    upper, lower = (angle + rng.uniform(-10, 10) for angle in angles)
    elbow = shoulder + _towards(upper, 0.155)
    wrist = elbow + _towards(lower, 0.14)
    build = kit.build
    sleeve = shaded(kit.trim if kit.pattern in ("sleeves", "yoke") else kit.jersey, shade)
    long = kit.sleeve == 1.0
    figure.limb(elbow, wrist, 0.031 * build, 0.025 * build, sleeve if long else shaded(kit.skin, shade))
    figure.limb(shoulder, elbow, 0.036 * build, 0.031 * build, sleeve if long else shaded(kit.skin, shade))
    if not long:
        figure.limb(shoulder, shoulder + (elbow - shoulder) * 0.62, 0.046 * build, 0.047 * build, sleeve)
    if kit.label != "keeper":
        figure.disk(wrist + _towards(lower, 0.02), 0.029, shaded(kit.skin, shade))
        return
    glove = shaded(kit.gloves, shade)
    palm = wrist + _towards(lower, 0.04)
    figure.limb(palm, palm + _towards(lower + 75, 0.085), 0.03, 0.026, glove)
    for spread in (-30, -10, 10, 30):
        figure.limb(palm, palm + _towards(lower + spread, 0.115), 0.03, 0.027, glove)
    figure.disk(palm, 0.066, glove)
    figure.limb(wrist + _towards(lower + 90, 0.03), wrist - _towards(lower + 90, 0.03), 0.024, 0.024, WHITE)


def _trunk(figure: _Figure, kit: _Kit, across: Points, up: Points) -> None:
    # (height above the pelvis, half the width) from the neck down to the hem
    levels = ((0.305, 0.06), (0.275, 0.14), (0.2, 0.134), (0.1, 0.115), (-0.015, 0.12))

    def strip(left: float, right: float, rows: tuple[tuple[float, float], ...] = levels) -> Points:
        """The part of the jersey between two fractions of its width, -1 its near edge and 1 its far edge."""
        edge = [height * up + left * width * across for height, width in rows]
        return np.array(edge + [height * up + right * width * across for height, width in reversed(rows)])

    figure.add(strip(-1, 1), kit.jersey)
    if kit.pattern == "stripes":
        for left, right in ((-0.74, -0.4), (-0.16, 0.16), (0.4, 0.74)):
            figure.add(strip(left, right), kit.trim)
    elif kit.pattern == "yoke":
        figure.add(strip(-1, 1, levels[:3]), kit.trim)
    elif kit.pattern == "badge":
        figure.disk(0.21 * up + 0.05 * across, 0.02, kit.trim)
    elif kit.pattern == "number":
        figure.limb(0.2 * up, 0.1 * up, 0.013, 0.013, kit.trim)
    figure.limb(0.302 * up - 0.035 * across, 0.302 * up + 0.035 * across, 0.012, 0.012, kit.trim)


def _head(figure: _Figure, rng: np.random.Generator, kit: _Kit, centre: Points, up: Points) -> None:
    tilt = rng.uniform(-12, 12)
    radius = 0.105
    forward = np.array([-up[1], up[0]])

    def around(degrees: float, distance: float) -> Points:
        """A point at `distance` head radii from the centre, 0 at the crown and 90 at the face."""
        angle = math.radians(degrees + tilt)
        return centre + radius * distance * (math.cos(angle) * up + math.sin(angle) * forward)

    def cap(first: float, last: float, distance: float) -> Points:
        return np.array([around(angle, distance) for angle in np.linspace(first, last, 12)])

    if kit.hair_style == "long":
        figure.limb(around(-60, 0.5), around(-140, 1.35), 0.075, 0.05, kit.hair)
    elif kit.hair_style == "afro":
        figure.disk(around(-40, 0.3), 1.3 * radius, kit.hair)
    elif kit.hair_style == "bun":
        figure.disk(around(-50, 1.2), 0.4 * radius, kit.hair)
    elif kit.hair_style == "mohawk":
        crest = []
        for spike, angle in enumerate(np.linspace(58, -112, 11)):
            crest.append(around(angle, 1.2 if spike % 2 == 0 else 2.15))
        figure.add(np.array([*crest, around(-112, 0.3), around(58, 0.3)]), kit.hair)
    figure.disk(centre, radius, kit.skin)
    if kit.hair_style in ("short", "long", "bun", "afro"):
        figure.add(np.concatenate([cap(62, -125, 1.02), [around(-70, 0.35), around(20, 0.45)]]), kit.hair)
    elif kit.hair_style == "mohawk":
        figure.add(np.concatenate([cap(60, -112, 1.02), cap(-112, 60, 0.68)]), kit.hair)
    if kit.label == "hoops":
        figure.add(np.concatenate([cap(72, -110, 1.06), cap(-110, 72, 0.62)]), _RED)
    figure.disk(around(-88, 0.3), 0.17 * radius, shaded(kit.skin, 0.9))
    for eye in (58, 100):
        figure.disk(around(eye, 0.6), 0.16 * radius, WHITE, outlined=False)
        figure.disk(around(eye, 0.66), 0.1 * radius, DARK, outlined=False)
    smile = [
        around(angle, distance) for angle, distance in ((118, 0.8), (134, 0.62), (160, 0.5), (158, 0.68), (138, 0.8))
    ]
    figure.add(np.array(smile), (150, 52, 50) if rng.random() < 0.7 else WHITE, outlined=False)
