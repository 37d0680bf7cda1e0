"""look: says what `split` would read from a folder of images, what is wrong with it, and which settings it needs.

`acol look FOLDER` tries different settings: class folders, and annotations of any format in the folder, which may give
boxes or classes. It prints the first settings that fit, for params.yaml. It changes nothing.
"""

import functools
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML

from acol.data.images import EXTENSIONS, stem_of
from acol.data.manifest import SPLITS
from acol.errors import Faults, InputError
from acol.ingest.annotations import Format
from acol.ingest.decoding import FileFacts, decode_image
from acol.ingest.findings import Findings, summarise
from acol.ingest.folder import Reading
from acol.ingest.folder_settings import FolderSettings
from acol.ingest.formats import FORMATS
from acol.ingest.formats.csv_rows import read_cells
from acol.ingest.formats.text_files import image_path
from acol.ingest.layout import files_below, folders_of_masks
from acol.ingest.names import OWN_SETTINGS, is_prediction, split_of
from pipeline import cli
from pipeline.params import load_params
from pipeline.split import read

_NAMES_OF_IMAGES = ("images", "JPEGImages", "photos", "img", "imgs")
_MANY = 2  # so few files of one suffix may belong to something else
_TRIED, _READ = 4, 50  # folders or files of one kind that are tried; files that are read to recognise annotations
Settings = dict[str, Any]
_Fit = tuple[Settings, Settings, Reading]  # a candidate, the settings with which it fits, and what is read


def candidates(root: Path) -> Iterator[Settings]:
    """Yield settings that may fit the folder, the most usual first. Their paths are relative to it."""
    files = [file.relative_to(root) for file in files_below(root)]
    # Masks are below folders with one of the usual names; the outermost such folders are meant.
    every = [file for file in files if file.suffix.lower() in EXTENSIONS]
    found = folders_of_masks(map(PurePosixPath, every))
    images = [file for file in every if not any(file.is_relative_to(place) for place in found)]
    if not images:
        images, found = every, []  # classes such as with_mask and without_mask
    masks = [place.as_posix() for place in found][:_TRIED]
    if len(masks) > 1:
        masks.insert(0, os.path.commonpath(masks) or ".")
    # Try all combinations. Classes come from folders, or from annotations if there are some.
    annotations: list[Settings] = [
        {"format": name, "path": path} for name in FORMATS for path in _annotations(root, files, name)
    ]
    tables = [root / source["path"] for source in annotations if source["format"] == "csv"]
    columns = {file: names for file in tables if file.is_file() and (names := _columns(file, images))}
    annotations += [
        {"format": "csv", "path": file.relative_to(root).as_posix(), "columns": names}
        for file, names in columns.items()
    ]
    ways = product(_places(root, images), ("folder", "annotation"), (*annotations, None), (*masks, None))
    for place, label_from, source, mask in ways:
        # The folder of a split alone is no data set, unless a list says so of its images.
        if source if label_from == "annotation" else split_of(Path(place).name)[0] is None:
            settings: Settings = {"images": place, "annotations": source, "masks": mask}
            settings |= {"label_from": label_from} if label_from == "annotation" else {}
            if source and source["format"] == "wsol":  # OpenImages' lists of masks
                yield settings | {"masks": {"path": place, "list": source["path"]}}
            yield settings


def _places(root: Path, images: Sequence[Path]) -> list[str]:
    """Return the folders that may be the folder of images: those with its usual names, and common folders of images."""
    named = [name for name in _NAMES_OF_IMAGES if (root / name).is_dir()]
    common = Path(os.path.commonpath([f"x/{image.parent}" for image in images] or ["x"])).relative_to("x")
    # The common folder of all images may be a class or a split. So the folder above it is tried too.
    tops = sorted({image.parts[0] for image in images if len(image.parts) > 1})[:_TRIED]
    return list(dict.fromkeys([*(named or ["."]), common.as_posix(), common.parent.as_posix(), *tops]))


def _annotations(root: Path, files: Sequence[Path], name: str) -> Iterator[str]:
    """Yield the files or folders that may be annotations of a format."""
    form = FORMATS[name]
    named = [file for file in files if re.fullmatch(form.name, file.name.lower())]
    matching = [file for file in named if not is_prediction(file)]
    folders = [file.parent for file in matching]
    if form.kind == "folder":
        yield from ((folder.parent if folder.name in SPLITS else folder).as_posix() for folder in folders[:1])
    elif form.kind == "image" and len(folders) > _MANY:
        # Lists and notes often lie above the folders of a format that has a file for each image.
        counts = Counter(folders)
        many = [file for file in matching if counts[file.parent] > _MANY] or matching
        if _holds(root / many[0], form):
            yield os.path.commonpath([file.parent for file in many]) or "."
    elif form.kind == "file":
        annotations = [file for file in matching[:_READ] if _holds(root / file, form)]
        if len(annotations) > 1:
            yield os.path.commonpath([file.parent for file in annotations]) or "."
        yield from (file.as_posix() for file in annotations[:_TRIED])


