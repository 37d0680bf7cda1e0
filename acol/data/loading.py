"""Images decoded and resized once, kept as one memory-mapped array that cells and processes share."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from acol.data.images import read_image, resize
from acol.data.manifest import Manifest
from acol.files import atomic_write, remove_leftovers

_FORMAT = 1  # raise when the decoding or resizing changes, so that no old array is taken for a new one


@dataclass(frozen=True)
class LabelledImages:
    """N square images: `pixels` (N, S, S, 3) uint8 RGB, `labels` (N,) int64 class indices, `names` N paths."""

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
    """Decode and resize a split's images to `size` pixels square, or map the array made by an earlier call.

    Arrays lie under `cache`, named by what they hold; the first of several processes makes one while others wait.
    """
    images = manifest.of(split)
    key = hashlib.sha256("\n".join([f"{_FORMAT} {size}", *(image.sha256 for image in images)]).encode()).hexdigest()
    path = cache / f"{key[:32]}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            remove_leftovers(path)  # each is as large as the array
            files = [Path(manifest.root) / image.path for image in images]
            with atomic_write(path) as temporary:
                _decode(files, size, temporary, f"decode {split}")
    labels = np.array([manifest.index(image.label) for image in images], dtype=np.int64)
    return LabelledImages(np.load(path, mmap_mode="r"), labels, [image.path for image in images])


def _decode(files: Sequence[Path], size: int, path: Path, description: str) -> None:
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(files), size, size, 3))

    def decode(index: int) -> None:
        pixels[index] = resize(read_image(files[index]), size)

    with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while it decodes and resizes
        for _ in tqdm(pool.map(decode, range(len(files))), desc=description, total=len(files), disable=None):
            pass
    pixels.flush()
