"""The manifest: the list of a data set's images, each with its class, split, hash, size, boxes and mask."""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, get_type_hints

from acol.data.images import as_line
from acol.data.mask_values import CONVENTIONS, MaskValues
from acol.errors import InputError
from acol.files import atomic_write

SPLITS = ("train", "val", "test")
FRACTIONS = {"val": 0.15, "test": 0.25}  # the default shares of each class if splits are drawn
UNEVEN = 1.5  # classes are uneven if the largest has more than so many times the images of the smallest

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Image:
    """One image of a data set. Paths are POSIX paths relative to the root folder of the manifest."""

    path: str  # of the image file
    label: str  # the name of its class
    split: str  # one of `SPLITS`
    sha256: str  # of the bytes of the file
    # In pixels, after the EXIF rotation.
    width: int
    height: int
    # True boxes, half-open xyxy, in pixels after the EXIF rotation; None if the image has no such annotation.
    boxes: tuple[Box, ...] | None = None
    mask: str | None = None  # the path of a mask file
    mask_sha256: str | None = None  # of the bytes of all these mask files
    more_masks: tuple[str, ...] = ()  # the paths of others, whose objects count together with those of the first
    ignore_mask: str | None = None  # of a mask file: pixels that are marked there, and in no mask, are ignored
    # In the place of files: masks (height, width) in COCO's run-length encoding (`acol.data.masks`).
    mask_rle: str | None = None
    ignore_rle: str | None = None
    # The EXIF orientation by which the mask files are turned upright, if they were drawn on the image's stored pixels.
    mask_turn: int | None = None

    @property
    def masked(self) -> bool:
        """Whether the image has a mask."""
        return self.mask is not None or self.mask_rle is not None


@dataclass(frozen=True)
class Manifest:
    """A data set with its splits.

    Raises `InputError` for an unknown split or label, and for a path or class that occurs twice.
    """

    root: Path  # the folder to which the paths of images and masks are relative
    classes: tuple[str, ...]  # names, in the order of their indices
    images: tuple[Image, ...]  # sorted by path
    mask_values: MaskValues = CONVENTIONS["voc"]  # what the values of the mask files mean

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(sorted(self.images, key=lambda image: image.path)))
        if len(set(self.classes)) < len(self.classes):
            raise InputError("classes: a name occurs twice; give each class its own name")
        for image in self.images:
            if image.split not in SPLITS:
                raise InputError(
                    f"{as_line(image.path)}: unknown split {image.split!r}; use one of {', '.join(SPLITS)}"
                )
            if image.label not in self._indices:
                raise InputError(f"{as_line(image.path)}: label {image.label!r} is not one of the classes; add it")
        for image, following in zip(self.images, self.images[1:], strict=False):
            if image.path == following.path:
                raise InputError(f"{as_line(image.path)}: listed twice; keep one entry")

    def of(self, split: str) -> tuple[Image, ...]:
        """Return the images of "train", "val" or "test", sorted by path. Raises `InputError` for another name."""
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; use one of {', '.join(SPLITS)}")
        return tuple(image for image in self.images if image.split == split)

    def index(self, label: str) -> int:
        """Return the index of a class, in [0, number of classes). Raises `InputError` for an unknown class."""
        if label not in self._indices:
            raise InputError(f"unknown class {label!r}; the classes are {', '.join(self.classes)}")
        return self._indices[label]

    @cached_property
    def _indices(self) -> dict[str, int]:
        # Needed for each image of each split: a search in 1,000 names each time would take seconds.
        return {label: index for index, label in enumerate(self.classes)}

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of the classes and images, without the path of the root folder."""
        body = [list(self.classes), *map(_to_json, self.images)]
        if any(image.mask for image in self.images):
            body.append(asdict(self.mask_values))
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def for_training(self) -> "Manifest":
        """Return what training may see: the train and val images, without boxes and masks."""
        visible = (image for image in self.images if image.split != "test")
        images = tuple(without_masks(replace(image, boxes=None)) for image in visible)
        return Manifest(self.root, self.classes, images)


def without_masks(image: Image) -> Image:
    """Return an image without its masks."""
    return Image(image.path, image.label, image.split, image.sha256, image.width, image.height, image.boxes)


def uneven(counts: Collection[int]) -> bool:
    """Return whether the largest of the `counts` of images per class is more than `UNEVEN` times the smallest."""
    return bool(counts) and max(counts) > UNEVEN * min(counts)


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest as JSON, atomically, with one line per image. Equal manifests give identical bytes.

    The file does not contain the root folder, so it is the same on every machine that has the images.
    """
    facts = {"classes": manifest.classes, "masks": asdict(manifest.mask_values)}
    head = json.dumps(facts, ensure_ascii=False)
    lines = ",\n".join(json.dumps(_to_json(image), ensure_ascii=False) for image in manifest.images)
    with atomic_write(path) as temporary:
        temporary.write_text(f'{head[:-1]}, "images": [\n{lines}\n]}}\n', encoding="utf-8", newline="\n")


