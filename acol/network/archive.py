"""Files of torch.save: whether one is whole, and why one was refused."""

import pickle
import zipfile
from pathlib import Path


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
