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

_FLAT = 2  # levels between the darkest and the brightest value of an image that shows nothing
_DARK = 40  # the brightest value of a dark image; 12 bits in a file of 16 reach 15
_CLIPPED = 0.99  # of the values


@dataclass(frozen=True)
class Decoded:
    """Facts of a readable file: the hash of its bytes, its upright (width, height); of a mask, its pixels by value.

    `orientation` is an image's EXIF turn. `look` is an image's perceptual hash of 64 bits (`imagehash.phash`), which
    hardly differs for near duplicates; `doubt` is
    what may have gone wrong with its colours ("" for nothing).
    """

    sha256: str
    size: tuple[int, int]
    values: Mapping[int, int] = field(default_factory=dict)
    look: int = 0
    orientation: int = 1
    doubt: str = ""


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
    return Decoded(sha256(path), image.size, look=look, orientation=orientation(path), doubt=_doubt(np.asarray(image)))


def _doubt(pixels: np.ndarray) -> str:
    """Say what is hardly a photograph any more in pixels (H, W, 3) uint8: lost in a wrong bit depth, range or alpha."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low <= _FLAT:
        return "one colour only; check its transparency and its bit depth"
    if high <= _DARK:
        return f"nearly black, no value is above {_DARK} of 255; if it holds 10 or 12 bits, scale them to 16"
    if ((pixels == 0) | (pixels == 255)).mean() > _CLIPPED:
        return "black and white only; if it held grey or colours, its values were clipped; save it again"
    return ""


def decode_mask(path: Path) -> Decoded:
    """Return the facts of a mask file; raises `InputError` if it cannot be read."""
    mask = read_values(path)
    values, counts = np.unique(mask, return_counts=True)
    return Decoded(
        sha256(path), (mask.shape[1], mask.shape[0]), dict(zip(values.tolist(), counts.tolist(), strict=True))
    )
