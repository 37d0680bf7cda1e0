"""What an annotation says of an image, and what a format says of its annotations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acol.data.manifest import Box


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set stand: the format's name, and the path relative to the data set's root."""

    format: str
    path: str


@dataclass(frozen=True)
class Annotation:
    """What one image's annotation says.

    `boxes` are half-open xyxy pixels, not yet checked against the image; `source` is the file they stand in. Where the
    format tells: `size` is the (width, height) of the image as annotated, `names` the objects' names (a box each),
    `label` how the format calls the image's class, `split` its "train" or "test".
    """

    source: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None


# Annotations by key, and the faults that were met, a line each: an annotation with a fault of its own has no boxes.
Parsed = tuple[dict[str, Annotation], list[str]]


@dataclass(frozen=True)
class Format:
    """An annotation format, as the reader of a folder needs it.

    `read` returns all annotations in a path, keyed by the image's path: with its suffix, or, where `without_suffix`,
    without (then a bare file name will do where one image alone has it). `test_only` formats must have boxes for the
    test images alone, others for every image. With `gives_splits` the annotations say who is in train and in test.
    `exact` boxes are taken as they stand; of others a coordinate up to 1 pixel outside is moved onto the border.
    """

    read: Callable[[Path], Parsed]
    without_suffix: bool = False
    test_only: bool = False
    gives_splits: bool = False
    exact: bool = False