def read_manifest(path: str | Path, root: str | Path) -> Manifest:
    """Read a manifest from a file of `write_manifest`; its images are now in the folder `root`.

    Raises `InputError` with the file and the entry if the file is missing, not JSON, incomplete or contradictory.
    """
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
        classes, images = _value(body, "classes", list), _value(body, "images", list)
        if not all(isinstance(name, str) for name in classes):
            raise InputError("classes: a name is not text; correct it")
        meaning: Any = {key: tuple(x) if isinstance(x, list) else x for key, x in body["masks"].items()}
        return Manifest(Path(root), tuple(classes), tuple(map(_from_json, images)), MaskValues(**meaning))
    except OSError as error:
        raise InputError(f"{as_line(path)}: cannot be read ({error.strerror}); run `split` first") from None
    except InputError as error:
        raise InputError(f"{as_line(path)}: {error} (or run `split` again)") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # not UTF-8, not JSON, or of another form
        raise InputError(f"{as_line(path)}: not a manifest ({error}); run `split` again") from None


# Written only if they have a value, as in a few data sets.
_RARE = ("more_masks", "ignore_mask", "mask_rle", "ignore_rle", "mask_turn")
_TYPES: dict[str, Any] = {**get_type_hints(Image), "boxes": list | None, "more_masks": list}  # in JSON


def _to_json(image: Image) -> dict[str, Any]:
    """Return an image as the file has it."""
    boxes = None if image.boxes is None else [[float(value) for value in box] for box in image.boxes]
    entry = {**vars(image), "boxes": boxes}
    return {key: value for key, value in entry.items() if value or key not in _RARE}


def _from_json(entry: Any) -> Image:
    """Return the image of an entry of the file; raise `InputError` if it is not complete and right."""
    path = _value(entry, "path", str)
    try:
        facts = {key: _value(entry, key, wanted) for key, wanted in _TYPES.items() if key not in _RARE or key in entry}
        facts |= {"boxes": _boxes(facts["boxes"]), "more_masks": tuple(facts.get("more_masks", ()))}
        for inside in (facts["path"], facts["mask"], facts.get("ignore_mask"), *facts["more_masks"]):
            if inside and (PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts):
                what = "is outside the root folder; give a path inside it, relative to it"
                raise InputError(f"path {inside!r} {what}")
        return Image(**facts)
    except InputError as error:
        raise InputError(f"{as_line(path)}: {error}") from None


def _value(entry: Any, key: str, wanted: Any) -> Any:
    """Return a value of an entry; raise `InputError` if it is missing or of another type."""
    if not isinstance(entry, dict) or key not in entry:
        raise InputError(f"no {key!r}; add it")
    if not isinstance(entry[key], wanted) or isinstance(entry[key], bool):
        raise InputError(f"{key!r} is of the wrong type ({entry[key]!r:.40}); correct it")
    return entry[key]


def _boxes(boxes: list[Any] | None) -> tuple[Box, ...] | None:
    for box in boxes or ():
        numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
        if not numbers or not all(map(math.isfinite, box)):
            raise InputError(f"box {box!r:.60} is not four finite numbers; correct it")
    return None if boxes is None else tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes)
