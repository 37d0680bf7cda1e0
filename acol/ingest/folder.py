"""A folder of labelled images, fully validated, as a manifest."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import shown
from acol.data.manifest import Box, Image, Manifest
from acol.data.mask_values import CONVENTIONS
from acol.errors import Faults, InputError, did_you_mean
from acol.ingest.annotations import CROWD, Annotation, AnnotationSource, Format
from acol.ingest.decoding import Decoded, decode_all, decode_image
from acol.ingest.folder_settings import FolderSettings, MaskSource
from acol.ingest.formats import FORMATS
from acol.ingest.labels import label_images
from acol.ingest.layout import find_images, find_layout, subfolder
from acol.ingest.mask_files import Masks, checked_masks, listed_masks, masks_among_images
from acol.ingest.matching import match
from acol.ingest.objects import checked_boxes, divided, renamed, unknown_frames
from acol.ingest.outlines import Rles, checked_outlines
from acol.ingest.remarks import on_annotations, on_colours, on_layout, on_objects, on_outlines, on_settings, on_twins
from acol.ingest.splits import complete_splits, describe, given_splits


@dataclass(frozen=True)
class LeftOut:
    """An unreadable image that is not in the manifest: its path relative to the root, and what is wrong with it."""

    path: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """The result of reading a folder: its manifest, the images left out of it, its layout in words, and warnings."""

    manifest: Manifest
    left_out: list[LeftOut]
    layout: str
    remarks: tuple[str, ...] = ()


def read_folder(
    root: str | Path,
    settings: FolderSettings = FolderSettings(),
    *,
    decode: Callable[[Path], Decoded] = decode_image,
    **changes: Any,
) -> Reading:
    """Return the manifest of a folder of images, and what was left out of it.

    `changes` replace single `settings`: `read_folder("photos", seed=1)`. Every image and mask is decoded and every box
    checked. Not every image needs boxes. Where objects have names, only those of the image's own class count
    (`acol.ingest.objects.checked_boxes`). `decode` returns an image's facts; one that remembers them lets several
    attempts at a folder decode it once.

    Raises `Faults` with every fault of the folder, and `InputError` if the folder or the format does not exist.

    >>> read_folder("photos").manifest.classes
    ('disc', 'square')
    """
    # The folders, and the format of the annotations. What is wrong with the rest is collected.
    root, settings = Path(root), replace(settings, **changes)
    annotations, masks, classes = settings.annotations, settings.mask_source, settings.classes
    base = subfolder(root, settings.images, "images")
    mask_folder = _mask_folder(root, masks, base)
    form = _format(annotations)
    faults: list[str] = []

    # Which files are images, and of which class. Folders of annotations and masks may lie among the class folders.
    others = [folder for folder in (mask_folder, root / annotations.path if annotations else None) if folder]
    by_folder = settings.label_from == "folder"
    layout = find_layout(base, others, classes, faults) if by_folder else find_images(base, others, faults)
    remarks = on_layout(layout)

    # Every image is decoded whole, since a broken one would stop a training hours later.
    decoded, failures = decode_all({path: base / path for path in layout.labels}, decode, "check images")
    if settings.unreadable == "stop":
        faults += failures.values()
    faults += masks_among_images(layout, decoded)

    # Annotations of left-out images are read too; otherwise they would be reported as annotations without an image.
    annotated: dict[str, Annotation] = {}
    objects: dict[str, Annotation] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    outlines: dict[str, Rles] = {}
    if annotations and form:
        marks = (*(form.leaves_out if annotations.leave_out is None else annotations.leave_out), CROWD)
        found = match(root / annotations.path, form, layout, faults, remarks)
        divisions = {path: divided(renamed(its, annotations.renames), marks) for path, its in found.items()}
        annotated = {path: counted for path, (counted, _) in divisions.items()}
        aside = {path: left for path, (_, left) in divisions.items()}
        if not by_folder:
            remarks += label_images(layout, annotated, faults)
            annotated = {path: annotation for path, annotation in annotated.items() if path in layout.labels}
        absent = set(annotations.without) - set(layout.labels.values())
        faults += [f"data.annotations.without: {shown(name)}: no such class; correct it" for name in sorted(absent)]
        objects = {path: its for path, its in annotated.items() if layout.labels[path] not in annotations.without}
        boxes = checked_boxes(objects, annotations, form, layout.labels, decoded, faults)
        if mask_folder is None:
            outlines = checked_outlines(objects, aside, annotations, layout.labels, decoded, faults)
        else:
            remarks += on_outlines(objects)
        remarks += on_objects(aside, unknown_frames(objects, annotations, decoded))
        turned = any(path in decoded and decoded[path].orientation != 1 for path in annotated)
        remarks += on_settings(annotations, found, turned)
    if classes and not by_folder:
        remarks.append("data.classes: without effect: annotations give the classes")
    labels = layout.labels
    if settings.unreadable == "leave_out":
        labels = {path: label for path, label in labels.items() if path in decoded}

    # With "stop" an unreadable image stays in the split, so that it causes no further faults.
    contents = {path: decoded[path].sha256 if path in decoded else path for path in labels}
    given = given_splits(layout, form, annotated, settings.test_from, faults)
    groups = _groups(settings.group_by, labels, remarks)
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits = complete_splits(layout, given, labels, contents, groups, fractions, settings.seed, faults)

    # What the user should know, though nothing is wrong.
    used = {annotation.source for annotation in annotated.values()}
    ignored = [path for path in layout.ignored if str(base / path) not in used]
    remarks += on_annotations(objects, boxes, {path: splits.get(path, "") for path in labels}, ignored)
    remarks += on_twins(decoded, splits, groups)
    remarks += on_colours(decoded)

    # Masks are compared with the size and EXIF orientation of their photographs. Then all faults are told at once.
    masked = Masks({}, CONVENTIONS["voc"], [])
    if masks and mask_folder and masks.list:
        masked = listed_masks(mask_folder, root / masks.list, layout, labels, decoded, faults, masks.frame)
    elif masks and mask_folder:
        masked = checked_masks(mask_folder, masks.meaning, layout, labels, decoded, faults, masks.frame)
    if faults:
        raise Faults(faults)

    entries = (
        Image(
            path=PurePosixPath(settings.images, path).as_posix(),
            label=label,
            split=splits[path],
            sha256=decoded[path].sha256,
            width=decoded[path].size[0],
            height=decoded[path].size[1],
            boxes=boxes.get(path),
            **_masks_of(path, masked, outlines, root),
        )
        for path, label in labels.items()
    )
    manifest = Manifest(root, tuple(sorted(set(labels.values()))), tuple(entries), masked.values)
    left_out = [
        LeftOut(PurePosixPath(settings.images, path).as_posix(), fault.removeprefix(f"{layout.shown(path)}: "))
        for path, fault in failures.items()
    ]
    return Reading(manifest, left_out, describe(layout, given), (*remarks, *masked.remarks))


def _mask_folder(root: Path, masks: MaskSource | None, images: Path) -> Path | None:
    """Return the folder of masks, if there is one; where no list names them, it must not hold the `images` too."""
    folder = subfolder(root, masks.path, "masks") if masks else None
    if masks and folder and masks.list is None and images.is_relative_to(folder):
        what = "data.masks holds the images too; move the masks into a folder of their own, with the images' folders"
        raise InputError(f"{shown(folder)}: {what} in it, and name that")
    return folder


def _masks_of(path: str, masked: Masks, outlines: Mapping[str, Rles], root: Path) -> dict[str, Any]:
    """Return what an `Image` has of its masks: files, or encoded outlines."""
    if path in outlines:
        mask, ignored = outlines[path]
        return {"mask_rle": mask, "ignore_rle": ignored}
    if path not in masked.files:
        return {}
    files = masked.files[path]
    first, *more = (file.relative_to(root).as_posix() for file in files.masks)
    ignored = None if files.ignored is None else files.ignored.relative_to(root).as_posix()
    facts = {"mask": first, "mask_sha256": files.sha256, "more_masks": tuple(more), "ignore_mask": ignored}
    return facts | {"mask_turn": files.turn}


def _groups(pattern: str | None, labels: Mapping[str, str], remarks: list[str]) -> dict[str, str]:
    """Return the group of each image that `pattern` finds one for; raises `InputError` for an impossible pattern."""
    if pattern is None:
        return {}
    try:
        found = {path: re.search(pattern, path) for path in labels}
    except re.error as error:
        raise InputError(f"group_by {pattern!r}: not a regular expression ({error}); correct it") from None
    groups = {
        path: f"{labels[path]}/{match[1] if match.re.groups else match[0]}" for path, match in found.items() if match
    }
    if len(set(groups.values())) == len(groups):
        remarks.append(f"data.group_by: {shown(pattern)!r} without effect: it joins no two images")
    return groups


def _format(source: AnnotationSource | None) -> Format | None:
    if source and source.format not in FORMATS:
        near = did_you_mean(source.format, FORMATS)
        raise InputError(f"data.annotations.format: unknown format {source.format!r}; {near}")
    return FORMATS[source.format] if source else None
