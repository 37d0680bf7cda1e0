"""Atomic writes: nobody ever reads a file or folder that is only half written."""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`, else remove it.

    An `OSError` that names no file, such as that of a full disk, or the temporary one gets `path` as its file name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # Flush the bytes before renaming; otherwise a crash could leave an empty file under the new name.
        os.umask(umask := os.umask(0))
        temporary.chmod(0o666 & ~umask)  # mkstemp lets only their owner read its files
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, name):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove the temporary files of `atomic_write` that killed processes left beside `path`.

    Call it only while no process can be writing `path`, for example under a lock.
    """
    path = Path(path)
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}????????{glob.escape(path.suffix)}"):
        left.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`. On success it replaces `path`; on failure nothing changes.

    An `OSError` that names no file, such as that of a full disk, gets `path` as its file name.

    A `.gitignore` in `path` is kept. The temporary folder has a fixed name, so that the next call removes what a killed
    process left.
    """
    path = Path(path)
    partial, old = (path.with_name(f".{path.name}.{what}") for what in ("partial", "old"))
    _put_back(old, path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if (path / ".gitignore").is_file():  # DVC's own, which is committed
            shutil.copy2(path / ".gitignore", partial)
        # A folder cannot replace another one in one step: the old one stays under its second name until then.
        if path.exists():
            path.rename(old)
        partial.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _put_back(old, path)


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_back(old: Path, path: Path) -> None:
    """Rename `old` back to `path` if the new folder did not take its place; otherwise remove it."""
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.stem}-"  # mkstemp adds eight characters


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
