"""An image's boxes: which of its annotation's objects count, and whether they lie in the image."""

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, AnnotationSource, Format
from acol.ingest.decoding import Decoded
from acol.ingest.names import plain
from acol.ingest.turns import stored_size, turned


def checked_boxes(
    annotated: Mapping[str, Annotation],
    source: AnnotationSource,
    form: Format,
    labels: Mapping[str, str],
    decoded: Mapping[str, Decoded],
    faults: list[str],
) -> dict[str, tuple[Box, ...]]:
    """Return path -> boxes in pixels of the upright image; `labels` maps each path to its class.

    Only objects that are named like the image's class count, in whatever spelling (`acol.ingest.names.plain`), unless
    objects have no names or `source.any_object` is set. An image without such an object has no boxes. A class whose
    name no object has is a fault.
    """
    if not source.any_object:
        faults += _unlike(annotated, labels)
    boxes = {}
    for path, annotation in annotated.items():
        if path not in decoded:  # already reported
            continue
        image, where = decoded[path], f"{shown(annotation.source)}: {shown(path)}"
        size, frame = image.size, frame_of(annotation, source, image)
        within = size if frame == "upright" else stored_size(size, image.orientation)
        if annotation.size and annotation.size != within:
            declared = f"annotated as {annotation.size[0]} x {annotation.size[1]} pixels"
            faults.append(f"{where}: {declared}, but the {frame} image is {within[0]} x {within[1]}; annotate it again")
            continue
        by_class = annotation.names and not source.any_object
        chosen = of_class(annotation, labels[path]).boxes if by_class else annotation.boxes
        if not chosen:
            continue
        if annotation.fractions:
            chosen = tuple(_scaled(box, within) for box in chosen)
        if frame == "stored":
            chosen = tuple(turned(box, size, image.orientation) for box in chosen)
        boxes[path] = chosen if form.exact else tuple(snap(box, size) for box in chosen)
        faults += [f"{where}: {fault}; correct it" for box in boxes[path] if (fault := box_fault(box, size))]
    return boxes


def frame_of(annotation: Annotation, source: AnnotationSource, image: Decoded) -> str:
    """Return which pixels of an image an annotation was drawn on: "upright" or "stored" ones."""
    if source.frame is not None:
        return source.frame
    stored = stored_size(image.size, image.orientation)
    return "stored" if annotation.size == stored != image.size else "upright"


def unknown_frames(
    annotated: Mapping[str, Annotation], source: AnnotationSource, decoded: Mapping[str, Decoded]
) -> list[str]:
    """Return the photographs with an EXIF turn and boxes of which nothing says on which pixels they were drawn."""
    turns = {path: decoded[path] for path in annotated if path in decoded and decoded[path].orientation != 1}
    return [
        path
        for path, image in turns.items()
        if source.frame is None
        and annotated[path].boxes
        and (annotated[path].size is None or stored_size(image.size, image.orientation) == image.size)
    ]


def divided(annotation: Annotation, marks: Sequence[str]) -> tuple[Annotation, Annotation]:
    """Return an annotation with the objects that have none of the marks, and with those that have one."""
    aside = {n for n, its in enumerate(annotation.marks) if its.intersection(marks)}
    counted = [n for n in range(len(annotation.boxes)) if n not in aside]
    return _chosen(annotation, counted), _chosen(annotation, sorted(aside))


def _chosen(annotation: Annotation, objects: Sequence[int]) -> Annotation:
    """Return an annotation with only the objects of these numbers."""
    return replace(
        annotation,
        boxes=tuple(annotation.boxes[n] for n in objects),
        names=tuple(annotation.names[n] for n in objects if annotation.names),
        marks=tuple(annotation.marks[n] for n in objects if annotation.marks),
        outlines=tuple(annotation.outlines[n] for n in objects if annotation.outlines),
    )


def _scaled(box: Box, size: tuple[int, int]) -> Box:
    # A tool that writes six digits misses the border by less than a pixel; six digits more than it read are no better.
    x0, y0, x1, y1 = (round(value * side, 4) for value, side in zip(box, (*size, *size), strict=True))
    return x0, y0, x1, y1


def renamed(annotation: Annotation, names: Mapping[str, str]) -> Annotation:
    """Return an annotation whose objects' names are replaced as `names` says."""
    new = {plain(old): name for old, name in names.items()}
    return replace(annotation, names=tuple(new.get(plain(name), name) for name in annotation.names))


def of_class(annotation: Annotation, label: str) -> Annotation:
    """Return an annotation with only the objects named like the image's class."""
    return _chosen(annotation, [n for n, name in enumerate(annotation.names) if plain(name) == plain(label)])


def _unlike(annotated: Mapping[str, Annotation], labels: Mapping[str, str]) -> list[str]:
    """Return a fault for each class whose images have named objects, but none of its name."""
    objects: dict[str, Counter[str]] = {}
    for path, annotation in annotated.items():
        objects.setdefault(labels[path], Counter()).update(annotation.names)
    faults = []
    for label, names in sorted(objects.items()):
        if names and plain(label) not in map(plain, names):
            usual = ", ".join(repr(name) for name, _ in names.most_common(3))
            near = difflib.get_close_matches(label, names, n=1) or [next(iter(names))]
            pair = f"{{{_as_yaml(near[0])}: {_as_yaml(label)}}}"
            faults.append(
                f"class {label!r}: no object in its images has this name, but they are {usual}; if {near[0]!r} is this"
                f" class, set data.annotations.names: {pair}, or if every object counts, names: any; or if the class"
                f" has no objects, without: [{_as_yaml(label)}]"
            )
    return faults


def _as_yaml(name: str) -> str:
    """Return a name as YAML has it: as it is where that is clear, else as JSON text, which is YAML too."""
    return name if re.fullmatch(r"[^\W\d][\w .-]*", name) and name.isprintable() else json.dumps(name)


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
    if max(box) <= 1 and not all(value == int(value) for value in box):
        return f"{text} is in fractions of the image, not in pixels"
    if min(x0, y0) < 0 or x1 > size[0] or y1 > size[1]:
        return f"{text} is outside its image of {size[0]} x {size[1]} pixels"
    return None
