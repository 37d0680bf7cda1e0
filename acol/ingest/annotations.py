"""An image's annotation, and the properties of an annotation format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from acol.bounds import Text
from acol.data.manifest import Box

# What annotators mark an object as, in VOC, CVAT and OpenImages.
Mark = Literal["difficult", "occluded", "truncated", "group_of", "depiction", "inside"]
MARKS: tuple[str, ...] = get_args(Mark)
CROWD = "crowd"  # COCO's group of objects under one outline: it never counts
Frame = Literal["upright", "stored"]  # of a photograph with an EXIF turn


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set are: the format's name, and the path relative to the data set's root.

    `names` maps names of objects to classes, where they differ; with "any" every object of an image counts.
    Objects with one of the marks `leave_out` count for nothing (None: the format's own, see `Format`). `frame` says
    what boxes of a photograph with an EXIF turn were drawn on: "upright" or "stored" pixels; None: what the annotated
    size tells, and upright where it tells nothing. Images of the classes `without` have no objects, whatever is
    annotated in them: "no tumour", "good".
    """

    format: str
    path: Text
    names: Mapping[Text, Text] | Literal["any"] = field(default_factory=dict)
    leave_out: tuple[Mark, ...] | None = None
    frame: Frame | None = None
    without: tuple[Text, ...] = ()

    @property
    def any_object(self) -> bool:
        """Whether every object of an image counts, whatever its name."""
        return self.names == "any"

    @property
    def renames(self) -> Mapping[str, str]:
        """The classes of objects' names that are no class's."""
        return {} if isinstance(self.names, str) else self.names


@dataclass(frozen=True)
class Polygons:
    """An object's outline: polygons x, y, x, y, ..., each of three or more points."""

    polygons: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class RunLengths:
    """An object's mask in COCO's run-length encoding (`acol.data.rle`), of (width, height) pixels."""

    size: tuple[int, int]
    counts: str | tuple[int, ...]


Outline = Polygons | RunLengths


@dataclass(frozen=True)
class Annotation:
    """One image's annotation.

    `boxes` are half-open xyxy pixels, not yet checked against the image; `source` is their file. If the format has
    them: `size` is the annotated image's (width, height), `names` the name of each box's object, `marks` what each is
    marked as (of `MARKS` and `CROWD`), `outlines` the outline of each (None: it has only a box), `label` the format's
    name for the image's class, `split` the split that it gives, `image` the name of the image's file. `fractions`:
    boxes and polygons are in fractions of the image. `faults` are what is wrong with it, a line each: they
    count only if it belongs to an image.
    """

    source: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    marks: tuple[frozenset[str], ...] = ()
    outlines: tuple[Outline | None, ...] = ()
    label: str | None = None
    split: str | None = None
    image: str | None = None
    fractions: bool = False
    faults: tuple[str, ...] = ()


class Parsed(NamedTuple):
    """Annotations by key; the faults found in what is not of one image, a line each; and what else is told."""

    annotations: dict[str, Annotation]
    faults: list[str]
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Format:
    """An annotation format.

    `read` returns all annotations in a path, keyed by the image's path. `without_suffix`: the keys have no suffix, and
    a bare file name is enough if only one image has it. `gives_splits`: the annotations may say which split an image is
    in. `exact`: boxes are used unchanged; otherwise a coordinate up to 1 pixel outside the image is moved onto its
    border. `leaves_out`: marks whose objects do not count, unless one says otherwise. `lists` returns what lists of
    images beside the annotations say of splits.
    """

    read: Callable[[Path], Parsed]
    without_suffix: bool = False
    gives_splits: bool = False
    exact: bool = False
    leaves_out: tuple[str, ...] = ()
    lists: Callable[[Path], Parsed] | None = None
