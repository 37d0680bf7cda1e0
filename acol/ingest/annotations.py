"""An image's annotation, and the properties of an annotation format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acol.data.manifest import Box


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set are: the format's name, and the path relative to the data set's root.

    `names` maps names of objects to classes, where they differ. With `any_object` every object of an image counts.
    """

    format: str
    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    any_object: bool = False


@dataclass(frozen=True)
class Annotation:
    """One image's annotation.

    `boxes` are half-open xyxy pixels, not yet checked against the image; `source` is their file. If the format has
    them: `size` is the annotated image's (width, height), `names` the name of each box's object, `label` the format's
    name for the image's class, `split` the split that it gives, `image` the name of the image's file.
    """

    source: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None
    image: str | None = None


# Annotations by key, and the faults found, one line each. An annotation with a fault has no boxes.
Parsed = tuple[dict[str, Annotation], list[str]]


@dataclass(frozen=True)
class Format:
    """An annotation format.

    `read` returns all annotations in a path, keyed by the image's path. `without_suffix`: the keys have no suffix, and
    a bare file name is enough if only one image has it. `gives_splits`: the annotations may say which split an image is
    in. `exact`: boxes are used unchanged; otherwise a coordinate up to 1 pixel outside the image is moved onto its
    border. `fractions`: boxes are in fractions of the image.
    """

    read: Callable[[Path], Parsed]
    without_suffix: bool = False
    gives_splits: bool = False
    exact: bool = False
    fractions: bool = False
