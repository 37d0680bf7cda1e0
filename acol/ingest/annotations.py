"""An image's annotation, and the properties of an annotation format."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from acol.data.manifest import Box
from acol.ingest.decoding import Frame
from acol.ingest.findings import Findings
from acol.setting_types import Text

# What annotators mark an object as, in VOC, CVAT and OpenImages.
Mark = Literal["difficult", "occluded", "truncated", "group_of", "depiction", "inside"]
MARKS: tuple[str, ...] = get_args(Mark)
BoxForm = Literal["corners", "size", "centre"]
CROWD = "crowd"  # COCO's group of objects under one outline: it never counts


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set are: the format's name, and the path relative to the data set's root.

    `names` maps names of objects to classes, where they differ; with "any" every object of an image counts.
    Objects with one of the marks `leave_out` count for nothing (None: the format's own, see `Format`). `frame` says
    what boxes of a photograph with an EXIF turn were drawn on: "upright" or "stored" pixels; None: what the annotated
    size says, and upright where it says nothing. Images of the classes `without` have no objects, whatever is
    annotated in them: "no tumour", "good". `columns` are what the columns of a CSV file mean
    (`acol.ingest.formats.csv_rows.read_csv`).
    """

    format: str
    path: Text
    names: Mapping[Text, Text] | Literal["any"] = field(default_factory=dict)
    leave_out: tuple[Mark, ...] | None = None
    frame: Frame | None = None
    without: tuple[Text, ...] = ()
    columns: Mapping[Text, Text] | tuple[Text, ...] = ()

    @property
    def any_object(self) -> bool:
        """Whether every object of an image counts, whatever its name."""
        return self.names == "any"

    @property
    def renames(self) -> Mapping[str, str]:
        """The classes of objects' names that are no class's."""
        return {} if isinstance(self.names, str) else self.names


class RunLengths(NamedTuple):
    """An object's mask in COCO's run-length encoding (`acol.data.masks`), of (width, height) pixels."""

    size: tuple[int, int]
    counts: str | tuple[int, ...]


Polygons = tuple[tuple[float, ...], ...]  # an object's outline: x, y, x, y, ..., each of three or more points


@dataclass(frozen=True)
class Object:
    """One annotated object: its half-open xyxy box in pixels, not yet checked against the image.

    If the format has them: its `name`, what it is marked as (of `MARKS` and `CROWD`), and its `outline`.
    """

    box: Box
    name: str | None = None
    marks: frozenset[str] = frozenset()
    outline: Polygons | RunLengths | None = None


@dataclass(frozen=True)
class Annotation:
    """One image's annotation, from the file `source`; without one it is that of an image which has none.

    `path` is the image's, as the format has it: without its suffix, unless `Format.without_suffix` is False. If the
    format has them: `size` is the annotated image's (width, height), `label` the format's name for the image's class,
    `split` the split that it gives, `image` the name of the image's file. `fractions`: boxes and polygons are in
    fractions of the image. `reading`: what the four numbers of its boxes are read as, if they may be something else:
    two corners, a corner and a size, or a centre and a size. `faults` are what is wrong with it, a line each: they
    count only if it belongs to an image. `aside` are the objects that do not count.
    """

    source: str = ""
    path: str = ""
    objects: tuple[Object, ...] = ()
    size: tuple[int, int] | None = None
    label: str | None = None
    split: str | None = None
    image: str | None = None
    fractions: bool = False
    reading: BoxForm | None = None
    faults: tuple[str, ...] = ()
    aside: tuple[Object, ...] = ()

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The box of each object."""
        return tuple(item.box for item in self.objects)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the objects that have one."""
        return tuple(item.name for item in self.objects if item.name is not None)


def rotated(box: Box, degrees: float, pivot: tuple[float, float]) -> Box:
    """Return the upright box around a box that is rotated clockwise, as the image is seen, around a point."""
    angle = math.radians(degrees)
    corners = [(x - pivot[0], y - pivot[1]) for x in box[0::2] for y in box[1::2]]
    xs = [pivot[0] + x * math.cos(angle) - y * math.sin(angle) for x, y in corners]
    return bounds(xs, [pivot[1] + x * math.sin(angle) + y * math.cos(angle) for x, y in corners])


def bounds(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """Return the box around points."""
    return min(xs), min(ys), max(xs), max(ys)


def from_size(x: float, y: float, width: float, height: float) -> Box:
    """Return the box of a corner and a size."""
    return x, y, x + width, y + height


def from_centre(x: float, y: float, width: float, height: float) -> Box:
    """Return the box of a centre and a size."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@dataclass(frozen=True)
class Format:
    """An annotation format.

    `read` returns all annotations in a path, and notes what is wrong with the rest. `without_suffix`: their images'
    paths have no suffix, and a bare file name is enough if only one image has it. `exact`: boxes are used unchanged;
    otherwise they may leave the image by a pixel (`acol.ingest.box_checks.snap`). `leaves_out`: marks whose objects do
    not count, unless one says otherwise. `lists` returns what lists of images say of splits. `first_pixel`: the number
    of the first pixel, 0 or 1, if tools differ in it.

    How `acol look` finds it: there is one file of it ("file"), one for each image ("image"), or a folder with files of
    fixed names ("folder"), whose names match the expression `name`; and in it each of the expressions `holds`.
    """

    read: Callable[[Path, Findings], Iterable[Annotation]]
    kind: Literal["file", "image", "folder"]
    name: str
    holds: tuple[str, ...] = ()
    without_suffix: bool = True
    exact: bool = False
    leaves_out: tuple[str, ...] = ()
    lists: Callable[[Path, Findings], Iterable[Annotation]] | None = None
    first_pixel: int | None = None
