"""The masks of images: which image each belongs to, and whether it fits."""

import glob
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from acol.data.images import EXTENSIONS, shown
from acol.data.masks import BINARY, OBJECT, MaskValues, usual_values
from acol.errors import InputError
from acol.ingest.formats.text import after_id, grouped, rows
from acol.ingest.layout import Layout
from acol.ingest.matching import pair
from acol.ingest.pixels import Decoded, decode_all, decode_mask

FULL = 0.95  # of the mean mask: more can hardly be the object


@dataclass(frozen=True)
class MaskFiles:
    """An image's masks, whose objects count together, the mask of its ignored regions, and the hash of all."""

    masks: tuple[Path, ...]
    ignored: Path | None
    sha256: str


@dataclass(frozen=True)
class Masks:
    """The masks of a folder: each image's files by path; what values mean; and remarks about them."""

    files: dict[str, MaskFiles]
    values: MaskValues
    remarks: list[str]


def listed_masks(folder: Path, lines: Path, layout: Layout, labels: Mapping[str, str], faults: list[str]) -> Masks:
    """Return the masks that a file lists in lines "image,mask,ignored regions", as wsolevaluation does for OpenImages.

    An image may have several lines; the third part may be empty. Image paths are relative to the images' folder, masks
    to `folder`. In a mask 0 is background and all else object; masks may have another size than their image. Source:
    Choe et al. 2020, metadata of OpenImages30k.
    """
    found = grouped(rows(lines, "IMAGE,MASK,IGNORED REGIONS", after_id(2, lambda values: (*values,)), faults))
    files: dict[str, MaskFiles] = {}
    for path, entries in found.items():
        if path not in layout.labels:
            faults.append(f"{shown(lines)}: no image {shown(path)} in {shown(layout.base)}; add it or remove its lines")
            continue
        masks = tuple(folder / mask for mask, _ in entries)
        ignored = next((folder / ignored for _, ignored in entries if ignored), None)
        wanted = {str(number): file for number, file in enumerate([*masks, *([ignored] if ignored else [])])}
        decoded, failures = decode_all(wanted, decode_mask, f"check masks of {path}")
        faults += failures.values()
        if path in labels and len(decoded) == len(wanted):
            if not any(value for number in range(len(masks)) for value in decoded[str(number)].values):
                faults.append(f"{shown(masks[0])}: no pixel is of the object; mark it, or remove the line")
            together = "".join(decoded[number].sha256 for number in wanted)
            files[path] = MaskFiles(masks, ignored, hashlib.sha256(together.encode()).hexdigest())
    return Masks(files, BINARY, [])


def checked_masks(
    folder: Path,
    given: MaskValues | None,
    layout: Layout,
    labels: Mapping[str, str],
    decoded: Mapping[str, Decoded],
    faults: list[str],
) -> Masks:
    """Return the masks in `folder` of the images in `labels`; `given` says what values mean (None: what is usual)."""
    files = _mask_files(folder, faults)
    pairs = pair(layout, files, faults)
    for key in sorted(set(files) - set(pairs.values())):
        what = f"{shown(files[key])}: a mask without an image in {shown(layout.base)}"
        faults.append(f"{what}; add the image or remove the mask")
    wanted = {path: files[key] for path, key in pairs.items() if path in labels}
    masks, failures = decode_all(wanted, decode_mask, "check masks")
    faults += failures.values()
    values = given or usual_values([value for mask in masks.values() for value in mask.values])
    shares = []
    for path, mask in masks.items():
        object_pixels = _object_pixels(wanted[path], mask, values, labels[path], faults)
        if object_pixels is not None:
            shares.append(object_pixels / sum(mask.values.values()))
        if path in decoded and mask.size != decoded[path].size:
            sizes = [f"{width} x {height}" for width, height in (mask.size, decoded[path].size)]
            faults.append(f"{shown(wanted[path])}: {sizes[0]} pixels, but its image is {sizes[1]}; draw it again")
    faults += _doubts(folder, values, given, masks.values())
    remarks = []
    if shares and np.mean(shares) > FULL:
        remarks.append(
            f"{shown(folder)}: the object fills {100 * np.mean(shares):.0f} % of the mean mask; if object and "
            "background are exchanged, set data.masks.values: inverted"
        )
    alone = {path: MaskFiles((wanted[path],), None, mask.sha256) for path, mask in masks.items()}
    return Masks(alone, values, remarks)


def _object_pixels(file: Path, mask: Decoded, values: MaskValues, label: str, faults: list[str]) -> int | None:
    """The number of a mask's object pixels; None, and a fault, if it has none or a value without a meaning."""
    raw = np.array([*mask.values])
    try:
        pixels = values.pixels(raw, label)
    except InputError as error:
        faults.append(f"{shown(file)}: {error}")
        return None
    if not (pixels == OBJECT).any():
        only = f"every pixel is {raw[0]}" if len(raw) == 1 else "no pixel is of the object"
        faults.append(
            f"{shown(file)}: {only}; mark the object, remove the mask, or say under data.masks what is object"
        )
        return None
    return int(np.array([*mask.values.values()])[pixels == OBJECT].sum())


def _doubts(folder: Path, values: MaskValues, given: MaskValues | None, masks: Iterable[Decoded]) -> list[str]:
    """What is wrong with all masks together: a meaning that nobody gave, and that cannot be right."""
    if given is not None or values.object is not None:
        return []
    total: Counter[int] = Counter()
    for mask in masks:
        total.update(mask.values)
    objects = sum(count for value, count in total.items() if value not in (*values.background, *values.ignored))
    if 0 not in total:
        return [
            f"{shown(folder)}: no mask has a pixel of 0, the background; say under data.masks.values what they mean: "
            "trimap (1 object, 2 background, 3 border), inverted, or {object: [...], background: [...]}"
        ]
    if sum(total[value] for value in values.ignored) > objects:
        return [
            f"{shown(folder)}: most marked pixels are 255, which means ignored beside other values; if it is the "
            "object, set data.masks.values: binary; if not, voc"
        ]
    return []


def _mask_files(folder: Path, faults: list[str]) -> dict[str, Path]:
    """Return the PNG files, keyed by their path in `folder` without suffix."""
    files = {}
    for name in sorted(glob.glob("**/*", root_dir=folder, recursive=True)):  # no hidden ones; follows links
        suffix = PurePosixPath(name).suffix.lower()
        if suffix == ".png":
            files[PurePosixPath(name).with_suffix("").as_posix()] = folder / name
        elif suffix in EXTENSIONS:
            faults.append(f"{shown(folder / name)}: not a PNG, so not a mask; save it as PNG or remove it")
    return files