def _columns(file: Path, images: Sequence[Path]) -> dict[str, str]:
    """Return what the columns of a CSV file are, where it has two and one names images: the other one has classes."""
    (_, header), *rows = read_cells(file, Findings()) or [(1, [])]
    names = {PurePosixPath(image).stem for image in images}
    for n, other in ((0, 1), (1, 0)) if len(header) == 2 else ():
        known = [len(row) == 2 and PurePosixPath(stem_of(image_path(row[n]))).name in names for _, row in rows]
        if any(known) and all(known):
            return {header[n]: "path", header[other]: "class"}
    return {}


def _holds(file: Path, form: Format) -> bool:
    """Whether a file has what all files of a format have."""
    text = ""
    with suppress(OSError):
        text = file.read_bytes().replace(b"\0", b"").decode("utf-8-sig", "replace") if form.holds else ""  # UTF-16 too
    return all(re.search(each, text) for each in form.holds)


def attempt(settings: Settings, decode: Callable[[Path], FileFacts]) -> tuple[Settings, Reading]:
    """Read a folder with the settings of a section `data`; return these and what was read.

    If only test_from is missing, the first value that fits is added. Raises `InputError` if the settings do not fit.
    """
    for test_from in (None, "val", "train"):
        tried = settings | ({"test_from": test_from} if test_from else {})
        try:
            return tried, read(tried, decode)
        except InputError as error:
            if test_from == "train" or "data.test_from" not in str(error):
                raise
    raise AssertionError("the last one returns or raises")


def section(settings: Settings) -> str:
    """Return settings as the section `data` of params.yaml."""
    text = io.StringIO()
    yaml = YAML()
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.width = 120
    yaml.dump({"data": settings}, text)
    return text.getvalue()


def _sources(settings: Settings) -> list[tuple[str, Path]]:
    """Return the annotations and masks that some settings name: of which kind they are, and their path."""
    annotations, masks = settings["annotations"], settings["masks"]
    return [
        *([(f"{annotations['format']} annotations", Path(annotations["path"]))] if annotations else []),
        *([("masks", Path(masks))] if isinstance(masks, str) else []),
    ]


def _outside(root: Path, settings: Settings) -> list[str]:
    """Return a warning about images outside of the folders that some settings name, if there are any.

    Raises `InputError` if those images lie in class folders too, so that it is not clear which folder is meant.
    """
    folders = [root / folder for folder in (settings["images"], settings["masks"]) if isinstance(folder, str)]
    images = () if root in folders else files_below(root, EXTENSIONS, folders)
    outside = [file.relative_to(root) for file in images]
    others = {file.parts[0] for file in outside if len(file.parts) == 3}  # such as birds/ of birds/owl/1.jpg
    if others and settings["images"] not in _NAMES_OF_IMAGES and "label_from" not in settings:
        raise InputError(
            f"{root}: {summarise(sorted([settings['images'], *others]), 'each holds folders of images', 'folder')}; "
            "give one of them, put all class folders into one folder, or list the classes under data.classes"
        )
    names = [file.as_posix() for file in outside]
    return [f"warning: {summarise(names, 'outside of the folder of images, and so not read')}"] if names else []


def _unknown(root: Path, tried: Sequence[tuple[str, Path]], known: Container[str], way: str = "") -> list[str]:
    """Return a warning about the files in which nothing was recognised, if there are any.

    Those are neither `known` nor of the formats that were `tried`, of which something else is told.
    """
    root = root.resolve()
    formats = [(root / place, FORMATS[kind.split()[0]]) for kind, place in tried if kind != "masks"]
    patterns = [(place, form.name) for place, form in formats]
    # A format with lists finds these and names of classes by itself.
    patterns += [(root, r".*\.(txt|names|ya?ml)") for _, form in formats if form.lists]
    unknown = [
        file.relative_to(root).as_posix()
        for file in files_below(root)
        if file.suffix.lower() not in EXTENSIONS
        and str(file) not in known
        and not any(file.is_relative_to(place) and re.fullmatch(name, file.name.lower()) for place, name in patterns)
    ]
    what = f"not recognised as annotations, and so not read{way}"
    return [f"warning: {summarise(unknown, what, 'file')}"] if unknown else []


def _within(kind: str, path: Path, used: Sequence[tuple[str, Path]]) -> bool:
    """Whether what is used reads some annotations or masks too: what is below it, and lists if it has some.

    A folder above used masks, or above class folders that are named like masks, was tried for these.
    """
    with_lists = {f"{name} annotations" for name, form in FORMATS.items() if form.lists}
    return any(
        (kind == other and (path.is_relative_to(place) or (kind == "masks" and place.is_relative_to(path))))
        or (kind == "lists annotations" and other in with_lists)
        for other, place in used
    )


