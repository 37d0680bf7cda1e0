"""Which annotation or mask belongs to which image."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from acol.data.images import shown
from acol.ingest.annotations import Annotation, Format
from acol.ingest.layout import Layout


def match(folder: Path, form: Format, layout: Layout, faults: list[str]) -> dict[str, Annotation]:
    """Return path -> annotation, for the images that have one in `folder`."""
    annotations, own_faults = form.read(folder)
    faults += own_faults
    if form.without_suffix:
        annotations = _by_image_name(annotations, layout)
        pairs = pair(layout, annotations, faults)
    else:
        pairs = {path: path for path in layout.labels if path in annotations}
    for key in sorted(set(annotations) - set(pairs.values())):
        what = f"{shown(annotations[key].source)}: no image {shown(key)} in {shown(layout.base)}"
        faults.append(f"{what}; add the image or remove the annotation")
    matched = {path: annotations[key] for path, key in pairs.items()}
    if layout.by_folder:
        faults += _inconsistent_labels(folder, matched, layout.labels)
    return matched


# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD = re.compile("[0-9a-f]{8}-(?=.)")


def _by_image_name(annotations: Mapping[str, Annotation], layout: Layout) -> dict[str, Annotation]:
    """Return the annotations by new keys: one that fits no image gets the name of its image, as the annotation has it.

    The name may have been given a suffix or a prefix by the tool, or be in another of Unicode's forms.
    """
    stems = {PurePosixPath(path).with_suffix("").as_posix() for path in layout.labels}
    plain = {unicodedata.normalize("NFC", PurePosixPath(stem).name): stem for stem in stems}
    known = {PurePosixPath(stem).name for stem in stems}
    found: dict[str, Annotation] = {}
    for key, annotation in annotations.items():
        name = PurePosixPath(key).name
        if key not in stems and name not in known:
            candidates = [annotation.image or "", name]
            candidates += [_UPLOAD.sub("", each, count=1) for each in candidates]
            candidates = [unicodedata.normalize("NFC", each) for each in candidates]
            candidates += [each.rpartition(".")[0] for each in candidates]
            key = next((plain[each] for each in candidates if each in plain), key)
        found[key if key not in found else name] = annotation  # a second one for an image: told as one without an image
    return found


def pair(layout: Layout, keys: Iterable[str], faults: list[str]) -> dict[str, str]:
    """Pair image paths with keys. A key is a path without suffix, or a bare file name if only one image has it."""
    pairs: dict[str, str] = {}
    for key, rivals in _takers(layout.labels, set(keys)).items():
        if len(rivals) > 1:
            both = " and ".join(layout.shown(path) for path in rivals[:2])
            faults.append(f"{both}: both match {shown(key)!r}; give each image its own name or folder")
        for path in rivals:
            if path in pairs:
                what = f"{layout.shown(path)}: matched by {shown(pairs[path])!r} and {shown(key)!r}"
                faults.append(f"{what}; keep one of them, in a folder like the image's")
            pairs[path] = key
    return pairs


def _takers(paths: Iterable[str], keys: set[str]) -> dict[str, list[str]]:
    """Return the images that each key fits: the one with its path, or else all with its file name."""
    stems = {path: PurePosixPath(path).with_suffix("").as_posix() for path in paths}
    exact = keys & set(stems.values())
    by_name = defaultdict(list)
    for key in sorted(keys - exact):
        by_name[PurePosixPath(key).name].append(key)
    takers = defaultdict(list)
    for path, stem in stems.items():
        for key in [stem] if stem in exact else by_name[PurePosixPath(stem).name]:
            takers[key].append(path)
    return takers


def _inconsistent_labels(folder: Path, annotated: Mapping[str, Annotation], labels: Mapping[str, str]) -> list[str]:
    """Return a fault for each pair of an annotated class and a class folder that contradicts the more frequent ones."""
    pairs = Counter((a.label, labels[path]) for path, a in annotated.items() if a.label is not None)
    folder_of: dict[str | None, str] = {}
    class_of: dict[str, str | None] = {}
    faults = []
    for (number, label), count in sorted(pairs.items(), key=lambda found: (-found[1], str(found[0]))):
        usual_folder, usual_class = folder_of.setdefault(number, label), class_of.setdefault(label, number)
        if (usual_folder, usual_class) != (label, number):
            example = next(path for path, a in annotated.items() if (a.label, labels[path]) == (number, label))
            what = f"class {number!r} for images in {label!r} ({count}, e.g. {shown(example)})"
            usual = f"{usual_folder!r} is {number!r}" if usual_folder != label else f"{label!r} is {usual_class!r}"
            faults.append(f"{shown(folder)}: {what}, but elsewhere {usual}; correct the labels or move the images")
    return faults
