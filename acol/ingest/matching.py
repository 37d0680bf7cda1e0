"""Which annotation or mask belongs to which image, and which class annotations give it."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from acol.data.images import as_line
from acol.ingest.annotations import Annotation, Format
from acol.ingest.findings import Findings
from acol.ingest.layout import Layout, Photo
from acol.ingest.names import clashes, normalised

Annotations = dict[str, Annotation]  # by the image's path, as the format has it

FEW = 0.1  # of the annotations, masks or images: if fewer fit, they belong to other images
# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD = re.compile("[0-9a-f]{8}-(?=.)")


def match_annotations(folder: Path, fmt: Format, layout: Layout) -> None:
    """Give each image its annotation, if it has one in `folder` or in a list beside it.

    Annotations whose image is not there are passed over, which is reported; where nearly none fits, the path is wrong.
    """
    for read in filter(None, (fmt.read, fmt.lists)):
        before = len(layout.findings.faults)
        annotations = _by_path(read(folder, layout.findings), layout.findings)
        if read is fmt.read and not annotations and len(layout.findings.faults) == before:
            layout.findings.fault(folder, "no annotation in it; correct data.annotations.path")
        if fmt.without_suffix:
            annotations = rekey_by_image(annotations, layout)
            pairs = pair_with_images(layout, annotations)
        else:
            pairs = {path: path for path in layout.photos if path in annotations}
        report_unmatched(annotations, pairs, layout)
        if not fmt.without_suffix:
            _follow_lists(annotations, layout)
        if read is fmt.lists and pairs:
            unlisted = [path for path, photo in layout.photos.items() if path not in pairs and not photo.split]
            _leave_out_unlisted(unlisted, layout)
        for path, key in pairs.items():
            photo = layout.photos[path]
            photo.annotation = _with_list(photo, annotations[key], layout)
            layout.findings.faults += annotations[key].faults
    if layout.by_folder:
        _check_labels(folder, layout)


def _by_path(annotations: Iterable[Annotation], findings: Findings) -> Annotations:
    """Return annotations by their images' paths; of two of one image, one's objects must be among the other's."""
    by_path: Annotations = {}
    for new in annotations:
        old = by_path.setdefault(new.path, new)
        if old is new:
            continue
        objects = [{(item.box, item.name) for item in annotation.objects} for annotation in (old, new)]
        if old.source == new.source:
            what = f"{as_line(new.path)} occurs twice; keep one entry"
            if old.image != new.image:
                what = f"{as_line(str(old.image))} and {as_line(str(new.image))} differ in the suffix alone; rename one"
            findings.fault(new.source, what)
        elif old.split != new.split or not (objects[0] <= objects[1] or objects[1] <= objects[0]):
            what = f"{as_line(new.path)} is in both, with other objects or splits; keep one of the two"
            findings.fault((old.source, new.source), what)
        elif len(new.objects) > len(old.objects):
            by_path[new.path] = new
    return by_path


def _with_list(photo: Photo, other: Annotation, layout: Layout) -> Annotation:
    """Return an image's annotation with the split, and the class, that a list, `other`, gives."""
    one = photo.annotation
    if not one.source:
        return other
    split, source = (one.split, as_line(one.source)) if one.split else (photo.split, "its folder's name")
    if split and split != other.split:
        both = f"{split} by {source}, but {other.split} by {as_line(other.source)}"
        layout.findings.fault(layout.base / photo.path, f"{both}; correct one of the two")
        return one
    return replace(one, split=other.split, label=one.label or other.label)


def _follow_lists(annotations: Annotations, layout: Layout) -> None:
    """Take no split from a folder's name where lists of whole paths give one: ILSVRC's test images lie in val.

    If they give train and another, an image that they do not name, in the folder of a split, is left out: OpenImages'
    masks lie beside its photographs.
    """
    splits = {path: annotation.split for path, annotation in annotations.items() if annotation.split}
    whole = {"train"} < {*splits.values()}
    for path, photo in layout.photos.items():
        if split := splits.get(path):
            if photo.split not in ("", split):
                layout.findings.remark(path, f"in {split} by its list, though its folder's name says {photo.split}")
            photo.split = ""
    if whole:
        _leave_out_unlisted([path for path, photo in layout.photos.items() if photo.split], layout)
    layout.splits = () if whole else layout.splits


