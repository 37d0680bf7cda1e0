"""Which files of a folder are images, and their classes and splits, read from the folders' names alone."""

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import EXTENSIONS, as_line
from acol.data.manifest import SPLITS, Box
from acol.errors import InputError
from acol.ingest.annotations import Annotation
from acol.ingest.decoding import FileFacts
from acol.ingest.findings import Findings
from acol.ingest.names import (
    OWN_SETTINGS,
    are_pieces,
    clashes,
    is_beside,
    is_images,
    is_masks,
    is_part,
    normalised,
    split_of,
    splits_in,
    words,
)

# What systems and archives leave in folders, and a folder's own settings; hidden files are ignored too.
_LITTER = {
    OWN_SETTINGS,
    "thumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "lost+found",
    "$recycle.bin",
    "system volume information",
}
# Hidden names that hold no data set: macOS puts ._cat.jpg beside cat.jpg, which is no image.
_NO_DATA = ("._", ".git", ".dvc", ".venv")
# Images of formats that are not read: to ignore them would lose images without a word.
_UNREAD_IMAGES = {
    ".heic", ".heif", ".avif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
    ".rw2", ".jp2", ".j2k", ".tga", ".exr", ".hdr", ".dcm",
}  # fmt: skip
_TEXTS = {".csv", ".json", ".jsonl", ".tsv", ".txt", ".xml"}  # of annotations


@dataclass
class Photo:
    """What is known of one image so far: each step of `acol.ingest.folder.read_folder` fills in its part.

    `path` is relative to the folder of images. `label` and `split` are those of its folder, until annotations or a draw
    say others; "" is none. An image that cannot be read may be `left_out`. Its `annotation` is empty if it has none;
    `group` is that of its variants, and `masks` what an `Image` of the manifest has of them.
    """

    path: str
    label: str = ""
    split: str = ""
    facts: FileFacts = field(init=False)
    left_out: bool = False
    annotation: Annotation = field(default_factory=Annotation)
    group: str = ""
    boxes: tuple[Box, ...] | None = None
    masks: dict[str, Any] = field(default_factory=dict)


@dataclass
class Layout:
    """The images under the folder `base`, as `photos` by their paths; `findings` gathers what is wrong.

    `others` are annotations and folders of masks, which hold no images. `folders` are all class folders as (split or
    "", class), the empty ones too; `splits` those that have a folder. `ignored` are the paths of files that are no
    images. `by_folder`: a folder gives the class.
    """

    base: Path
    findings: Findings
    others: tuple[Path, ...] = ()
    by_folder: bool = True
    splits: tuple[str, ...] = ()
    photos: dict[str, Photo] = field(default_factory=dict)
    folders: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[Photo]:
        """The images that are not left out."""
        return [photo for photo in self.photos.values() if not photo.left_out]

    def add(self, file: Path, label: str, split: str) -> None:
        """Add an image, of a split if its folder says one."""
        path = file.relative_to(self.base).as_posix()
        self.photos[path] = Photo(path, label, split)


