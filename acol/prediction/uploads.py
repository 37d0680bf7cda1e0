"""Images from untrusted sources: decoded from bytes, a file or an array, within limits that protect a server."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from acol.data.images import read_image
from acol.errors import InputError

MAX_BYTES = 20 * 2**20  # of a file
MAX_UPLOAD_PIXELS = 50_000_000  # that of a good phone's picture; its map takes 200 MB


def read_bytes(content: bytes, name: str) -> Image.Image:
    """Decode the bytes of an image file to RGB pixels, as `acol.data.images.read_image` does.

    Raises `InputError` for bytes that are no complete image, and for more than `MAX_BYTES` or `MAX_UPLOAD_PIXELS`; its
    message calls the file `name`. The number of pixels is checked before they are decoded.
    """
    if len(content) > MAX_BYTES:
        raise InputError(f"{name}: more than {MAX_BYTES} bytes; save it smaller")
    try:
        return read_image(name, content, MAX_UPLOAD_PIXELS)
    except InputError as error:
        raise InputError(re.sub(r" \(.*\)", "", str(error))) from None  # the decoder's message may quote the bytes


def read_file(path: Path, name: str) -> Image.Image:
    """Decode an image file as `read_bytes` decodes its content; also raise `InputError` for a missing file."""
    try:
        if not path.is_file():
            raise InputError(f"{name}: no such file; correct the path")
        with path.open("rb") as file:
            return read_bytes(file.read(MAX_BYTES + 1), name)
    except OSError as error:
        raise InputError(f"{name}: cannot be opened ({error.strerror}); make it readable") from None


def read_array(pixels: np.ndarray[Any, Any], name: str) -> Image.Image:
    """Return a uint8 array (H, W, 3) of RGB pixels as an image.

    Raises `InputError` for another type or shape, for an empty array, and for more than `MAX_UPLOAD_PIXELS`.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InputError(f"{name}: {pixels.dtype} array of shape {pixels.shape}; give uint8 pixels (H, W, 3)")
    height, width, _ = pixels.shape
    if width * height > MAX_UPLOAD_PIXELS:
        raise InputError(f"{name}: {width} x {height} is more than {MAX_UPLOAD_PIXELS} pixels; save it smaller")
    return Image.fromarray(pixels)
