"""Which files of a folder are images, and their classes and splits, read from the folders' names alone."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from acol.data.images import EXTENSIONS, shown
from acol.data.manifest import SPLITS
from acol.errors import InputError

# Other common names of splits.
_LOOK_ALIKES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
# What systems and archives leave in folders; hidden files are ignored too.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"}
# Images of formats that are not read: to ignore them would lose images without a word.
_UNREAD_IMAGES = {".heic", ".heif", ".avif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".nef", ".arw"}
# Names of splits, with or without a year, and of parts of a data set: as classes they are nearly always a misreading.
_NO_CLASS = re.compile(
    "(train|training|val|valid|validation|dev|test|testing)([ _-]?[0-9]{2,4})?"
    "|(images?|imgs?|jpegimages|photos?|labels?|annotations?|ann?s|masks?|segmentations?|bbox(es)?|metadata)",
    re.IGNORECASE,
)
_MASK_NAME = re.compile("(.+)[ _-](masks?|seg|segmentation|trimap|gt)", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """The images under the folder `base`: path (relative to it) -> class, and path -> split in folders of splits.

    `folders` are all class folders as (split or None, class), the empty ones too; `splits` those that have a folder.
    `ignored` are the paths of files that are no images, and of folders that are no classes.
    """

    base: Path
    splits: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    splits_of: dict[str, str] = field(default_factory=dict)
    folders: list[tuple[str | None, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    by_folder: bool = True  # whether a folder gives the class

    def shown(self, path: str) -> str:
        """Return an image's whole path as text for a one-line message."""
        return shown(self.base / path)


def subfolder(root: Path, name: str, key: str) -> Path:
    """Return the folder that the setting `key` names inside `root`; raises `InputError` if it does not exist."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise InputError(f"{key} {name!r}: outside the root folder; give a folder inside {shown(root)}")
    if not os.path.isdir(root / name):  # False, not an error, for names that no file system allows
        raise InputError(f"{shown(root / name)}: no such folder; correct the root or {key!r}")
    return root / name


def find_layout(base: Path, others: Sequence[Path], classes: Sequence[str], faults: list[str]) -> Layout:
    """List the images under `base`; `others` are folders of annotations and masks, which may be inside it.

    `classes` are the class folders, if not all are; raises `InputError` if the layout is another one than described.
    """
    inside = [other.relative_to(base).parts for other in others if other.is_relative_to(base)]
    reserved = {parts[0] for parts in inside if parts} - set(SPLITS)
    folders = [folder for folder in _list(base, faults) if folder.is_dir() and folder.name not in reserved]
    splits = _given_splits(folders, faults)
    _refuse_images_in([base, *splits.values()], faults)

    layout = Layout(base, tuple(splits))
    parents: list[tuple[str | None, list[Path]]] = [(name, _folders_in(splits[name], faults)) for name in splits]
    for split, found in parents or [(None, folders)]:
        class_folders = [folder for folder in found if folder.name in classes] if classes else found
        layout.ignored.extend(folder.relative_to(base).as_posix() for folder in found if folder not in class_folders)
        if not classes:
            _refuse_parts_as_classes(base, class_folders)
        for folder in class_folders:
            layout.folders.append((split, folder.name))
            for file in _class_images(folder, layout, faults):
                path = file.relative_to(base).as_posix()
                layout.labels[path] = folder.name
                if split:
                    layout.splits_of[path] = split
    present = sorted({label for _, label in layout.folders})
    faults += [f"{shown(base)}: no folder of the class {name!r}; add it" for name in set(classes) - set(present)]
    if len(present) < 2:
        have = f"only one class {present[0]!r}" if present else "no class folders"
        faults.append(f"{shown(base)}: {have}; add a folder of images for each class, at least two")
    return layout


def find_images(base: Path, others: Sequence[Path], faults: list[str]) -> Layout:
    """List all images under `base`, in whatever folders, without a class: annotations give it.

    The first folders are splits if one is of train and another one of val or test, as in images/train2017.
    """
    inside = [other for other in others if other != base and other.is_relative_to(base)]
    folders = {folder.name: name for folder in _folders_in(base, faults) if (name := _meant_split(folder.name))}
    given = {"train"} < set(folders.values())
    layout = Layout(base, tuple(name for name in SPLITS if given and name in folders.values()), by_folder=False)
    todo = [base]
    while todo:
        for entry in _list(todo.pop(), faults):
            path = entry.relative_to(base).as_posix()
            if entry.is_dir():
                todo += [] if entry in inside else [entry]
            elif entry.suffix.lower() in EXTENSIONS:
                layout.labels[path] = ""
                if given and (split := folders.get(path.partition("/")[0])):
                    layout.splits_of[path] = split
            else:
                layout.ignored.append(path)
    if not layout.labels:
        faults.append(f"{shown(base)}: no images; correct data.images")
    return layout


def _meant_split(name: str) -> str | None:
    """Return the split that a folder's name means, with or without a year."""
    word = re.sub("[ _-]?[0-9]{2,4}$", "", name.casefold())
    split = _LOOK_ALIKES.get(word, word)
    return split if split in SPLITS else None