def subfolder(root: Path, name: str, key: str) -> Path:
    """Return the folder that the setting `key` names inside `root`; raises `InputError` if it does not exist."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise InputError(f"{key} {name!r}: outside the root folder; give a folder inside {as_line(root)}")
    if not os.path.isdir(root / name):  # False, not an error, for names that no file system allows
        raise InputError(f"{as_line(root / name)}: no such folder; correct the root or {key!r}")
    return root / name


def find_layout(base: Path, others: Sequence[Path], classes: Sequence[str], findings: Findings) -> Layout:
    """List the images of class folders under `base`: `classes`, if not all are; `others` are annotations and masks.

    Raises `InputError` if class folders are named like splits or parts of a data set.
    """
    wanted = set(map(normalised, classes))
    layout = Layout(base, findings, tuple(others))

    # The folders of splits, if there are some. Files that lie beside the class folders are no images.
    folders = [folder for folder in _folders_in(base, layout) if not _holds_no_image(folder, layout)]
    named = splits_in(folder.name for folder in folders if normalised(folder.name) not in wanted)
    splits = _given_splits([folder for folder in folders if folder.name in named], named, layout)
    layout.splits = tuple(splits)
    inner = {name: _innermost(folder, layout) for name, folder in splits.items()}
    for folder in sorted({base, *splits.values(), *inner.values()}):
        for image in _images_in(folder, layout):
            findings.fault(image, "an image outside the class folders; move it into one or remove it")

    # The class folders of each split, or of all.
    parents = [(name, _folders_in(inner[name], layout)) for name in splits]
    aside = [folder for folder in folders if splits and folder not in splits.values()]
    for images in {*inner.values()} - {*splits.values()}:
        beside = (folder for folder in _folders_in(images.parent, layout) if folder != images)
        aside += [folder for folder in beside if any(files_below(folder, EXTENSIONS))]
    for split, children in parents or [("", folders)]:
        texts = [] if wanted else [folder for folder in children if _holds_only_texts(folder)]
        what = "text and no image, as annotations are, and so no class and left aside"
        findings.remark([f"{folder.relative_to(base)}/" for folder in texts], what, "folder")
        inside = [folder for folder in children if folder not in texts]
        class_folders = [folder for folder in inside if not wanted or normalised(folder.name) in wanted]
        aside += [folder for folder in inside if folder not in class_folders]
        if not classes:
            _refuse_parts_as_classes(base, class_folders, () if split else named)
        for folder in class_folders:
            layout.folders.append((split, folder.name))
            for file in _class_images(folder, layout, deep=bool(classes)):
                layout.add(file, folder.name, split)

    # What is read as a split, and what is left aside.
    _report_splits({folder.name: split for split, folder in splits.items()}, findings)
    counts = {f"{path.relative_to(base)}/": sum(1 for _ in files_below(path, EXTENSIONS, others)) for path in aside}
    flat = [name for name, count in counts.items() if count and split_of(name)[0] and not split_of(name)[1]]
    for what, names in (
        ("a split without class folders, so its images have no labels, and it is left aside with", flat),
        ("beside the folders that are read, and so left aside with", [*counts.keys() - flat]),
    ):
        count = sum(counts[name] for name in names)
        findings.remark(names, f"{what} {count} image{'s' if count != 1 else ''}", "folder")
    _check_classes(layout, classes)
    return layout


def _report_splits(splits: Mapping[str, str], findings: Findings) -> None:
    """Report the folders (by path) that are read as splits which only a part of their name says."""
    for path in splits:
        if len(words(path.rpartition("/")[2])) > 1:
            findings.note(f"{as_line(path)}/: read as {splits[path]}, which its name says")


def _check_classes(layout: Layout, classes: Sequence[str]) -> None:
    fault, base, present = layout.findings.fault, layout.base, sorted({label for _, label in layout.folders})
    known = set(map(normalised, present))
    for name in classes:
        if normalised(name) not in known:
            fault(base, f"no folder of the class {name!r}; add it")
    for where, names in ((base, present), ("data.classes", classes)):
        for one, other in clashes(names):
            fault(where, f"the classes {one!r} and {other!r} are one name in two spellings; join or rename them")
    if len(present) < 2:
        have = f"only one class {present[0]!r}" if present else "no class folders"
        fault(base, f"{have}; add a folder of images for each class, at least two")


def find_unlabelled(base: Path, others: Sequence[Path], findings: Findings) -> Layout:
    """List all images under `base`, without a class; folders that lie together are splits if they say several."""
    layout = Layout(base, findings, tuple(others), by_folder=False)
    given: dict[str, str] = {}
    alone: list[str] = []  # folders that say a split without another one beside them

    def find(place: Path, split: str) -> None:
        for image in _images_in(place, layout):
            layout.add(image, "", split)
        folders = _folders_in(place, layout)
        named = {} if split else splits_in(folder.name for folder in folders)
        several = len(set(named.values())) > 1
        for folder in folders:
            own = named.get(folder.name, "")
            if own and several:
                given[folder.relative_to(base).as_posix()] = own
            elif own:
                alone.append(f"{folder.relative_to(base).as_posix()}/")
            find(folder, split or (own if several else ""))

    find(base, "")
    layout.splits = tuple(name for name in SPLITS if name in given.values())
    _report_splits(given, findings)
    if not given:
        what = "the name of a split, but no folder beside has another one's: all splits are drawn anew"
        findings.remark(alone, what, "folder")
    if not layout.photos:
        findings.fault(base, "no images; correct data.images")
    return layout


def files_below(
    folder: Path, suffixes: Container[str] = (), without: Sequence[Path] = (), findings: Findings | None = None
) -> Iterator[Path]:
    """Yield the files below a folder by name, through links, with one of the `suffixes` if any; not those `without`."""
    for entry in _entries_of(folder, findings):
        if entry.is_dir():
            if entry not in without and not _leads_back(entry):
                yield from files_below(entry, suffixes, without, findings)
        elif not suffixes or entry.suffix.lower() in suffixes:
            yield entry


def folders_of_masks(files: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return the outermost folders of some images, given by their relative paths, that are named after masks.

    With images in them, so are labels/ and annotations/, if no folder in them is.
    """
    above = [list(file.parents)[-2::-1] for file in files]
    kinds = is_masks, is_beside
    named = (next((place for is_kind in kinds for place in places if is_kind(place.name)), None) for places in above)
    return [*dict.fromkeys(place for place in named if place)]


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and any(folder.samefile(parent) for parent in folder.parents)


def _holds_no_image(folder: Path, layout: Layout) -> bool:
    """Whether a folder holds annotations or masks, and no image."""
    inside = [other for other in layout.others if other.is_relative_to(folder)]
    return folder in inside or (bool(inside) and not any(files_below(folder, EXTENSIONS, inside)))


