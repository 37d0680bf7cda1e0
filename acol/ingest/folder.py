"""A folder of labelled photographs, validated whole, as a manifest."""

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Literal

from tqdm import tqdm

from acol.data.images import EXTENSIONS, read_image, read_mask, shown
from acol.data.manifest import SPLITS, Box, Image, Manifest
from acol.errors import Faults, InputError
from acol.files import sha256
from acol.ingest.annotations import (
    Annotation,
    AnnotationSource,
    box_fault,
    of_class,
    read_cub,
    read_voc,
    read_wsol,
    snap,
)
from acol.ingest.split import stratified_split

# What people call a split; only the names in SPLITS are taken, since a wrong guess would test on validation images.
_LOOK_ALIKES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
_LITTER = {"thumbs.db", "desktop.ini"}  # beside the hidden files that systems leave in folders
_IMPORTERS = {"voc": read_voc, "wsol": read_wsol, "cub": read_cub}


@dataclass(frozen=True)
class LeftOut:
    """An unreadable image that is not in the manifest: its path relative to the root, and what is wrong with it."""

    path: str
    reason: str


@dataclass(frozen=True)
class _Layout:
    """The images of a folder: path (relative to it) -> class, and path -> split where there are folders of splits.

    `folders` are all class folders as (split or None, class), the empty ones too; `splits` those that have a folder.
    """

    labels: dict[str, str]
    splits_of: dict[str, str]
    folders: list[tuple[str | None, str]]
    splits: tuple[str, ...]


@dataclass(frozen=True)
class _Decoded:
    """What a readable file told: the hash of its bytes, its (width, height) upright, and whether all of it is 0."""

    sha256: str
    size: tuple[int, int]
    blank: bool = False


def read_folder(
    root: str | Path,
    *,
    images: str = ".",
    annotations: AnnotationSource | None = None,
    masks: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    unreadable: Literal["stop", "leave_out"] = "stop",
) -> tuple[Manifest, list[LeftOut]]:
    """Return the manifest of a folder of images, and the images that were left out of it.

    `images` (relative to `root`) holds either a folder for each class, which are split here: `test_fraction` and
    `val_fraction` of each class's images; or the folders train, test and maybe val, each holding a folder for each
    class. A missing val is `val_fraction` of each class in train, also beside CUB-200-2011's own train and test.
    Paths in annotation files are relative to `images`. `masks` (relative to `root`) mirrors the images' paths, with
    suffix .png; not every image needs a mask.

    Every image and mask is decoded and every box checked. With `unreadable="leave_out"` an image that cannot be
    decoded is left out, with its annotation, and does not count as a fault. VOC and CUB-200-2011 must have boxes for
    every image, wsolevaluation's format for every test image. Of VOC's objects those named like the image's class
    count; where no object anywhere is named like any class, all count.

    Raises `Faults` listing every fault of the folder, and `InputError` where there is no such folder at all.
    """
    root = Path(root)
    base = _subfolder(root, images, "images")
    mask_folder = _subfolder(root, masks, "masks") if masks else None
    faults: list[str] = []

    others = [mask_folder] if mask_folder else []
    layout = _find(base, others + ([root / annotations.path] if annotations else []), faults)
    decoded, failures = _decode_all({path: base / path for path in layout.labels}, _decode_image, "check images")
    labels = layout.labels
    left_out: list[LeftOut] = []
    if unreadable == "leave_out":
        labels = {path: label for path, label in labels.items() if path in decoded}
        for path, fault in failures.items():
            reason = fault.removeprefix(f"{shown(base / path)}: ")
            left_out.append(LeftOut(PurePosixPath(images, path).as_posix(), reason))
    else:
        faults += failures.values()

    annotated: dict[str, Annotation] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    splits, split_names = dict(layout.splits_of), layout.splits
    if annotations:
        annotated = _match(root / annotations.path, annotations.format, base, layout, faults)
        boxes = _checked_boxes(annotated, decoded, layout, base, annotations.format, faults)
        if annotations.format == "cub":
            faults += _other_split(base, annotated, splits)
            splits = {path: annotation.split for path, annotation in annotated.items() if annotation.split}
            split_names = ("train", "test")
    splits = {path: splits[path] for path in labels if path in splits}
    faults += _absent(base, layout, labels, splits, split_names)

    # Under "stop" an unreadable image keeps its place in the split, so that its fault does not draw others after it.
    contents = {path: decoded[path].sha256 if path in decoded else path for path in labels}
    shared = _shared_bytes(base, labels, contents, splits)
    faults += shared
    if not shared:
        fractions = {"val": val_fraction} if split_names else {"val": val_fraction, "test": test_fraction}
        splits |= _drawn_splits(labels, contents, splits, split_names, fractions, seed, faults)
    if annotations:
        required = [path for path in labels if annotations.format != "wsol" or splits.get(path) == "test"]
        missing = f"no annotation in {shown(root / annotations.path)}; add one, or remove the image"
        faults += [f"{shown(base / path)}: {missing}" for path in required if path not in annotated]
    masked = _checked_masks(mask_folder, base, layout, labels, decoded, faults) if mask_folder else {}
    if faults:
        raise Faults(faults)
    entries = (
        Image(
            path=PurePosixPath(images, path).as_posix(),
            label=label,
            split=splits[path],
            sha256=decoded[path].sha256,
            width=decoded[path].size[0],
            height=decoded[path].size[1],
            boxes=boxes.get(path),
            mask=masked[path][0].relative_to(root).as_posix() if path in masked else None,
            mask_sha256=masked[path][1] if path in masked else None,
        )
        for path, label in labels.items()
    )
    return Manifest(root, tuple(sorted(set(labels.values()))), tuple(entries)), left_out


