"""An image's annotation, and the properties of an annotation format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acol.data.manifest import Box


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set are: the format's name, and the path relative to the data set's root."""

    format: str
    path: str


@dataclass(frozen=True)
class Annotation:
    """One image's annotation.

    `boxes` are half-open xyxy pixels, not yet checked against the image; `source` is their file. If the format has
    them: `size` is the annotated image's (width, height), `names` the name of each box's object, `label` the format's
    name for the image's class, `split` "train" or "test".
    """

    source: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None


# Annotations by key, and the faults found, one line each. An annotation with a fault has no boxes.
Parsed = tuple[dict[str, Annotation], list[str]]


@dataclass(frozen=True)
class Format:
    """An annotation format.

    `read` returns all annotations in a path, keyed by the image's path. `without_suffix`: the keys have no suffix, and
    a bare file name is enough if only one image has it. `test_only`: only test images need boxes; otherwise every image
    does. `gives_splits`: the annotations say which images are in train and in test. `exact`: boxes are used unchanged;
    otherwise a coordinate up to 1 pixel outside the image is moved onto its border.
    """

    read: Callable[[Path], Parsed]
    without_suffix: bool = False
    test_only: bool = False
    gives_splits: bool = False
    exact: bool = False
