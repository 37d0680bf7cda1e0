"""The masks that annotations hold themselves: polygons, and COCO's run-length encoded masks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from acol.data.images import shown, upright
from acol.data.rle import decoded as decoded_rle
from acol.data.rle import encoded
from acol.errors import InputError
from acol.ingest.annotations import Annotation, AnnotationSource, Outline, RunLengths
from acol.ingest.decoding import Decoded
from acol.ingest.objects import frame_of, of_class
from acol.ingest.turns import stored_size

Rles = tuple[str, str | None]  # the object's mask, and that of what is ignored


def checked_outlines(
    annotated: Mapping[str, Annotation],
    aside: Mapping[str, Annotation],
    source: AnnotationSource,
    labels: Mapping[str, str],
    decoded: Mapping[str, Decoded],
    faults: list[str],
) -> dict[str, Rles]:
    """Return path -> masks of the upright image, for images whose objects of the class all have outlines.

    `aside` are the objects that do not count: within their outlines, pixels are ignored. Otherwise the arguments are
    those of `acol.ingest.objects.checked_boxes`.
    """
    masks: dict[str, Rles] = {}
    for path, annotation in annotated.items():
        if path not in decoded or not any(annotation.outlines):
            continue
        image, objects = decoded[path], [annotation, aside[path]]
        stored = frame_of(annotation, source, image) == "stored"
        if not source.any_object:
            objects = [of_class(part, labels[path]) for part in objects]
        try:
            mask, ignored = [_together(part, image, stored) for part in objects]
        except InputError as error:
            faults.append(f"{shown(annotation.source)}: {shown(path)}: {error}; correct it")
            continue
        if mask is not None and all(objects[0].outlines):
            masks[path] = (mask, ignored)
    return masks


def _together(objects: Annotation, image: Decoded, stored: bool) -> str | None:
    """Return all of the objects' outlines as one mask of the upright image, encoded; None without a pixel."""
    size = stored_size(image.size, image.orientation) if stored else image.size
    parts = [_filled(outline, size, objects.fractions) for outline in objects.outlines if outline]
    if not np.any(parts):
        return None
    mask = np.any(parts, axis=0)
    return encoded(upright(mask, image.orientation) if stored else mask)


def _filled(outline: Outline, size: tuple[int, int], fractions: bool) -> NDArray[np.bool_]:
    """Return an outline as a mask (H, W) of an image of (width, height). Raises `InputError` if it is none."""
    width, height = size
    if isinstance(outline, RunLengths):
        if outline.size != size:
            own = f"{outline.size[0]} x {outline.size[1]}"
            raise InputError(f"an RLE of {own} pixels, but its image is {width} x {height}")
        return decoded_rle(outline.counts, size)
    scale = (width, height) if fractions else (1, 1)
    parts = []
    for polygon in outline.polygons:
        with np.errstate(over="ignore"):  # an infinite point is told below
            points = np.array(polygon).reshape(-1, 2) * scale
        if not (np.isfinite(points).all() and (points > -2).all() and (points < np.array(size) + 2).all()):
            raise InputError("a polygon that leaves its image")
        parts.append(points.ravel().tolist())
    return decoded_rle(coco.merge(coco.frPyObjects(parts, height, width))["counts"].decode("ascii"), size)
