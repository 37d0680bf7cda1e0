"""The saved states of an unfinished training. If a process is killed at any moment, a good state is left.

What a state holds, and why a resumed training ends in the same bits, is in `acol.training.loop`.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from acol.errors import InputError
from acol.files import atomic_write
from acol.network.weights import read_tensors, tensor_bytes

_KEPT = 2  # the newest state, and the one before it, in case the newest is damaged


class RunState:
    """The states of one training, in a folder of their own. The name of a file is the number of completed steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the training for this process, and remove the half-written files of a killed process.

        Raises `InputError` if another process holds the lock.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.folder / "lock").acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.folder}: another process trains this; wait for it, or stop it") from None
        with lock:
            for left in self.folder.glob(".*.state"):
                left.unlink()
            yield

    def save(self, steps: int, state: dict[str, Any]) -> None:
        """Write the state after `steps` steps atomically, then delete all but the newest two."""
        with atomic_write(self.folder / f"{steps:012d}.state") as temporary:
            temporary.write_bytes(tensor_bytes(state))
        for old in self._files()[:-_KEPT]:
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, or None; write the names of damaged ones to stderr."""
        for path in reversed(self._files()):
            try:
                return dict(read_tensors(path))
            except InputError:
                print(f"{path}: damaged; the next older state is used, if there is one", file=sys.stderr)
        return None

    def clear(self) -> None:
        """Remove all states, when the training is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.state"))