def _given_splits(folders: Sequence[Path], faults: list[str]) -> dict[str, Path]:
    """Return the folder of each split in order of `SPLITS`, of the folders that hold class folders."""
    found: dict[str, Path] = {}
    for folder in folders:
        if split := _split_name(folder):
            if split in found:
                faults.append(f"{shown(found[split])} and {shown(folder)}: both are {split}; rename or join them")
            found[split] = folder
    return {name: found[name] for name in SPLITS if name in found}


def _split_name(folder: Path) -> str | None:
    """Return the split that a folder's name means; None for another name, or if it holds no folders."""
    name = folder.name.casefold()
    split = _LOOK_ALIKES.get(name, name)
    return split if split in SPLITS and _folders_in(folder, []) else None


def _refuse_images_in(parents: Sequence[Path], faults: list[str]) -> None:
    for parent in parents:
        for entry in _list(parent, []):
            if entry.is_file() and entry.suffix.lower() in EXTENSIONS:
                faults.append(f"{shown(entry)}: an image outside the class folders; move it into one or remove it")


def _refuse_parts_as_classes(base: Path, folders: Sequence[Path]) -> None:
    names = [folder.name for folder in folders if _NO_CLASS.fullmatch(folder.name)]
    if names:
        raise InputError(
            f"{shown(base)}: {', '.join(map(repr, names))}: the name of a split or of a part of a data set, and so no"
            " class; give each class a folder of images, take the classes from annotations (data.label_from:"
            " annotation), set data.images to the folder of the class folders, or list them under data.classes"
        )


def _class_images(folder: Path, layout: Layout, faults: list[str]) -> list[Path]:
    images = []
    for entry in _list(folder, faults):
        if entry.is_dir():
            faults.append(f"{shown(entry)}: a folder inside a class folder; move its images up or remove it")
        elif not entry.is_file():
            faults.append(f"{shown(entry)}: a broken link or not a regular file; remove it")
        elif entry.suffix.lower() in EXTENSIONS:
            images.append(entry)
        elif entry.suffix.lower() in _UNREAD_IMAGES:
            faults.append(f"{shown(entry)}: not an image ({', '.join(EXTENSIONS)}); convert it or remove it")
        else:
            layout.ignored.append(entry.relative_to(layout.base).as_posix())
    stems = {image.stem for image in images}
    masks = [image for image in images if (found := _MASK_NAME.fullmatch(image.stem)) and found[1] in stems]
    if masks:
        what = f"{len(masks)} images have the name of another one's mask, such as {shown(masks[0].name)}"
        faults.append(f"{shown(folder)}: {what}; move them into a folder of masks (data.masks)")
    if not images:
        faults.append(f"{shown(folder)}: empty class folder; add images or remove it")
    return images


def _folders_in(folder: Path, faults: list[str]) -> list[Path]:
    return [entry for entry in _list(folder, faults) if entry.is_dir()]


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
