"""Files of torch.save: written, read without running code, and, where one is refused, why."""

import argparse
import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acol.errors import InputError

# What training scripts save beside weights and does nothing but hold values: their arguments, and numpy's scalars.
_DTYPES = (np.bool_, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64, np.str_)
_HOLDERS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _DTYPES),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def tensor_bytes(content: Any) -> bytes:
    """Serialise tensors and plain values; the bytes depend on the content alone."""
    buffer = io.BytesIO()  # torch.save to a path would put the file's name into the bytes
    torch.save(content, buffer)
    return buffer.getvalue()


def read_tensors(path: str | Path) -> Any:
    """Read what `tensor_bytes` made. Raises `InputError` for a missing or damaged file."""
    try:
        check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train the model first") from None
    except Exception as error:
        reason = load_failure(error)
        raise InputError(f"{path}: damaged or not a checkpoint ({reason}); train the model again") from None


def read_weights(path: Path) -> Any:
    """Read a stranger's file of tensors, plain values, argparse's arguments and numpy's scalars. No code in it is run.

    Raises `ObjectsInside` for a file with objects of other kinds, and whatever torch raises for what is no such file.
    """
    check_archive(path)
    try:
        with torch.serialization.safe_globals(_HOLDERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if kind := re.search(r"GLOBAL (\S+) was not an allowed", str(error)):
            raise ObjectsInside(kind[1], path) from None
        raise


class ObjectsInside(Exception):
    """A file of tensors holds an object whose loading would run code; `remedy` makes a plain file of it."""

    def __init__(self, kind: str, path: Path) -> None:
        super().__init__(f"it also holds an object of {kind}")
        plain = path.with_name(f"{path.stem}-plain.pth")
        self.remedy = (
            'if you trust its source, make a plain file of it, which runs the code in it: python -c "import torch; '
            f"c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
            "c = next((c[k] for k in ('state_dict', 'model_state_dict', 'model') if k in c), c) "
            "if isinstance(c, dict) else c; "
            f"torch.save(c.state_dict() if hasattr(c, 'state_dict') else c, {str(plain)!r})\""
        )


def check_archive(path: str | Path) -> None:
    """Verify the checksums that torch.save left in a file, which torch.load does not look at.

    A file of its older format, which is no zip archive, has none and passes. Raises `zipfile.BadZipFile` for damage.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise zipfile.BadZipFile("compressed, which torch.save never does")
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} differs")


def load_failure(error: Exception) -> str:
    """Return in a few printable words why a file of tensors was refused."""
    if isinstance(error, pickle.UnpicklingError):  # torch's own text explains how to run the code in the file
        return "it holds more than tensors and plain values, or is cut off"
    text = " ".join(str(error).split())[:160] or type(error).__name__
    return text if text.isprintable() else repr(text)