def _leave_out_unlisted(paths: Sequence[str], layout: Layout) -> None:
    """Take the images that no list of splits names from the data set."""
    for path in paths:
        del layout.photos[path]
    layout.findings.remark(paths, "in none of the lists of splits: left out")


def report_unmatched(
    annotations: Annotations, pairs: Mapping[str, str], layout: Layout, noun: str = "annotation"
) -> None:
    """Report annotations that no image has; they are faults where nearly none fits, or of an image twice."""
    left, findings, base = sorted(set(annotations) - set(pairs.values())), layout.findings, as_line(layout.base)
    if len(pairs) < FEW * min(len(annotations), len(layout.photos)) or not pairs:
        real = [key for key in left if annotations[key].objects or not annotations[key].faults]
        for key in real or left:
            findings.faults += annotations[key].faults
            if not annotations[key].faults:
                what = f"no image {as_line(key)} in {base}; add the image or remove the {noun}"
                findings.fault(annotations[key].source, what)
        return
    whole = {PurePosixPath(key).name: path for path, key in pairs.items()}
    for key in left:
        annotation, path = annotations[key], whole.get(PurePosixPath(key).name, "")
        if path and f"/{(layout.base / path).with_suffix('')}".endswith(f"/{key}"):
            other = f"{as_line(pairs[path])!r} in {as_line(annotations[pairs[path]].source)}"
            what = f"{as_line(key)}: its image {as_line(path)} has another {noun}, {other}; keep one"
            findings.fault(annotation.source, what)
        elif annotation.faults and not annotation.objects:
            findings.remark(annotation.source, "no annotation, and no image has this name: passed over", "file")
        else:
            name = f"{key}{PurePosixPath(annotation.source).suffix}" if noun == "mask" else key
            findings.remark(name, f"no such image in {base}: passed over", noun)


def rekey_by_image(
    annotations: Annotations,
    layout: Layout,
    spellings: Callable[[str], list[str]] | None = None,
    twice: str = "both are of the image {}; keep one of the two",
) -> Annotations:
    """Return the annotations by new keys: one that fits no image gets the name of its image, as the annotation has it.

    `spellings` returns what an image's name may be of the one that a tool wrote. Where the annotation's own name fits
    an image, the name that it has inside does not count; that they differ is reported.
    """
    spellings = spellings or _spellings
    stems = {PurePosixPath(path).with_suffix("").as_posix() for path in layout.photos}
    by_name: dict[str, list[str]] = defaultdict(list)
    for stem in sorted(stems):
        name = unicodedata.normalize("NFC", PurePosixPath(stem).name)
        # Label Studio keeps letters, digits, "_", "-", "." of uploads' names; in flat folders, folders join the name.
        # A system that takes Cat.JPG for cat.jpg may have written either.
        plainer = re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))
        for spelling in {name, name.casefold(), plainer, stem.replace("/", "__")}:
            by_name[spelling].append(stem)
    known = {PurePosixPath(stem).name for stem in stems}
    renamed: Annotations = {}
    for key, annotation in annotations.items():
        own, inside = spellings(PurePosixPath(key).name), spellings(annotation.image or "")
        if key in stems or PurePosixPath(key).name in known:
            named = next((each for each in inside if each in by_name), own[0])
            what = "named like one image, with the name of another one inside; the first counts"
            layout.findings.remark([] if {*by_name[named]} & {*by_name[own[0]]} else key, what, "annotation")
        elif len(nearest := _nearest(key, next((by_name[n] for n in (own[0], *inside, *own) if n in by_name), ()))) > 1:
            both = " or ".join(as_line(layout.base / stem) for stem in nearest[:2])
            layout.findings.fault(annotation.source, f"its image may be {both}; give each image its own name")
            continue
        elif nearest:
            key = nearest[0]
        if key in renamed:
            layout.findings.fault((renamed[key].source, annotation.source), twice.format(as_line(key)))
        renamed[key] = annotation
    return renamed


def _spellings(name: str) -> list[str]:
    """Return the forms of a name: in one of Unicode's, without a tool's prefix, without a suffix."""
    names = [unicodedata.normalize("NFC", each) for each in (name, _UPLOAD.sub("", name, count=1))]
    names += [each.rpartition(".")[0] for each in names]
    return names + [each.casefold() for each in names]


