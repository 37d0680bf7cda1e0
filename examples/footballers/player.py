"""A drawn footballer: a figure in a pose and a kit. Two parts of the figure mark the class.

Lengths are fractions of the standing player's height. x points to where the player faces, y points down, the pelvis is
at (0, 0). Angles are degrees from straight down towards the front; limbs are (upper, lower) pairs.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from examples.footballers.canvas import DARK, WHITE, Colour, Points, any_colour, contrasting, shaded

_LONG_SIDE = (0.42, 0.85)  # of the player, as a fraction of the image's

# The parts that mark a class have colours of their own, so that a few hundred images are enough to learn them.
_DYED: Colour = (255, 40, 170)
_NEON: Colour = (215, 255, 40)
_RED: Colour = (215, 20, 40)

# A circle of radius 1 in 20 points, and half of one in 9.
TURN: Points = np.array([(math.cos(angle), math.sin(angle)) for angle in np.arange(20) * math.pi / 10])
_HALF_TURN: Points = np.array([(math.cos(angle), math.sin(angle)) for angle in np.arange(9) * math.pi / 8])

_SKINS: tuple[Colour, ...] = ((247, 213, 186), (229, 184, 148), (198, 146, 106), (150, 102, 70), (104, 70, 50))
_HAIRS: tuple[Colour, ...] = ((36, 30, 30), (74, 50, 36), (122, 82, 46), (206, 168, 96), (150, 70, 40), (150, 150, 152))


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
class Shape:
    """A filled outline: its points (n, 2), and whether a dark line surrounds it."""

    points: Points
    colour: Colour
    outlined: bool


@dataclass
class Figure:
    """Filled outlines from back to front, in figure units until `place` has put them on the unit square."""

    shapes: list[Shape] = field(default_factory=list)
    outline: float = 0.018

    def add(self, points: Points, colour: Colour, *, outlined: bool = True) -> None:
        """A filled polygon."""
        self.shapes.append(Shape(points, colour, outlined))

    def limb(self, start: Points, end: Points, first: float, last: float, colour: Colour) -> None:
        """A rounded bar from `start` (radius `first`) to `end` (radius `last`)."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy)
        forth = np.array([dx / length, dy / length])
        aside = np.array([-forth[1], forth[0]])
        cap = _HALF_TURN[:, :1] * aside + _HALF_TURN[:, 1:] * forth
        self.add(np.concatenate([start - first * cap, end + last * cap]), colour)

    def disk(self, centre: Points, radius: float, colour: Colour, *, outlined: bool = True) -> None:
        """A filled disk."""
        self.add(centre + radius * TURN, colour, outlined=outlined)

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
class Kit:
    """What a player wears and looks like. Only the parts that mark the class depend on the class."""

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


def kit_of(rng: np.random.Generator, label: str) -> Kit:
    """Return the kit of a player of the class `label`."""
    skin = _SKINS[rng.integers(len(_SKINS))]
    jersey, socks = any_colour(rng), any_colour(rng)
    natural = _HAIRS[rng.integers(len(_HAIRS))]
    style = str(rng.choice(("short", "short", "bald", "long", "afro", "bun")))
    pattern = str(rng.choice(("plain", "plain", "sleeves", "badge", "number", "yoke")))
    kit = Kit(
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


def figure_of(rng: np.random.Generator, label: str) -> Figure:
    """Return a player of the class `label` in any pose, the pelvis at (0, 0)."""
    pose, kit = _POSES[rng.integers(len(_POSES))], kit_of(rng, label)
    figure = Figure()
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
    figure: Figure, rng: np.random.Generator, kit: Kit, hip: Points, angles: tuple[float, float], *, shade: float
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
    figure: Figure, rng: np.random.Generator, kit: Kit, shoulder: Points, angles: tuple[float, float], *, shade: float
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


def _trunk(figure: Figure, kit: Kit, across: Points, up: Points) -> None:
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


@dataclass(frozen=True)
class _Head:
    """Where the parts of a head lie."""

    centre: Points
    up: Points
    tilt: float  # degrees, backwards

    radius = 0.105

    def around(self, degrees: float, distance: float) -> Points:
        """A point at `distance` head radii from the centre, 0 at the crown and 90 at the face."""
        angle = math.radians(degrees + self.tilt)
        forward = np.array([-self.up[1], self.up[0]])
        return self.centre + self.radius * distance * (math.cos(angle) * self.up + math.sin(angle) * forward)

    def arc(self, first: float, last: float, distance: float) -> Points:
        """The arc from one angle to another, 12 points."""
        return np.array([self.around(angle, distance) for angle in np.linspace(first, last, 12)])

    def cap(self, first: float, last: float, outer: float, inner: float) -> Points:
        """The band between two arcs."""
        return np.concatenate([self.arc(first, last, outer), self.arc(last, first, inner)])


def _head(figure: Figure, rng: np.random.Generator, kit: Kit, centre: Points, up: Points) -> None:
    head = _Head(centre, up, rng.uniform(-12, 12))
    _hair_behind(figure, kit, head)
    figure.disk(centre, head.radius, kit.skin)
    if kit.hair_style in ("short", "long", "bun", "afro"):
        fringe = [head.around(-70, 0.35), head.around(20, 0.45)]
        figure.add(np.concatenate([head.arc(62, -125, 1.02), fringe]), kit.hair)
    elif kit.hair_style == "mohawk":
        figure.add(head.cap(60, -112, 1.02, 0.68), kit.hair)
    if kit.label == "hoops":
        figure.add(head.cap(72, -110, 1.06, 0.62), _RED)
    _face(figure, rng, kit, head)


def _hair_behind(figure: Figure, kit: Kit, head: _Head) -> None:
    around = head.around
    if kit.hair_style == "long":
        figure.limb(around(-60, 0.5), around(-140, 1.35), 0.075, 0.05, kit.hair)
    elif kit.hair_style == "afro":
        figure.disk(around(-40, 0.3), 1.3 * head.radius, kit.hair)
    elif kit.hair_style == "bun":
        figure.disk(around(-50, 1.2), 0.4 * head.radius, kit.hair)
    elif kit.hair_style == "mohawk":
        crest = [around(angle, 2.15 if spike % 2 else 1.2) for spike, angle in enumerate(np.linspace(58, -112, 11))]
        figure.add(np.array([*crest, around(-112, 0.3), around(58, 0.3)]), kit.hair)


def _face(figure: Figure, rng: np.random.Generator, kit: Kit, head: _Head) -> None:
    ear = head.around(-88, 0.3)
    figure.disk(ear, 0.17 * head.radius, shaded(kit.skin, 0.9))
    for eye in (58, 100):
        figure.disk(head.around(eye, 0.6), 0.16 * head.radius, WHITE, outlined=False)
        figure.disk(head.around(eye, 0.66), 0.1 * head.radius, DARK, outlined=False)
    smile = [head.around(*at) for at in ((118, 0.8), (134, 0.62), (160, 0.5), (158, 0.68), (138, 0.8))]
    figure.add(np.array(smile), (150, 52, 50) if rng.random() < 0.7 else WHITE, outlined=False)
