"""Arrays made once and kept on disk, memory-mapped by all who need them."""

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
    """Map the array at `path` for reading; where there is none, `fill` makes it first.

    Of several processes one makes it while the others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            remove_leftovers(path)  # each is as large as the array
            with atomic_write(path) as temporary:
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
                # A full disk is an error here, but a bus error when a mapped page finds no room.
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
                fill(array)
                array.flush()
    return np.load(path, mmap_mode="r")