def pair_with_images(layout: Layout, keys: Iterable[str]) -> dict[str, str]:
    """Pair image paths with keys, paths without suffix or bare names: of the same path, else name, in like folders."""
    pairs: dict[str, str] = {}
    for key, rivals in _takers(layout.photos, set(keys)).items():
        if len(rivals) > 1:
            both = tuple(layout.base / path for path in rivals[:2])
            layout.findings.fault(both, f"both match {as_line(key)!r}; give each image its own name or folder")
        for path in rivals:
            if path in pairs:
                what = f"matched by {as_line(pairs[path])!r} and {as_line(key)!r}"
                what = f"{what}; keep one of them, in a folder like the image's"
                layout.findings.fault(layout.base / path, what)
            pairs[path] = key
    return pairs


def _takers(paths: Iterable[str], keys: set[str]) -> dict[str, list[str]]:
    """Return the images that each key fits: the one with its path, or else those of its name in the nearest folders."""
    stems = {path: PurePosixPath(path).with_suffix("").as_posix() for path in paths}
    exact = keys & set(stems.values())
    by_name = defaultdict(list)
    for key in sorted(keys - exact):
        by_name[PurePosixPath(key).name].append(key)
    takers: dict[str, list[str]] = defaultdict(list)
    for path, stem in stems.items():
        for key in [stem] if stem in exact else _nearest(stem, by_name[PurePosixPath(stem).name]):
            takers[key].append(path)
    return {key: _nearest(key, rivals) for key, rivals in takers.items()}


def _nearest(path: str, others: Sequence[str]) -> list[str]:
    """Return those of some paths that share the most folders with `path`: train/images/1 and train/labels/1."""
    if len(others) < 2:
        return list(others)
    folders = set(PurePosixPath(path).parts[:-1])
    shared = [len(folders.intersection(PurePosixPath(other).parts[:-1])) for other in others]
    return [other for other, count in zip(others, shared, strict=True) if count == max(shared)]


def _check_labels(folder: Path, layout: Layout) -> None:
    """Note each pair of an annotated class and a class folder that contradicts the more frequent ones."""
    pairs: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    for photo in layout.photos.values():
        if photo.annotation.label is not None:
            pairs[photo.annotation.label, photo.label].append(photo)
    folder_of: dict[str, str] = {}
    class_of: dict[str, str] = {}
    for (number, label), photos in sorted(pairs.items(), key=lambda item: (-len(item[1]), str(item[0]))):
        usual_folder, usual_class = folder_of.setdefault(number, label), class_of.setdefault(label, number)
        if (usual_folder, usual_class) != (label, number):
            what = f"class {number!r} for images in {label!r} ({len(photos)}, e.g. {as_line(photos[0].path)})"
            usual = f"{usual_folder!r} is {number!r}" if usual_folder != label else f"{label!r} is {usual_class!r}"
            layout.findings.fault(folder, f"{what}, but elsewhere {usual}; correct the labels or move the images")


def label_images(layout: Layout) -> None:
    """Give each image the class of its annotation, its label or its largest object's name; remove those without one."""
    for photo in layout.photos.values():
        named = [item for item in photo.annotation.objects if item.name is not None]
        largest = max(named, key=lambda item: (item.box[2] - item.box[0]) * (item.box[3] - item.box[1]), default=None)
        photo.label = photo.annotation.label or (largest and largest.name) or ""
    without = [path for path, photo in layout.photos.items() if not photo.label]
    for path in without:
        del layout.photos[path]
    for one, other in clashes(photo.label for photo in layout.photos.values()):
        layout.findings.note(f"{one!r} and {other!r} are one class in two spellings")
    layout.findings.remark(without, "no object in an annotation, and so no class: left out")
    present = {photo.split for photo in layout.photos.values()}
    filled = tuple(split for split in layout.splits if split in present)
    layout.splits = filled if len(filled) > 1 else layout.splits  # images of a challenge's test have no class

    spelling: dict[str, str] = {}  # Cat and cat are one class
    for photo in layout.photos.values():
        photo.label = spelling.setdefault(normalised(photo.label), photo.label)
    labels = sorted(spelling.values())
    layout.folders.extend(("", label) for label in labels)
    if len(labels) < 2:
        have = f"only the class {labels[0]!r}" if labels else "no class"
        layout.findings.fault(layout.base, f"the annotations give {have}; at least two are needed")
