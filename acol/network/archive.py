"""Files of torch.save: written, read without running code, and, where one is refused, why."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from acol.errors import InputError


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