def _unused(tries: Sequence[tuple[Settings, InputError]], used: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """Yield a line for each source that was tried and is not used: what is wrong in the try that came nearest."""
    usual = {line for settings, error in tries if not _sources(settings) for line in str(error).splitlines()}
    own: dict[tuple[str, Path], list[tuple[bool, int, list[str]]]] = {}  # of each try, how far it is, and what is wrong
    for settings, error in tries:
        lines = str(error).splitlines()
        for source in _sources(settings):
            if not _within(*source, used):
                new = [line for line in lines if line not in usual]
                its_own = bool(new) and isinstance(error, Faults)
                own.setdefault(source, []).append((not its_own, len(lines) - len(new), new or lines))
    for (kind, path), found in own.items():
        *_, faults = min(found, key=lambda each: (*each[:2], len(each[2])))
        yield f"not used: {kind} in {path}: {faults[0]}"


def find(root: Path) -> tuple[Settings, Reading]:
    """Return the section `data` with which a folder can be read, and what is read. Print warnings to stderr.

    A folder with its own settings (acol.yaml) is read by these. The splits are those of the params.yaml in this folder
    if it can be read, else the default ones. Raises `InputError` for a folder without images. If no settings fit, it
    has the faults of the most usual ones.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; correct the path")
    if not any(files_below(root, EXTENSIONS)):
        others = Counter(file.suffix or "without suffix" for file in files_below(root)).most_common(3)
        has = ", but " + ", ".join(f"{count} {suffix}" for suffix, count in others) if others else ""
        way = "unpack or convert these, or give another folder" if others else "give another folder"
        raise InputError(f"{root}: no images ({', '.join(EXTENSIONS)}) in it or below it{has}; {way}")
    data: FolderSettings = FolderSettings()
    with suppress(InputError):
        data = load_params().data
    start = {"source": "folder", "path": str(root.resolve())}
    if (root / OWN_SETTINGS).is_file():  # the folder says itself how it is read
        reading = read(start)
        for line in reading.warnings():
            print(line, file=sys.stderr)
        return start, reading
    end = {key: getattr(data, key) for key in ("val_fraction", "test_fraction", "seed")} | {"unreadable": "leave_out"}
    fits, tries = _try_candidates(root, start, end)
    if not fits:
        raise _refusal(root, tries)
    # What gives the most images a class of the same ones: annotations may say it of a split whose folder does not.
    same = [fit for fit in fits if fit[2].manifest.classes == fits[0][2].manifest.classes]
    candidate, settings, reading = max(same, key=lambda fit: len(fit[2].manifest.images))
    classes = folders_of_masks(PurePosixPath(image.path) for image in reading.manifest.images)
    used = [*_sources(candidate), *(("masks", Path(place)) for place in classes)]
    tried = [source for each in (candidate, *(settings for settings, _ in tries)) for source in _sources(each)]
    passed = [*_unused(tries, used), *_outside(root, settings), *_unknown(root, tried, reading.known)]
    for line in [*passed, *reading.warnings()]:
        print(line, file=sys.stderr)
    return settings, reading


def _try_candidates(root: Path, start: Settings, end: Settings) -> tuple[list[_Fit], list[tuple[Settings, InputError]]]:
    """Return the first candidate that fits, with those that differ in what gives the classes, and all that do not fit.

    The others are not tried where one reads all images.
    """
    decode = functools.cache(decode_image)  # each image is decoded once, for all settings
    fits: list[_Fit] = []
    tries: list[tuple[Settings, InputError]] = []
    for candidate in candidates(root):
        if fits and not _alike(candidate, fits[0][0]):
            continue
        try:
            fits.append((candidate, *attempt(start | candidate | end, decode)))
        except InputError as error:
            tries.append((candidate, error))
            continue
        images = sum(1 for _ in files_below(root / candidate["images"], EXTENSIONS))
        if len(fits[-1][2].manifest.images) == images:
            break
    return fits, tries


def _alike(one: Settings, other: Settings) -> bool:
    """Whether some settings differ from others in the file of annotations, or in what gives the classes, alone."""
    formats = [settings["annotations"] and settings["annotations"]["format"] for settings in (one, other)]
    same = all(one[key] == other[key] for key in ("images", "masks"))
    return same and formats[0] is not None and formats[0] == formats[1]


def _refusal(root: Path, tries: Sequence[tuple[Settings, InputError]]) -> InputError:
    """Tell what is not used, and return the error of the folder that holds all others of images, else the first one."""
    tried = [source for settings, _ in tries for source in _sources(settings)]
    way = "; if they are, export them in a format that docs/data.md names"
    for line in [*_unused(tries, []), *_unknown(root, tried, (), way)]:
        print(line, file=sys.stderr)
    folders = {file.parent.relative_to(root) for file in files_below(root, EXTENSIONS)}
    top = Path(os.path.commonpath([f"x/{folder}" for folder in folders])).relative_to("x")
    inside = top not in folders and top.is_relative_to(tries[0][0]["images"])
    return next((error for settings, error in tries if inside and Path(settings["images"]) == top), tries[0][1])


@cli.main
def main() -> None:
    """Print what would be read from the folder on the command line, and its settings."""
    parser = cli.parser("pipeline.look", "Say what would be read from a folder.")
    parser.add_argument("folder", type=Path, help="folder of images, with or without annotations")
    settings, reading = find(parser.parse_args().folder.expanduser())
    print(reading.summary(), section(settings), sep="\n\n", end="")


if __name__ == "__main__":
    main()
