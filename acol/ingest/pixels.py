"""Decode every file of a data set once, several at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from imagehash import phash
from tqdm import tqdm

from acol.data.images import orientation, read_image, read_values
from acol.errors import InputError
from acol.files import sha256


@dataclass(frozen=True)
class Decoded:
    """Facts of a readable file: the hash of its bytes, its upright (width, height); of a mask, its pixels by value.

    `orientation` is an image's EXIF turn. `look` is an image's perceptual hash of 64 bits (`imagehash.phash`), which
    hardly differs for near duplicates.
    """

    sha256: str
    size: tuple[int, int]
    values: Mapping[int, int] = field(default_factory=dict)
    look: int = 0
    orientation: int = 1


def decode_all(
    files: Mapping[str, Path], decode: Callable[[Path], Decoded], description: str
) -> tuple[dict[str, Decoded], dict[str, str]]:
    """Return the facts of each readable file and the fault of each other file, by the files' keys."""

    def attempt(path: Path) -> Decoded | str:
        try:
            return decode(path)
        except InputError as error:
            return str(error)

    with ThreadPool() as pool:  # Pillow and hashlib release the GIL
        results = pool.imap(attempt, files.values(), chunksize=16)
        told = list(tqdm(results, desc=description, total=len(files), unit="file", disable=None))
    pairs = list(zip(files, told, strict=True))
    return {k: v for k, v in pairs if isinstance(v, Decoded)}, {k: v for k, v in pairs if isinstance(v, str)}


def decode_image(path: Path) -> Decoded:
    """Return the facts of an image file; raises `InputError` if it cannot be read."""
    image = read_image(path)
    look = int(str(phash(image)), 16)
    return Decoded(size=image.size, sha256=sha256(path), look=look, orientation=orientation(path))


def decode_mask(path: Path) -> Decoded:
    """Return the facts of a mask file; raises `InputError` if it cannot be read."""
    mask = read_values(path)
    values, counts = np.unique(mask, return_counts=True)
    return Decoded(
        sha256(path), (mask.shape[1], mask.shape[0]), dict(zip(values.tolist(), counts.tolist(), strict=True))
    )
