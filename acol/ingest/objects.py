"""An image's boxes and masks: which of its annotation's objects count, and whether they lie in the image."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from acol.data.images import as_line, upright
from acol.data.manifest import Box
from acol.data.masks import decode_rle, encode_rle
from acol.errors import InputError
from acol.ingest.annotations import Annotation, AnnotationSource, BoxForm, Format, Object, Polygons, RunLengths
from acol.ingest.box_checks import BoxInImage, box_fault, counting_doubts, reading_fault, snap
from acol.ingest.decoding import FileFacts, Frame
from acol.ingest.findings import Findings
from acol.ingest.layout import Layout, Photo
from acol.ingest.names import normalised

_Checked = tuple[BoxForm | None, BoxInImage, str | None]  # how a box was read, the box, and what is wrong with it


def assign_boxes(place: Path, layout: Layout, source: AnnotationSource, fmt: Format, outlines: bool) -> None:
    """Give each image its boxes in pixels of the upright image, and its masks where all of its objects have outlines.

    Only objects that are named like the image's class count, in any spelling (`acol.ingest.names.normalised`), unless
    objects have no names or `source.any_object` is set. An image without such an object has no boxes. A class whose
    name no object has is a fault. Within the outlines of objects that do not count, pixels are ignored. There are no
    masks without `outlines`. The annotations are of the file or folder `place`.
    """
    findings = layout.findings
    if not source.any_object:
        _check_names(layout)
    checked: list[_Checked] = []
    for photo in layout.photos.values():
        annotation, image, where = photo.annotation, photo.facts, f"{photo.annotation.source}: {photo.path}"
        if image.fault:  # already reported
            continue

        # On a frame of another size, boxes would lie elsewhere.
        frame, _ = image.frame(annotation.size, source.frame)
        size = image.size_of(frame)
        if annotation.size and annotation.size != size:
            declared = f"annotated as {annotation.size[0]} x {annotation.size[1]} pixels"
            own = f"but the {frame} image is {size[0]} x {size[1]}"
            findings.fault(where, f"{declared}, {own}; annotate it again")
            continue
        if annotation.names and not source.any_object:
            annotation = select_class(annotation, photo.label)
        if not annotation.objects:
            continue

        # Boxes are checked where they are used, upright; a misreading shows in them as they were written.
        boxes = _in_pixels(annotation, size)
        upright_boxes = [_upright(box, image, frame) for box in boxes]
        photo.boxes = tuple(box if fmt.exact else snap(box, image.size) for box in upright_boxes)
        wrong = (box_fault(box, image.size) for box in photo.boxes)
        faults = [fault and f"{as_line(where)}: {fault}; correct it" for fault in wrong]
        findings.faults += filter(None, faults)
        checked += [(annotation.reading, (box, size), fault) for box, fault in zip(boxes, faults, strict=True)]
        try:
            photo.masks = _masks(annotation, image, frame) if outlines else {}
        except InputError as error:
            findings.fault(where, f"{error}; correct it")

    # What all boxes say together.
    _check_readings(place, checked, findings)
    for doubt in counting_doubts([box for _, box, _ in checked], fmt.first_pixel):
        findings.note(f"{as_line(place)}: {doubt}")


def _check_readings(place: Path, boxes: Sequence[_Checked], findings: Findings) -> None:
    """Where all boxes were read wrongly, put this as one fault in the place of those of single boxes."""
    for reading in dict.fromkeys(reading for reading, _, fault in boxes if fault):
        of_reading = [(box, fault) for other, box, fault in boxes if other == reading]
        if reading and (joint := reading_fault([box for box, _ in of_reading], reading)):
            single = {fault for _, fault in of_reading}
            findings.faults = [fault for fault in findings.faults if fault not in single]
            findings.fault(place, joint)


def select_objects(annotation: Annotation, names: Mapping[str, str], marks: Collection[str]) -> Annotation:
    """Return an annotation whose objects are renamed as `names` says, those with one of the marks aside."""
    new = {normalised(old): name for old, name in names.items()}
    objects = [
        replace(o, name=new.get(normalised(o.name), o.name)) if new and o.name else o for o in annotation.objects
    ]
    kept, aside = (tuple(o for o in objects if o.marks.isdisjoint(marks) == keep) for keep in (True, False))
    return replace(annotation, objects=kept, aside=aside)


def select_class(annotation: Annotation, label: str) -> Annotation:
    """Return an annotation with only the objects named like the image's class."""

    def of_class(objects: Iterable[Object]) -> tuple[Object, ...]:
        return tuple(item for item in objects if normalised(item.name or "") == normalised(label))

    return replace(annotation, objects=of_class(annotation.objects), aside=of_class(annotation.aside))


def _check_names(layout: Layout) -> None:
    """Note each class whose images have named objects, but none of its name."""
    objects: dict[str, Counter[str]] = {}
    for photo in layout.photos.values():
        objects.setdefault(photo.label, Counter()).update(photo.annotation.names)
    for label, names in sorted(objects.items()):
        if names and normalised(label) not in map(normalised, names):
            usual = ", ".join(repr(name) for name, _ in names.most_common(3))
            near = difflib.get_close_matches(label, names, n=1) or [next(iter(names))]
            pair = f"{{{_as_yaml(near[0])}: {_as_yaml(label)}}}"
            layout.findings.fault(
                f"class {label!r}",
                f"no object in its images has this name, but they are {usual}; if {near[0]!r} is this class, set"
                f" data.annotations.names: {pair}, or if every object counts, names: any; or if the class has no"
                f" objects, without: [{_as_yaml(label)}]",
            )


