"""The true mask of an image, from its mask files or from the manifest, and COCO's run-length encoding of masks.

This encoding is the lengths of the runs of background and object, column by column, as numbers or as text.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from acol.data.images import read_mask_pixels, read_values, upright
from acol.data.manifest import Image
from acol.data.mask_values import IGNORED, OBJECT, MaskValues
from acol.errors import InputError


def true_mask(image: Image, root: Path, values: MaskValues | None, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the mask of an image as (H, W) of 0 (background), 1 (object) and 255 (ignored).

    It is resized by nearest neighbour, as in wsolevaluation, so that no other values arise at the edges of objects.
    Several masks count together. Pixels that the mask of ignored regions marks, and none of them, are ignored.

    Args:
        image: one with a mask.
        root: the root folder of its manifest.
        values: what the values of mask files mean; None: what they usually mean.
        size: (width, height) of the result in pixels.

    Raises `InputError` for a mask that cannot be read, and for a value without a meaning.
    """

    def resized(mask: NDArray[np.uint8] | NDArray[np.uint16]) -> np.ndarray:
        return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)

    def from_text(counts: str) -> np.ndarray:
        return resized(decode_rle(counts, (image.width, image.height)).astype(np.uint8))

    # The masks of objects, from files or from the manifest.
    if image.mask is not None:
        files = [root / path for path in (image.mask, *image.more_masks)]
        stored = [read_mask_pixels(file, values, image.label) for file in files]
        masks = [resized(upright(mask, image.mask_turn)) for mask in stored]
    else:
        masks = [from_text(image.mask_rle or "")]
    # An object in any mask counts, also where another mask or the mask of ignored regions says "ignored".
    is_object = np.any([mask == OBJECT for mask in masks], axis=0)
    ignored = np.any([mask == IGNORED for mask in masks], axis=0)
    if image.ignore_mask is not None:
        ignored |= resized(upright(read_values(root / image.ignore_mask), image.mask_turn)) > 0
    if image.ignore_rle is not None:
        ignored |= from_text(image.ignore_rle) > 0
    return np.where(is_object, OBJECT, np.where(ignored, IGNORED, 0)).astype(np.uint8)


def encode_rle(mask: NDArray[np.bool_]) -> str:
    """Return a mask (H, W) as COCO's compressed text."""
    return str(coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii"))


def decode_rle(counts: str | Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of an image of `size` (width, height) from COCO's compressed text, or from the lengths.

    Raises `InputError` for text that is no such encoding, and for one of another size. (pycocotools would read beyond
    its memory.)
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
    """Return the numbers of the text: in digits of 5 bits, the lowest first, as differences from the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 40:
            return [-1]  # no such text
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:  # the last digit; its highest bit is the sign
            value -= (digit >> 4 & 1) << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return [-1] if shift else lengths
