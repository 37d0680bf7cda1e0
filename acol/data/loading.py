"""The images of a split as one array: decoded and resized once, then memory-mapped by all cells and processes."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import DTypeLike
from torch import Tensor
from tqdm import tqdm

from acol.data.images import read_image, resize
from acol.data.manifest import Manifest
from acol.files import atomic_write, remove_leftovers

_FORMAT = 1  # to be raised when decoding or resizing changes, so that old arrays are not used again


@dataclass(frozen=True)
class LabelledImages:
    """N square images: `pixels` (N, S, S, 3) uint8 RGB, `labels` (N,) int64 class indices, and `names`, N paths."""

    pixels: np.ndarray
    labels: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the images (n, 3, S, S) uint8 and labels (n,) at `indices`."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[indices]))
        return pixels.permute(0, 3, 1, 2), torch.from_numpy(self.labels[indices])


def load_split(manifest: Manifest, split: str, size: int, cache: Path) -> LabelledImages:
    """Return the images of a split, decoded and resized; the array of an earlier call is used again.

    Of several processes, one makes the array while the others wait.

    Args:
        manifest: of `acol.read_folder` (its attribute `manifest`).
        split: "train", "val" or "test".
        size: pixels per side of the square images.
        cache: a folder for the arrays. Their names are hashes of the files of the images, in order, and of the size.

    Raises `InputError` for another split, and for an image that cannot be read.

    >>> load_split(read_folder("photos").manifest, "train", 36, Path("cache")).pixels.shape
    (10, 36, 36, 3)
    """
    images = manifest.of(split)
    key = hashlib.sha256("\n".join([f"{_FORMAT} {size}", *(image.sha256 for image in images)]).encode()).hexdigest()
    files = [Path(manifest.root) / image.path for image in images]

    def decode(pixels: np.ndarray) -> None:
        def decode_one(index: int) -> None:
            pixels[index] = resize(read_image(files[index]), size)

        with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while it decodes and resizes
            done = pool.map(decode_one, range(len(files)))
            deque(tqdm(done, desc=f"decode {split}", total=len(files), disable=None), maxlen=0)

    pixels = kept_array(cache / f"{key[:32]}.npy", (len(files), size, size, 3), np.uint8, decode)
    labels = np.array([manifest.index(image.label) for image in images], dtype=np.int64)
    return LabelledImages(pixels, labels, [image.path for image in images])


def kept_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """Return the array in the file `path`, memory-mapped for reading. If there is no file, `fill` makes it first.

    Of several processes, one makes it while the others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            remove_leftovers(path)  # of killed processes; each is as large as the array
            with atomic_write(path) as temporary:
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
                # Reserve the space: here a full disk raises an error; at a write to a mapped page it ends the process.
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
                fill(array)
                array.flush()
    return np.load(path, mmap_mode="r")
