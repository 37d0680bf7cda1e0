"""An image's boxes: which of its annotation's objects count, and whether they lie in the image."""

import math
from collections.abc import Mapping
from dataclasses import replace

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format
from acol.ingest.pixels import Decoded


def checked_boxes(
    annotated: Mapping[str, Annotation],
    form: Format,
    labels: Mapping[str, str],
    decoded: Mapping[str, Decoded],
    faults: list[str],
) -> dict[str, tuple[Box, ...]]:
    """Return path -> boxes in pixels of the upright image; `labels` maps each path to its class.

    If any object of the data set has a class's name, only objects of the image's own class count. Otherwise all count.
    """
    classes = {label.casefold() for label in labels.values()}
    by_class = any(name.casefold() in classes for annotation in annotated.values() for name in annotation.names)
    boxes = {}
    for path, annotation in annotated.items():
        if path not in decoded or not annotation.boxes:  # already reported
            continue
        size, label, where = decoded[path].size, labels[path], f"{shown(annotation.source)}: {shown(path)}"
        if annotation.size and annotation.size != size:
            declared = f"annotated as {annotation.size[0]} x {annotation.size[1]} pixels"
            faults.append(f"{where}: {declared}, but the upright image is {size[0]} x {size[1]}; annotate it again")
            continue
        chosen = of_class(annotation, label).boxes if by_class else annotation.boxes
        if not chosen:
            faults.append(f"{where}: no object is named {label!r}; add one, or move the image")
        boxes[path] = chosen if form.exact else tuple(snap(box, size) for box in chosen)
        faults += [f"{where}: {fault}; correct it" for box in boxes[path] if (fault := box_fault(box, size))]
    return boxes


def of_class(annotation: Annotation, label: str) -> Annotation:
    """Return a VOC annotation with only the objects named like the image's class, in whatever case."""
    kept = [n for n, name in enumerate(annotation.names) if name.casefold() == label.casefold()]
    boxes = tuple(annotation.boxes[n] for n in kept)
    return replace(annotation, boxes=boxes, names=tuple(annotation.names[n] for n in kept))


def snap(box: Box, size: tuple[int, int]) -> Box:
    """Return a box whose coordinates up to 1 pixel outside an image of (width, height) are moved onto its border.

    Some tools count pixels from 0 and others from 1, even within one format. So a coordinate that is 1 pixel outside
    is moved; one that is further outside is a fault.
    """
    x0, y0, x1, y1 = box
    width, height = size
    x0, y0 = (0.0 if -1 <= low < 0 else low for low in (x0, y0))
    x1, y1 = (float(end) if end < high <= end + 1 else high for high, end in ((x1, width), (y1, height)))
    return x0, y0, x1, y1


def box_fault(box: Box, size: tuple[int, int]) -> str | None:
    """Return what is wrong with a half-open xyxy box in an image of (width, height) pixels, or None."""
    x0, y0, x1, y1 = box
    text = f"box ({', '.join(f'{value:g}' for value in box)})"
    if not all(map(math.isfinite, box)):
        return f"{text} is not finite"
    if x1 <= x0 or y1 <= y0:
        return f"{text} is degenerate: it has no area"
    if min(x0, y0) < 0 or x1 > size[0] or y1 > size[1]:
        return f"{text} is outside its image of {size[0]} x {size[1]} pixels"
    return None
