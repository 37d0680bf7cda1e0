"""A folder of labelled images, fully validated, as a manifest."""

import os
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import EXTENSIONS, as_line, is_image
from acol.data.manifest import SPLITS, Image, Manifest
from acol.data.mask_values import CONVENTIONS
from acol.errors import Faults, InputError, did_you_mean
from acol.ingest.annotations import CROWD, AnnotationSource
from acol.ingest.decoding import FileFacts, decode_all, decode_image
from acol.ingest.findings import Findings
from acol.ingest.folder_settings import FolderSettings, MaskSource
from acol.ingest.formats import FORMATS
from acol.ingest.formats.csv_rows import read_csv
from acol.ingest.layout import Layout, files_below, find_layout, find_unlabelled, folders_of_masks, subfolder
from acol.ingest.mask_files import read_listed_masks, read_masks, refuse_masks_among_images
from acol.ingest.matching import label_images, match_annotations
from acol.ingest.objects import assign_boxes, report_annotations, report_objects, select_objects
from acol.ingest.splits import assign_splits, report_near_duplicates


@dataclass(frozen=True)
class Reading:
    """A folder's manifest, its layout in words, and remarks; what is wrong with each left out image, by its path.

    `known` are the paths of the files that are no images and were read or are told of in a remark.
    """

    manifest: Manifest
    left_out: Mapping[str, str]
    layout: str
    remarks: tuple[str, ...] = ()
    known: Container[str] = ()

    def summary(self) -> str:
        """Return as text the layout, and how many images of each split a class has, and have boxes and masks."""
        images, classes = self.manifest.images, self.manifest.classes
        counts = Counter((image.label, image.split) for image in images)
        width = max(map(len, ("class", *classes)))
        meaning = f" ({self.manifest.mask_values})" if any(image.mask for image in images) else ""
        return "\n".join(
            [
                f"layout: {self.layout}",
                f"{'class':{width}}" + "".join(f"{split:>9}" for split in SPLITS),
                *(f"{label:{width}}" + "".join(f"{counts[label, split]:9}" for split in SPLITS) for label in classes),
                f"boxes: {_by_split([image for image in images if image.boxes is not None])}",
                f"masks: {_by_split([image for image in images if image.masked])}{meaning}",
                f"{len(classes)} classes: {_by_split([*images])}",
            ]
        )

    def warnings(self) -> list[str]:
        """Return a line for each image that was left out, and for each remark."""
        left_out = [f"left out: {path}: {reason}" for path, reason in self.left_out.items()]
        return left_out + [f"warning: {remark}" for remark in self.remarks]


def _by_split(images: list[Image]) -> str:
    """Return how many images of each split there are, such as "20 train, 5 test"."""
    counts = Counter(image.split for image in images)
    return ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split]) or "none"


def read_folder(
    root: str | Path,
    settings: FolderSettings = FolderSettings(),
    *,
    decode: Callable[[Path], FileFacts] = decode_image,
    **changes: Any,
) -> Reading:
    """Return the manifest of a folder of images, and what was left out of it.

    `changes` replace single `settings`: `read_folder("photos", seed=1)`. Every image and mask is decoded and every box
    checked. Where objects have names, only those of the image's own class count (`acol.ingest.objects.assign_boxes`).
    `decode` returns an image's facts; one that remembers them lets several attempts decode a folder once.

    Raises `Faults` with every fault of the folder, and `InputError` if the folder or the format does not exist.

    >>> read_folder("photos").manifest.classes
    ('disc', 'square')
    """
    # The folders, and the format of the annotations. What is wrong with the rest is collected.
    root, settings = Path(root), replace(settings, **changes)
    annotations, masks, findings = settings.annotations, settings.mask_source, Findings()
    base = subfolder(root, settings.images, "images")
    mask_folders = _mask_folders(root, masks, base)
    if annotations and annotations.format not in FORMATS:
        near = did_you_mean(annotations.format, FORMATS)
        raise InputError(f"data.annotations.format: unknown format {annotations.format!r}; {near}")
    if annotations and annotations.columns and annotations.format != "csv":
        findings.fault("data.annotations.columns", "only CSV has columns; remove the setting")

    # Which files are images, and of which class. Folders of annotations and masks may lie among the class folders.
    others = [*mask_folders, *_without_images(root, annotations)]
    if settings.label_from == "folder":
        layout = find_layout(base, others, settings.classes, findings)
    else:
        layout = find_unlabelled(base, others, findings)
        if settings.classes:
            findings.note("data.classes: without effect: annotations give the classes")

    # What each image file holds.
    _decode(layout, decode, leave_out=settings.unreadable == "leave_out")

    # Annotations of left-out images are read too; otherwise they would be reported as annotations without an image.
    if annotations:
        _annotate(root, annotations, layout, settings.classes, outlines=masks is None)
    else:
        refuse_masks_among_images(layout, settings.classes)
    described = assign_splits(layout, settings)

    # Masks are compared with the size and EXIF orientation of their photographs. Then all faults are raised at once.
    values = CONVENTIONS["voc"]
    if masks:
        values = (read_listed_masks if masks.list else read_masks)(root, mask_folders, masks, layout)
    if findings.faults:
        raise Faults(list(dict.fromkeys(findings.faults)))

    # What the user should know, though nothing is wrong.
    photos = layout.kept
    sources = findings.read.union(photo.annotation.source for photo in layout.photos.values())
    ignored = [path for path in layout.ignored if str(base / path) not in sources]
    known = sources.union(str(base / path) for path in ignored)
    unnamed = {path for path in ignored if is_image(base / path)}
    findings.remark(unnamed, "an image without the suffix of one, and so ignored; rename it to read it", "file")
    findings.remark([path for path in ignored if path not in unnamed], "no image, and so ignored", "file")
    hidden = [file for path in findings.hidden for file in (path, *files_below(path, EXTENSIONS))]
    paths = [os.path.relpath(file, base) for file in hidden if file.suffix.lower() in EXTENSIONS]
    findings.remark(paths, "hidden by a dot in front of a name, and so ignored")
    report_objects(photos, findings)
    report_near_duplicates(photos, findings)
    for photo in photos:
        if photo.facts.doubt:
            findings.remark(photo.path, photo.facts.doubt)

    folder = PurePosixPath(settings.images)  # the manifest's paths are relative to the root
    images = [
        Image(str(folder / one.path), one.label, one.split, one.facts.sha256, *one.facts.size, one.boxes, **one.masks)
        for one in photos
    ]
    manifest = Manifest(root, tuple(sorted({image.label for image in images})), tuple(images), values)
    left_out = {
        str(folder / photo.path): photo.facts.fault.removeprefix(f"{as_line(base / photo.path)}: ")
        for photo in layout.photos.values()
        if photo.left_out
    }
    return Reading(manifest, left_out, described, tuple(findings.remarks), known)


