"""Which files of a folder are images, and their classes and splits, read from the folders' names alone."""

import os
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from acol.data.images import EXTENSIONS, shown
from acol.data.manifest import SPLITS
from acol.errors import InputError
from acol.ingest.names import is_part, one_name, plain, split_of, splits_among, words

# What systems and archives leave in folders; hidden files are ignored too.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"}
# Images of formats that are not read: to ignore them would lose images without a word.
_UNREAD_IMAGES = {".heic", ".heif", ".avif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".nef", ".arw"}


@dataclass
class Layout:
    """The images under the folder `base`: path (relative to it) -> class, and path -> split in folders of splits.

    `others` are annotations and folders of masks, which hold no images. `folders` are all class folders as (split or
    None, class), the empty ones too; `splits` those that have a folder. `ignored` are the paths of files that are no
    images, `aside` the folders that are no classes and how many images each holds; `named` are folders that are read as
    the split that a part of their name says, `alone` those that say a split without another one beside them.
    """

    base: Path
    splits: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    splits_of: dict[str, str] = field(default_factory=dict)
    folders: list[tuple[str | None, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    aside: dict[str, int] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
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
    """List the images under `base`; `others` are annotations and folders of masks, which may be inside it.

    `classes` are the class folders, if not all are; raises `InputError` if the layout is another one than described.
    """
    wanted = set(map(plain, classes))
    layout = Layout(base, others=tuple(others))
    folders = [folder for folder in _inside(base, layout, faults) if not _apart(folder, layout)]
    named = splits_among(folder.name for folder in folders if plain(folder.name) not in wanted)
    splits = _given_splits([folder for folder in folders if folder.name in named], named, layout, faults)
    layout.splits = tuple(splits)
    layout.named = {folder.name: split for split, folder in splits.items() if len(words(folder.name)) > 1}
    inner = {name: _innermost(folder, layout) for name, folder in splits.items()}
    _read_files_of({base, *splits.values(), *inner.values()}, layout, faults)
    parents: list[tuple[str | None, list[Path]]] = [(name, _inside(inner[name], layout)) for name in splits]
    aside = [folder for folder in folders if splits and folder not in splits.values()]
    for split, found in parents or [(None, folders)]:
        class_folders = [folder for folder in found if not wanted or plain(folder.name) in wanted]
        aside += [folder for folder in found if folder not in class_folders]
        if not classes:
            _refuse_parts_as_classes(base, class_folders, () if split else named)
        for folder in class_folders:
            layout.folders.append((split, folder.name))
            for file in _class_images(folder, layout, faults):
                path = file.relative_to(base).as_posix()
                layout.labels[path] = folder.name
                if split:
                    layout.splits_of[path] = split
    for folder in aside:
        layout.aside[folder.relative_to(base).as_posix()] = sum(map(_is_image, files_below(folder, others)))
    faults += _faults_of_classes(layout, classes)
    return layout


def _faults_of_classes(layout: Layout, classes: Sequence[str]) -> list[str]:
    """Return what is wrong with the names of the class folders, and with the setting `classes`."""
    base, present = shown(layout.base), sorted({label for _, label in layout.folders})
    found = set(map(plain, present))
    faults = [f"{base}: no folder of the class {name!r}; add it" for name in classes if plain(name) not in found]
    for where, names in ((base, present), ("data.classes", classes)):
        both = [f"{one!r} and {other!r}" for one, other in one_name(names)]
        faults += [f"{where}: the classes {pair} are one name in two spellings; join or rename them" for pair in both]
    if len(present) < 2:
        have = f"only one class {present[0]!r}" if present else "no class folders"
        faults.append(f"{base}: {have}; add a folder of images for each class, at least two")
    return faults


def find_images(base: Path, others: Sequence[Path], faults: list[str]) -> Layout:
    """List all images under `base`, in whatever folders, without a class: annotations give it.

    Folders that lie together are splits if their names say several, as in images/train2017 and images/val2017.
    """
    layout = Layout(base, others=tuple(others), by_folder=False)
    todo: list[tuple[Path, str | None]] = [(base, None)]
    while todo:
        place, split = todo.pop()
        folders = _inside(place, layout, faults)
        named = {} if split else splits_among(folder.name for folder in folders)
        given = len(set(named.values())) > 1
        paths = {(place / name).relative_to(base).as_posix(): split for name, split in named.items()}
        if given:
            layout.named |= {path: split for path, split in paths.items() if len(words(path.rpartition("/")[2])) > 1}
        else:
            layout.alone.extend(paths)
        layout.splits = tuple(name for name in SPLITS if name in layout.splits or (given and name in named.values()))
        todo += [(folder, split or (named.get(folder.name) if given else None)) for folder in folders]
        for entry in _list(place, []):
            path = entry.relative_to(base).as_posix()
            if _is_image(entry) and not entry.is_dir():
                layout.labels[path] = ""
                if split:
                    layout.splits_of[path] = split
            elif not entry.is_dir():
                layout.ignored.append(path)
    if not layout.labels:
        faults.append(f"{shown(base)}: no images; correct data.images")
    return layout


def files_below(folder: Path, without: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield all files below a folder in order of their names, through links, but not in the folders `without`."""
    for entry in _list(folder, []):
        if entry.is_dir():
            if entry not in without and not _leads_back(entry):
                yield from files_below(entry, without)
        else:
            yield entry


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and any(folder.samefile(parent) for parent in folder.parents)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS


def _apart(folder: Path, layout: Layout) -> bool:
    """Whether a folder holds annotations or masks, and no image."""
    inside = [other for other in layout.others if other.is_relative_to(folder)]
    return folder in inside or (bool(inside) and not any(map(_is_image, files_below(folder, inside))))


def _inside(folder: Path, layout: Layout, faults: list[str] | None = None) -> list[Path]:
    """Return the folders in a folder that may hold images."""
    found = _folders_in(folder, [] if faults is None else faults)
    return [entry for entry in found if entry not in layout.others and not _leads_back(entry)]


def _given_splits(
    folders: Sequence[Path], named: Mapping[str, str], layout: Layout, faults: list[str]
) -> dict[str, Path]:
    """Return the folder of each split in order of `SPLITS`, of the folders that hold class folders."""
    found: dict[str, Path] = {}
    for folder in folders:
        split = named[folder.name]
        if _inside(folder, layout):
            if split in found:
                faults.append(f"{shown(found[split])} and {shown(folder)}: both are {split}; rename or join them")
            found[split] = folder
    return {name: found[name] for name in SPLITS if name in found}


def _innermost(folder: Path, layout: Layout) -> Path:
    """Return the folder of a split's class folders: archives are often unpacked as train/train/CLASS."""
    inside = _inside(folder, layout)
    doubled = len(inside) == 1 and split_of(inside[0].name)[0] == split_of(folder.name)[0]
    return _innermost(inside[0], layout) if doubled and _inside(inside[0], layout) else folder


def _read_files_of(parents: Collection[Path], layout: Layout, faults: list[str]) -> None:
    """Refuse images outside the class folders, and count other files."""
    for parent in sorted(parents):
        for entry in _list(parent, faults):
            if entry.is_dir() or entry in layout.others:
                continue
            if _is_image(entry):
                faults.append(f"{shown(entry)}: an image outside the class folders; move it into one or remove it")
            else:
                layout.ignored.append(entry.relative_to(layout.base).as_posix())


def _refuse_parts_as_classes(base: Path, folders: Sequence[Path], named: Container[str]) -> None:
    names = [folder.name for folder in folders if folder.name in named or is_part(folder.name)]
    if names:
        raise InputError(
            f"{shown(base)}: {', '.join(map(repr, names))}: the name of a split or of a part of a data set, and so no"
            " class; give each class a folder of images, take the classes from annotations (data.label_from:"
            " annotation), set data.images to the folder of the class folders, or list them under data.classes"
        )


def _class_images(folder: Path, layout: Layout, faults: list[str]) -> list[Path]:
    images = []
    for entry in _list(folder, faults):
        if entry in layout.others:
            continue
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