def _as_yaml(name: str) -> str:
    """Return a name as YAML has it: as it is where that is clear, else as JSON text, which is YAML too."""
    return name if re.fullmatch(r"[^\W\d][\w .-]*", name) and name.isprintable() else json.dumps(name)


def _in_pixels(annotation: Annotation, size: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes of an image of (width, height) in pixels."""
    if not annotation.fractions:
        return annotation.boxes
    # A tool that writes six digits misses the border by less than a pixel; six more than it read are no better.
    width, height = size
    pixels = ((x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in annotation.boxes)
    return tuple((round(x0, 4), round(y0, 4), round(x1, 4), round(y1, 4)) for x0, y0, x1, y1 in pixels)


def _upright(box: Box, image: FileFacts, frame: Frame) -> Box:
    """Return a box on the pixels of `frame` as one on the upright pixels."""
    x0, y0, x1, y1 = box
    turn = image.orientation if frame == "stored" else 1  # EXIF 2.32, tag 274
    if turn in (5, 6, 7, 8):
        x0, y0, x1, y1 = y0, x0, y1, x1
    if turn in (2, 3, 6, 7):
        x0, x1 = image.size[0] - x1, image.size[0] - x0
    if turn in (3, 4, 7, 8):
        y0, y1 = image.size[1] - y1, image.size[1] - y0
    return x0, y0, x1, y1


def _masks(annotation: Annotation, image: FileFacts, frame: Frame) -> dict[str, str | None]:
    """Return what an image of the manifest has of its objects' outlines; nothing if one of them has none."""
    size = image.size_of(frame)

    def merged(objects: Iterable[Object]) -> str | None:
        parts = [_filled(item.outline, size, annotation.fractions) for item in objects if item.outline]
        turn = image.orientation if frame == "stored" else None
        return encode_rle(upright(np.any(parts, axis=0), turn)) if np.any(parts) else None

    mask, ignore = merged(annotation.objects), merged(annotation.aside)
    complete = mask is not None and all(item.outline for item in annotation.objects)
    return {"mask_rle": mask, "ignore_rle": ignore} if complete else {}


def _filled(outline: Polygons | RunLengths, size: tuple[int, int], fractions: bool) -> NDArray[np.bool_]:
    """Return an outline as a mask (H, W) of an image of (width, height). Raises `InputError` if it is none."""
    width, height = size
    if isinstance(outline, RunLengths):
        if outline.size != size:
            own = f"{outline.size[0]} x {outline.size[1]}"
            raise InputError(f"an RLE of {own} pixels, but its image is {width} x {height}")
        return decode_rle(outline.counts, size)
    parts = []
    for polygon in outline:
        with np.errstate(over="ignore"):  # an infinite point is refused below
            points = np.array(polygon).reshape(-1, 2) * (size if fractions else (1, 1))
        if not (np.isfinite(points).all() and (points > -2).all() and (points < np.array(size) + 2).all()):
            raise InputError("a polygon that leaves its image")
        parts.append(points.ravel().tolist())
    return decode_rle(coco.merge(coco.frPyObjects(parts, height, width))["counts"].decode("ascii"), size)


def report_annotations(layout: Layout, source: AnnotationSource, every: Iterable[Annotation]) -> None:
    """Report which objects do not count, which boxes may be turned, and which settings change no annotation of all."""
    findings, photos = layout.findings, layout.photos.values()
    counts = Counter(mark for photo in photos for item in photo.annotation.aside for mark in item.marks)
    for mark, count in sorted(counts.items()):
        findings.note(f"objects marked as {mark} do not count: {count}")

    # Photographs with an EXIF orientation, of which nothing says on which pixels their boxes were drawn.
    turned = [photo for photo in photos if photo.annotation.source and photo.facts.orientation != 1]
    drawn = [(photo, photo.annotation.size) for photo in turned if photo.annotation.objects]
    unknown = [photo.path for photo, size in drawn if photo.facts.frame(size, source.frame)[1]]
    what = "an EXIF orientation, and nothing says if their boxes were drawn on the upright or the stored pixels"
    findings.remark(unknown, f"{what}; taken as upright; data.annotations.frame decides", "photograph")

    # Settings that change nothing.
    names = {normalised(name) for annotation in every for name in annotation.names}
    marks = {mark for annotation in every for item in annotation.objects for mark in item.marks}
    without: list[tuple[str, Sequence[str], str]] = [
        ("names", [name for name in source.renames if normalised(name) not in names], "no object has this name"),
        ("leave_out", [mark for mark in source.leave_out or () if mark not in marks], "no object is marked so"),
        ("frame", [source.frame] if source.frame and not turned else [], "no annotated image has an EXIF orientation"),
    ]
    for key, values, why in without:
        if values:
            findings.note(f"data.annotations.{key}: {', '.join(map(repr, values))} without effect: {why}")


def report_objects(photos: Sequence[Photo], findings: Findings) -> None:
    """Report test images without a box, where others have one, boxes that occur twice, and objects of other classes."""
    without = [photo for photo in photos if not photo.boxes]
    scored = [photo.path for photo in without if photo.split == "test"] if len(without) < len(photos) else ()
    findings.remark(scored, "no annotated object of the class; these test images have no part in box scores")
    other = [photo.path for photo in without if photo.annotation.names]
    findings.remark(other, "objects of other classes only, and so no box of the image's own class")
    twice = [photo.path for photo in photos if photo.boxes and len({*photo.boxes}) < len(photo.boxes)]
    findings.remark(twice, "the same box twice or more often; it is kept as often")
    several = [photo.path for photo in photos if len(set(map(normalised, photo.annotation.names))) > 1]
    findings.remark(several, "objects of several classes; an image counts for one class only")