def _holds_only_texts(folder: Path) -> bool:
    files = [*files_below(folder)]
    return bool(files) and all(file.suffix.lower() in _TEXTS for file in files)


def _folders_in(folder: Path, layout: Layout) -> list[Path]:
    entries = _entries_of(folder, layout.findings)
    return [entry for entry in entries if entry.is_dir() and entry not in layout.others and not _leads_back(entry)]


def _given_splits(folders: Sequence[Path], named: Mapping[str, str], layout: Layout) -> dict[str, Path]:
    """Return the folder of each split in order of `SPLITS`, of the folders that hold class folders."""
    chosen: dict[str, Path] = {}
    for folder in folders:
        split = named[folder.name]
        if _has_class_folders(folder, layout) and chosen.setdefault(split, folder) != folder:
            layout.findings.fault((chosen[split], folder), f"both are {split}; rename or join them")
    return {name: chosen[name] for name in SPLITS if name in chosen}


def _has_class_folders(folder: Path, layout: Layout) -> bool:
    """Whether a split's folder holds other folders than test/images or test/test with images alone."""
    split, inside = split_of(folder.name)[0], _folders_in(folder, layout)
    return any(
        _folders_in(place, layout) or not (is_images(place.name) or split_of(place.name)[0] == split)
        for place in inside
    )


def _innermost(folder: Path, layout: Layout) -> Path:
    """Return the folder of a split's class folders: archives are often unpacked as train/train/CLASS.

    It may also be train/images, beside other parts, such as train/masks.
    """
    inside = _folders_in(folder, layout)
    doubled = [place for place in inside if len(inside) == 1 and split_of(place.name)[0] == split_of(folder.name)[0]]
    named = [place for place in inside if is_images(place.name)] if all(is_part(place.name) for place in inside) else []
    inner = next((place for place in (*doubled, *named) if _folders_in(place, layout)), None)
    return _innermost(inner, layout) if inner else folder


def _refuse_parts_as_classes(base: Path, folders: Sequence[Path], named: Container[str]) -> None:
    every = [folder.name for folder in folders]
    if names := every if are_pieces(every) else [name for name in every if name in named or is_part(name)]:
        raise InputError(
            f"{as_line(base)}: {', '.join(map(repr, names))}: the name of a split or of a part of a data set, and so no"
            " class; give each class a folder of images, take the classes from annotations (data.label_from:"
            " annotation), set data.images to the folder of the class folders, or list them under data.classes"
        )


def _class_images(folder: Path, layout: Layout, deep: bool) -> list[Path]:
    """Return the images of a class folder, in which all can be read, and with `deep` those of the folders in it.

    Images may lie in a folder that is named so: cat/images beside cat/masks, of which the latter is left aside.
    """
    fault, images = layout.findings.fault, [image for image in _images_in(folder, layout) if image.is_file()]
    inside = _folders_in(folder, layout)
    within = [place for place in inside if deep or (not images and is_images(place.name))]
    for place in within:
        images += _class_images(place, layout, deep)
    for entry in _entries_of(folder, layout.findings):
        if entry in layout.others or entry in within:
            continue
        if entry.is_dir():
            if within and is_part(entry.name):
                paths = [file.relative_to(layout.base).as_posix() for file in files_below(entry, EXTENSIONS)]
                layout.findings.remark(paths, "in a folder beside the images of a class, and so left aside")
            else:
                way = "move its images up, remove it, or list the classes under data.classes to read it too"
                fault(entry, f"a folder inside a class folder; {way}")
        elif not entry.is_file():
            fault(entry, "a broken link or not a regular file; remove it")
        elif entry.suffix.lower() in _UNREAD_IMAGES:
            fault(entry, f"not an image ({', '.join(EXTENSIONS)}); convert it or remove it")
    if not images:
        fault(folder, "empty class folder; add images or remove it")
    return images


def _images_in(folder: Path, layout: Layout) -> list[Path]:
    entries = _entries_of(folder, layout.findings)
    files = [entry for entry in entries if not entry.is_dir() and entry not in layout.others]
    others = [file for file in files if file.suffix.lower() not in EXTENSIONS]
    layout.ignored += [file.relative_to(layout.base).as_posix() for file in others]
    return [file for file in files if file.suffix.lower() in EXTENSIONS]


def _entries_of(folder: Path, findings: Findings | None) -> list[Path]:
    findings = findings or Findings()
    try:
        every = sorted(os.listdir(folder))
    except OSError as error:
        findings.fault(folder, f"cannot be listed ({error.strerror}); make it readable or remove it")
        return []
    findings.hidden |= {folder / name for name in every if name[0] == "." and not name.startswith(_NO_DATA)}
    names = [name for name in every if name[0] != "." and name.lower() not in _LITTER]
    # An undecodable byte in a name becomes a surrogate, which no manifest can hold.
    bad = [name for name in names if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name)]
    for name in bad:
        findings.fault(folder / name, "its name is not UTF-8; rename it")
    return [folder / name for name in names if name not in bad]
