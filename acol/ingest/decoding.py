"""Decode every file of a data set once, several at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Literal

import numpy as np
from imagehash import phash
from scipy.ndimage import find_objects
from tqdm import tqdm

from acol.data.images import first_colour, frame_count, orientation, read_image, read_values
from acol.data.manifest import Box
from acol.errors import InputError
from acol.files import sha256

Frame = Literal["upright", "stored"]  # the pixels of a photograph with an EXIF turn
_FLAT = 2  # levels between the darkest and the brightest value of an image that shows nothing
_DARK = 40  # the brightest value of a dark image; 12 bits in a file of 16 reach 15
_CLIPPED = 0.99  # of the values
_SAMPLE, _COLOURS = 128, 8  # pixels a side of the sample, and the colours in it, of what may be a mask
NEAR, _TWO = 32, 0.95  # levels from black or white, and the share of the pixels within them


@dataclass(frozen=True)
class FileFacts:
    """Facts of a file: the hash of its bytes, its upright (width, height); or the `fault` for which it cannot be read.

    Of a mask, `values` are its pixels by value, `edge` those along its four sides, and `first_colour` is how light the
    colour of 0 is in its palette, None without one; `bounds` are boxes around all pixels of each value but 0. Of an
    image, `phash` is its perceptual hash, 64 bits, `doubt` what may have gone wrong with its colours; `few_colours`: it
    has as few as a mask, `may_be_mask`: or looks like one that was a JPEG.
    """

    sha256: str
    size: tuple[int, int]
    values: Mapping[int, int] = field(default_factory=dict)
    edge: Mapping[int, int] = field(default_factory=dict)
    first_colour: int | None = None
    bounds: Mapping[int, Box] = field(default_factory=dict)
    phash: int = 0
    orientation: int = 1
    doubt: str = ""
    few_colours: bool = False
    may_be_mask: bool = False
    fault: str = ""

    @property
    def stored_size(self) -> tuple[int, int]:
        """The (width, height) of the pixels that the file holds, before they are turned upright."""
        return self.size[::-1] if self.orientation in (5, 6, 7, 8) else self.size

    def frame(self, annotated_size: tuple[int, int] | None, setting: Frame | None) -> tuple[Frame, bool]:
        """Return on which pixels an annotation of a (width, height) was drawn, unless set, and if that is a guess."""
        if setting is not None:
            return setting, False
        if annotated_size == self.stored_size != self.size:
            return "stored", False
        return "upright", self.orientation != 1 and (annotated_size is None or self.stored_size == self.size)

    def size_of(self, frame: Frame) -> tuple[int, int]:
        """Return the (width, height) of the upright or of the stored pixels."""
        return self.size if frame == "upright" else self.stored_size


def decode_all(files: Sequence[Path], decode: Callable[[Path], FileFacts], description: str) -> list[FileFacts]:
    """Return the facts of each file."""

    def attempt(path: Path) -> FileFacts:
        try:
            return decode(path)
        except InputError as error:
            return FileFacts(str(path), (0, 0), fault=str(error))  # by its path it is like no other file

    with ThreadPool() as pool:  # Pillow and hashlib release the GIL
        results = pool.imap(attempt, files, chunksize=16)
        return list(tqdm(results, desc=description, total=len(files), unit="file", disable=None))


def decode_image(path: Path) -> FileFacts:
    """Return the facts of an image file; raises `InputError` if it cannot be read."""
    image = read_image(path)
    pixels, hash_bits = np.asarray(image), int(str(phash(image)), 16)
    facts = FileFacts(sha256(path), image.size, phash=hash_bits, orientation=orientation(path))
    sample = pixels[:: -(-pixels.shape[0] // _SAMPLE), :: -(-pixels.shape[1] // _SAMPLE)].reshape(-1, 3)
    few = len(np.unique(sample.astype(np.uint32) @ (65_536, 256, 1))) <= _COLOURS
    doubt = _doubt(pixels) or ("several frames or pages; only the first is read" if frame_count(path) > 1 else "")
    return replace(facts, doubt=doubt, few_colours=few, may_be_mask=few or _two_greys(sample))


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


def _two_greys(sample: np.ndarray) -> bool:
    """Whether pixels (N, 3) uint8 are grey and nearly all close to black or white, with both: a mask in a JPEG."""
    if np.ptp(sample, axis=1).max() > NEAR // 2:
        return False
    dark, light = (sample[:, 1] <= NEAR).mean(), (sample[:, 1] >= 255 - NEAR).mean()
    return bool(dark + light > _TWO and min(dark, light) > 1 - _CLIPPED)


def decode_mask(path: Path) -> FileFacts:
    """Return the facts of a mask file; raises `InputError` if it cannot be read."""
    mask = read_values(path)
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    size = (mask.shape[1], mask.shape[0])
    places = {value: place for value, place in enumerate(find_objects(mask), 1) if place}
    bounds = {value: (float(x.start), float(y.start), float(x.stop), float(y.stop)) for value, (y, x) in places.items()}
    return FileFacts(sha256(path), size, _pixels_by_value(mask), _pixels_by_value(edge), first_colour(path), bounds)


def _pixels_by_value(pixels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
