"""Masks as text: COCO's run-length encoding, the lengths of runs of background and object, column by column."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from acol.errors import InputError


def encoded(mask: NDArray[np.bool_]) -> str:
    """Return a mask (H, W) as COCO's compressed text."""
    return str(coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii"))


def decoded(counts: str | Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of an image of (width, height) from compressed text, or from the lengths themselves.

    Raises `InputError` for text that is no such encoding, and for one of another size. (pycocotools reads these as
    whatever lies in memory.)
    """
    lengths = _lengths(counts) if isinstance(counts, str) else [*counts]
    if any(type(length) is not int or length < 0 for length in lengths):
        raise InputError("its RLE is not a list of lengths; export it again")
    width, height = size
    if sum(lengths) != width * height:
        raise InputError(f"its RLE covers {sum(lengths)} pixels, but {width} x {height} are {width * height}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _lengths(text: str) -> list[int]:
    """Decode the text: numbers in digits of 5 bits, the lowest first, as differences from the number two before."""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 40:
            return [-1]
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:  # negative
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return [-1] if shift else lengths