def _subfolder(root: Path, name: str, key: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise InputError(f"{key} {name!r}: leaves the root; give a folder inside {shown(root)}")
    if not os.path.isdir(root / name):  # also False, not an error, for a name that no file system takes
        raise InputError(f"{shown(root / name)}: no such folder; correct the root or {key!r}")
    return root / name


# --- Layout: which files are images, of which class and split ---


def _find(base: Path, others: Sequence[Path], faults: list[str]) -> _Layout:
    """List the images under `base`; `others` are folders of annotations and masks, maybe inside it."""
    inside = [other.relative_to(base).parts for other in others if other.is_relative_to(base)]
    beside_images = any(
        base.is_relative_to(other) for other in others
    )  # XML files in the class folders, as labelImg leaves them
    reserved = {parts[0] for parts in inside if parts} - set(SPLITS)
    folders = [folder for folder in _list(base, faults) if folder.is_dir() and folder.name not in reserved]
    split_folders = {folder.name: folder for folder in folders if _split_name(folder)}
    parents: list[tuple[str | None, list[Path]]] = [(None, folders)]
    if split_folders:
        for name, folder in split_folders.items():
            if name not in SPLITS:
                faults.append(f"{shown(folder)}: no name of a split; rename it to {_split_name(folder)}")
        present = {_split_name(folder) for folder in split_folders.values()}
        for name in ("train", "test"):
            if name not in present:
                faults.append(f"{shown(base)}: no folder {name!r} of class folders beside the others; add it")
        splits = [(name, split_folders[name]) for name in SPLITS if name in split_folders]
        parents = [(name, [entry for entry in _list(folder, faults) if entry.is_dir()]) for name, folder in splits]
    for parent in [base, *split_folders.values()]:
        for entry in _list(parent, []):
            if entry.is_file() and entry.suffix.lower() in EXTENSIONS:
                faults.append(f"{shown(entry)}: an image outside the class folders; move it into one or remove it")

    layout = _Layout({}, {}, [], tuple(name for name, _ in parents if name))
    ignored = {".xml"} if beside_images else set()
    for split, class_folders in parents:
        for folder in class_folders:
            layout.folders.append((split, folder.name))
            for path in _class_images(folder, ignored, faults):
                relative = path.relative_to(base).as_posix()
                layout.labels[relative] = folder.name
                if split:
                    layout.splits_of[relative] = split
    classes = sorted({label for _, label in layout.folders})
    if len(classes) < 2:
        have = f"the one class {classes[0]!r}" if classes else "no class folders"
        faults.append(f"{shown(base)}: {have}; put the images of each class, two at least, into a folder of its name")
    return layout


def _split_name(folder: Path) -> str | None:
    """Return the split that a folder is for, if by its name and its holding folders it is for one."""
    name = folder.name.casefold()
    split = _LOOK_ALIKES.get(name, name)
    return split if split in SPLITS and any(entry.is_dir() for entry in _list(folder, [])) else None


def _class_images(folder: Path, ignored: set[str], faults: list[str]) -> list[Path]:
    images = []
    for entry in _list(folder, faults):
        if entry.is_dir():
            faults.append(f"{shown(entry)}: a folder inside a class folder; move its images up or remove it")
        elif not entry.is_file():
            faults.append(f"{shown(entry)}: a broken link or no regular file; remove it")
        elif entry.suffix.lower() in EXTENSIONS:
            images.append(entry)
        elif entry.suffix.lower() not in ignored:
            faults.append(f"{shown(entry)}: not an image ({', '.join(EXTENSIONS)}); convert it or remove it")
    if not images:
        faults.append(f"{shown(folder)}: empty class folder; add images or remove it")
    return images


def _list(folder: Path, faults: list[str]) -> list[Path]:
    """Return a folder's entries by name, without hidden files and litter."""
    try:
        names = sorted(name for name in os.listdir(folder) if name[0] != "." and name.lower() not in _LITTER)
    except OSError as error:
        faults.append(f"{shown(folder)}: cannot be listed ({error.strerror}); make it readable or remove it")
        return []
    for name in names:
        if not _is_text(name):
            faults.append(f"{shown(folder / name)}: its name is not UTF-8; rename it")
    return [folder / name for name in names if _is_text(name)]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # an undecodable byte in the name, which no manifest can hold
        return False
    return True


# --- Pixels ---


def _decode_all(
    files: Mapping[str, Path], decode: Callable[[Path], _Decoded], description: str
) -> tuple[dict[str, _Decoded], dict[str, str]]:
    """Return what each file told, and the fault of each that cannot be read, under the files' keys."""

    def attempt(path: Path) -> _Decoded | str:
        try:
            return decode(path)
        except InputError as error:
            return str(error)

    with ThreadPool() as pool:  # Pillow and hashlib release the GIL
        results = pool.imap(attempt, files.values(), chunksize=16)
        told = list(tqdm(results, desc=description, total=len(files), unit="file", disable=None))
    pairs = list(zip(files, told, strict=True))
    return {k: v for k, v in pairs if isinstance(v, _Decoded)}, {k: v for k, v in pairs if isinstance(v, str)}


def _decode_image(path: Path) -> _Decoded:
    return _Decoded(size=read_image(path).size, sha256=sha256(path))


def _decode_mask(path: Path) -> _Decoded:
    mask = read_mask(path)
    return _Decoded(sha256(path), (mask.shape[1], mask.shape[0]), blank=not mask.any())


# --- Splits ---


def _absent(
    base: Path, layout: _Layout, labels: Mapping[str, str], splits: Mapping[str, str], names: Sequence[str]
) -> list[str]:
    """Return a fault for each class that a given split lacks, and each class folder that leaving out has emptied."""
    faults = []
    before = Counter((layout.splits_of.get(path), label) for path, label in layout.labels.items())
    after = Counter((layout.splits_of.get(path), label) for path, label in labels.items())
    for split, label in layout.folders:
        if before[split, label] and not after[split, label]:
            folder = base / split / label if split else base / label
            faults.append(f"{shown(folder)}: every image is unreadable; replace them or remove the folder")
    held = {(splits[path], label) for path, label in labels.items() if path in splits}
    for label in sorted({label for _, label in layout.folders}):
        for name in names:
            # A folder that is there but has no image is a fault of its own already.
            if (name, label) not in held and (name, label) not in layout.folders:
                faults.append(f"{shown(base)}: class {label!r} has no image in {name}; add some or remove the class")
    return faults


def _other_split(base: Path, annotated: Mapping[str, Annotation], splits: Mapping[str, str]) -> list[str]:
    return [
        f"{shown(base / path)}: in {splits[path]}, but annotated as {annotation.split}; move it or correct that"
        for path, annotation in annotated.items()
        if annotation.split and splits.get(path, annotation.split) != annotation.split
    ]


def _shared_bytes(
    base: Path, labels: Mapping[str, str], contents: Mapping[str, str], splits: Mapping[str, str]
) -> list[str]:
    """Return a fault for each image whose copy stands in another class or in another given split."""
    faults = []
    first: dict[str, str] = {}
    for path in labels:
        twin = first.setdefault(contents[path], path)
        both = f"{shown(base / twin)} and {shown(base / path)}: the same image"
        if labels[twin] != labels[path]:
            faults.append(f"{both} in the classes {labels[twin]!r} and {labels[path]!r}; remove the wrong one")
        elif twin in splits and path in splits and splits[twin] != splits[path]:
            faults.append(f"{both} in {splits[twin]} and {splits[path]}; remove one of them")
    return faults


def _drawn_splits(
    labels: Mapping[str, str],
    contents: Mapping[str, str],
    splits: Mapping[str, str],
    names: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    faults: list[str],
) -> dict[str, str]:
    """Return the splits of the images whose split is open: all without given splits, else train where val lacks."""
    if "val" in names:
        return {}
    drawn = [path for path in labels if not names or splits.get(path) == "train"]
    try:
        chosen = stratified_split([labels[p] for p in drawn], [contents[p] for p in drawn], fractions, seed)
    except InputError as error:
        faults += str(error).splitlines()
        return {}
    return dict(zip(drawn, chosen, strict=True))


# --- Annotations and masks ---


def _match(folder: Path, form: str, base: Path, layout: _Layout, faults: list[str]) -> dict[str, Annotation]:
    """Return path -> annotation, for the images that have one."""
    annotations, own_faults = _IMPORTERS[form](folder)
    faults += own_faults
    if form == "voc":
        pairs = _pair(layout.labels, annotations, base, faults)
    else:
        pairs = {path: path for path in layout.labels if path in annotations}
    for key in sorted(set(annotations) - set(pairs.values())):
        what = f"{shown(annotations[key].source)}: no image {shown(key)} in {shown(base)}"
        faults.append(f"{what}; add the image or remove the annotation")
    matched = {path: annotations[key] for path, key in pairs.items()}
    faults += _inconsistent_labels(folder, matched, layout.labels)
    return matched


def _pair(paths: Iterable[str], keys: Iterable[str], base: Path, faults: list[str]) -> dict[str, str]:
    """Pair image paths with keys, which are paths without suffix, or bare file names where just one image has it."""
    stems = {path: PurePosixPath(path).with_suffix("").as_posix() for path in paths}
    exact = set(keys) & set(stems.values())
    by_name = defaultdict(list)
    for key in sorted(set(keys) - exact):
        by_name[PurePosixPath(key).name].append(key)
    takers = defaultdict(list)
    for path, stem in stems.items():
        for key in [stem] if stem in exact else by_name[PurePosixPath(stem).name]:
            takers[key].append(path)
    pairs: dict[str, str] = {}
    for key, rivals in takers.items():
        if len(rivals) > 1:
            both = " and ".join(shown(base / path) for path in rivals[:2])
            faults.append(f"{both}: both match {shown(key)!r}; give each image a name or folder of its own")
        for path in rivals:
            if path in pairs:
                what = f"{shown(base / path)}: matched by {shown(pairs[path])!r} and {shown(key)!r}"
                faults.append(f"{what}; keep one of them, in a folder like the image's")
            pairs[path] = key
    return pairs


def _inconsistent_labels(folder: Path, annotated: Mapping[str, Annotation], labels: Mapping[str, str]) -> list[str]:
    """Return a fault for each pair of an annotated class and a class folder that contradicts the more frequent ones."""
    pairs = Counter((a.label, labels[path]) for path, a in annotated.items() if a.label is not None)
    folder_of: dict[str | None, str] = {}
    class_of: dict[str, str | None] = {}
    faults = []
    for (number, label), count in sorted(pairs.items(), key=lambda pair: (-pair[1], str(pair[0]))):
        usual_folder, usual_class = folder_of.setdefault(number, label), class_of.setdefault(label, number)
        if (usual_folder, usual_class) != (label, number):
            example = next(path for path, a in annotated.items() if (a.label, labels[path]) == (number, label))
            what = f"class {number!r} for images in {label!r} ({count}, such as {shown(example)})"
            usual = f"{usual_folder!r} is {number!r}" if usual_folder != label else f"{label!r} is {usual_class!r}"
            faults.append(f"{shown(folder)}: {what}, though elsewhere {usual}; correct the labels or move the images")
    return faults


def _checked_boxes(
    annotated: Mapping[str, Annotation],
    decoded: Mapping[str, _Decoded],
    layout: _Layout,
    base: Path,
    form: str,
    faults: list[str],
) -> dict[str, tuple[Box, ...]]:
    """Return path -> boxes in pixels of the upright image."""
    classes = {label.casefold() for label in layout.labels.values()}
    by_class = any(name.casefold() in classes for annotation in annotated.values() for name in annotation.names)
    boxes = {}
    for path, annotation in annotated.items():
        if path not in decoded or not annotation.boxes:  # a fault of its own already
            continue
        size, label, where = decoded[path].size, layout.labels[path], f"{shown(annotation.source)}: {shown(path)}"
        if annotation.size and annotation.size != size:
            declared = f"annotated as {annotation.size[0]} x {annotation.size[1]} pixels"
            faults.append(f"{where}: {declared}, but the upright image is {size[0]} x {size[1]}; annotate it anew")
            continue
        chosen = of_class(annotation, label).boxes if by_class else annotation.boxes
        if not chosen:
            faults.append(f"{where}: no object is named {label!r}; add one, or move the image")
        boxes[path] = chosen if form == "wsol" else tuple(snap(box, size) for box in chosen)
        faults += [f"{where}: {fault}; correct it" for box in boxes[path] if (fault := box_fault(box, size))]
    return boxes


def _checked_masks(
    folder: Path,
    base: Path,
    layout: _Layout,
    labels: Mapping[str, str],
    decoded: Mapping[str, _Decoded],
    faults: list[str],
) -> dict[str, tuple[Path, str]]:
    """Return path -> (mask file, its hash), for the images in `labels` that have a mask."""
    files = {}
    for name in sorted(glob.glob("**/*", root_dir=folder, recursive=True)):  # no hidden ones; follows links
        suffix = PurePosixPath(name).suffix.lower()
        if suffix == ".png":
            files[PurePosixPath(name).with_suffix("").as_posix()] = folder / name
        elif suffix in EXTENSIONS:
            faults.append(f"{shown(folder / name)}: no PNG, so no mask; save it as PNG or remove it")
    pairs = _pair(layout.labels, files, base, faults)
    for key in sorted(set(files) - set(pairs.values())):
        faults.append(f"{shown(files[key])}: a mask without image in {shown(base)}; add the image or remove the mask")
    wanted = {path: files[key] for path, key in pairs.items() if path in labels}
    masks, failures = _decode_all(wanted, _decode_mask, "check masks")
    faults += failures.values()
    for path, mask in masks.items():
        if mask.blank:
            faults.append(f"{shown(wanted[path])}: every pixel is 0; mark the object, or remove the mask")
        if path in decoded and mask.size != decoded[path].size:
            sizes = [f"{width} x {height}" for width, height in (mask.size, decoded[path].size)]
            faults.append(f"{shown(wanted[path])}: {sizes[0]} pixels, but its image is {sizes[1]}; draw it anew")
    return {path: (wanted[path], mask.sha256) for path, mask in masks.items()}
