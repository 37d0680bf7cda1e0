"""What of a folder is read, and how: the settings that `acol.ingest.folder.read_folder` takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from acol.data.manifest import FRACTIONS
from acol.data.mask_values import CONVENTIONS, MaskValue, MaskValues
from acol.errors import InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.decoding import Frame
from acol.setting_types import Fraction, Seed, Text


@dataclass(frozen=True)
class MaskSource:
    """Masks in the folder `path`, relative to the root; it mirrors the images' paths. Not every image needs one.

    `values`, a convention's name or its values, says what the masks' values mean; `classes` are the values of semantic
    masks, by class. Without both, the values decide between voc and binary (`acol.data.mask_values.usual_values`).
    `list` (relative to the root) is a file that lists the masks of each image instead
    (`acol.ingest.mask_files.read_listed_masks`).
    `frame` says which pixels of photographs with an EXIF turn masks were drawn on (None: what their size says).

    Raises `InputError` for more than one of `values`, `classes` and `list`.
    """

    path: Text
    values: Literal["voc", "binary", "trimap", "inverted", "grey"] | MaskValues | None = None
    classes: Mapping[str, MaskValue] = field(default_factory=dict)
    list: Text | None = None
    frame: Frame | None = None

    def __post_init__(self) -> None:
        given = [key for key in ("values", "classes", "list") if getattr(self, key)]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} exclude each other; keep one")

    @property
    def meaning(self) -> MaskValues | None:
        """What the values mean; None if no setting says it."""
        if self.classes:
            return MaskValues(classes=self.classes)
        return CONVENTIONS[self.values] if isinstance(self.values, str) else self.values


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """How a folder of images is read.

    `images` (relative to the root) has one of two layouts. It may hold a folder for each class: then `test_fraction`
    and `val_fraction` of each class's images are drawn for test and val. Or it holds the folders train, test and
    optionally val, each with a folder for each class. A missing val is `val_fraction` of each class in train. A missing
    test is what `test_from` says: the images of "val", or `test_fraction` of each class in "train".

    `classes` are the folders that are classes, if not all are. With `label_from` "annotation" folders give no class,
    but an image's annotation does (`acol.ingest.matching.label_images`); images may lie in any folder.

    `group_by` is a regular expression that is searched in each path: images with the same first group, or the same
    match without one, are variants of one photograph and stay in one split. Near duplicates that are in two splits are
    reported (`acol.ingest.splits`). With `unreadable` "leave_out" an image that cannot be decoded is left out, with its
    annotation, and does not count as a fault.

    Raises `InputError` for settings that contradict each other.
    """

    images: Text = "."
    annotations: AnnotationSource | None = None
    masks: Text | MaskSource | None = None
    classes: tuple[Text, ...] = ()
    label_from: Literal["folder", "annotation"] = "folder"
    group_by: Text | None = None
    test_from: Literal["val", "train"] | None = None
    val_fraction: Fraction = FRACTIONS["val"]
    test_fraction: Fraction = FRACTIONS["test"]
    seed: Seed = 0
    unreadable: Literal["stop", "leave_out"] = "stop"

    def __post_init__(self) -> None:
        shares = self.val_fraction, self.test_fraction
        if not 0 < min(shares) < sum(shares) < 1:
            both = "val_fraction {} and test_fraction {}".format(*shares)
            raise InputError(f"{both}: each must be in (0, 1) and their sum below 1; use e.g. 0.1 and 0.2")
        if self.label_from == "annotation" and self.annotations is None:
            raise InputError("label_from annotation needs annotations: {format, path}; add it")

    @property
    def mask_source(self) -> MaskSource | None:
        """Where masks are, and what they mean."""
        return MaskSource(self.masks) if isinstance(self.masks, str) else self.masks