def _decode(layout: Layout, decode: Callable[[Path], FileFacts], leave_out: bool) -> None:
    """Decode every image whole, since a broken one would stop a training hours later; it is left out, or a fault."""
    files = [layout.base / path for path in layout.photos]
    for photo, facts in zip(layout.photos.values(), decode_all(files, decode, "check images"), strict=True):
        photo.facts, photo.left_out = facts, leave_out and bool(facts.fault)
        layout.findings.faults += [facts.fault] if facts.fault and not leave_out else []


def _annotate(root: Path, source: AnnotationSource, layout: Layout, classes: Sequence[str], *, outlines: bool) -> None:
    """Give the images their annotations, and by these their boxes, with `outlines` masks, and perhaps classes."""
    fmt = FORMATS[source.format]
    if source.columns and source.format == "csv":
        fmt = replace(fmt, read=partial(read_csv, columns=source.columns))
    if fmt.without_suffix:
        refuse_masks_among_images(layout, classes)
    match_annotations(root / source.path, fmt, layout)
    if not fmt.without_suffix:  # its lists have left out what they do not name, such as OpenImages' masks
        refuse_masks_among_images(layout, classes)
    every = [photo.annotation for photo in layout.photos.values()]
    marks = (*(fmt.leaves_out if source.leave_out is None else source.leave_out), CROWD)
    for photo in layout.photos.values():
        photo.annotation = select_objects(photo.annotation, source.renames, marks)
    if not layout.by_folder:
        label_images(layout)

    # Images of some classes have no objects, whatever is annotated in them.
    for name in sorted(set(source.without) - {photo.label for photo in layout.photos.values()}):
        layout.findings.fault(f"data.annotations.without: {as_line(name)}", "no such class; correct it")
    for photo in layout.photos.values():
        if photo.label in source.without:
            photo.annotation = replace(photo.annotation, objects=(), size=None)
    assign_boxes(root / source.path, layout, source, fmt, outlines)
    if not outlines:
        both = [path for path, photo in layout.photos.items() if any(item.outline for item in photo.annotation.objects)]
        layout.findings.remark(both, "outlines in the annotations without effect: the files in data.masks count")
    report_annotations(layout, source, every)


def _without_images(root: Path, source: AnnotationSource | None) -> list[Path]:
    """Return the place of annotations, if it is a file, or a folder without images."""
    place = root / source.path if source else root
    return [] if os.path.isdir(place) and any(files_below(place, EXTENSIONS)) else [place]


def _mask_folders(root: Path, masks: MaskSource | None, images: Path) -> list[Path]:
    """Return the folders of masks: the one that is set, or if it holds the `images` too, those in it that say so."""
    folder = subfolder(root, masks.path, "masks") if masks else root
    if masks is None or masks.list is not None or not images.is_relative_to(folder):
        return [folder] if masks else []
    named = folders_of_masks(PurePosixPath(file.relative_to(folder)) for file in files_below(folder, EXTENSIONS))
    folders = [folder / place for place in named if not images.is_relative_to(folder / place)]
    if len(folders) < 2:
        what = "data.masks holds the images too; move the masks into a folder of their own, with the images' folders"
        raise InputError(f"{as_line(folder)}: {what} in it, and name that")
    return folders
