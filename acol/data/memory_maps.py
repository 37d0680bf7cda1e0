"""Arrays that are computed once, kept on disk and memory-mapped by every process that needs them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike

from acol.files import atomic_write, remove_leftovers

Array = np.ndarray[Any, Any]


def kept_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[Array], None]) -> Array:
    """Memory-map the array at `path` for reading. If the file is missing, `fill` computes the array first.

    Of several processes, one computes it while the others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            remove_leftovers(path)  # each is as large as the array
            with atomic_write(path) as temporary:
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
                # Reserve the space: a full disk raises an error here, but a bus error at a write to a mapped page.
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
                fill(array)
                array.flush()
    return np.load(path, mmap_mode="r")
