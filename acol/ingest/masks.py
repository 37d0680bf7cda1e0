"""The masks of images: which image each belongs to, and whether it fits."""

import glob
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from acol.data.images import EXTENSIONS, shown
from acol.ingest.layout import Layout
from acol.ingest.matching import pair
from acol.ingest.pixels import Decoded, decode_all, decode_mask


def checked_masks(
    folder: Path, layout: Layout, labels: Mapping[str, str], decoded: Mapping[str, Decoded], faults: list[str]
) -> dict[str, tuple[Path, str]]:
    """Return path -> (mask file, its hash), for the images in `labels` that have a mask in `folder`."""
    files = _mask_files(folder, faults)
    pairs = pair(layout, files, faults)
    for key in sorted(set(files) - set(pairs.values())):
        what = f"{shown(files[key])}: a mask without an image in {shown(layout.base)}"
        faults.append(f"{what}; add the image or remove the mask")
    wanted = {path: files[key] for path, key in pairs.items() if path in labels}
    masks, failures = decode_all(wanted, decode_mask, "check masks")
    faults += failures.values()
    for path, mask in masks.items():
        if mask.blank:
            faults.append(f"{shown(wanted[path])}: every pixel is 0; mark the object, or remove the mask")
        if path in decoded and mask.size != decoded[path].size:
            sizes = [f"{width} x {height}" for width, height in (mask.size, decoded[path].size)]
            faults.append(f"{shown(wanted[path])}: {sizes[0]} pixels, but its image is {sizes[1]}; draw it again")
    return {path: (wanted[path], mask.sha256) for path, mask in masks.items()}


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
