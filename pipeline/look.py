"""Look at a folder of images: what `split` would read, what is wrong with it, and the settings for params.yaml.

`acol look FOLDER` tries the class folders, and then the annotations of any format that lie in the folder, for boxes and
the classes. It changes nothing.
"""

import fnmatch
import functools
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from acol.data.images import EXTENSIONS
from acol.data.manifest import SPLITS
from acol.errors import Faults, InputError
from acol.ingest.decoding import Decoded, decode_image
from acol.ingest.findings import Findings, told
from acol.ingest.folder import Reading
from acol.ingest.folder_settings import FolderSettings
from acol.ingest.formats import FORMATS
from acol.ingest.formats.text_files import read_text
from acol.ingest.layout import files_below
from acol.ingest.names import split_of, words
from pipeline import cli
from pipeline.params import load_params
from pipeline.split import read

_NAMES_OF_IMAGES = ("images", "JPEGImages", "photos", "img", "imgs")
_WORDS_OF_MASKS = {"mask", "masks", "segmentation", "segmentations", "trimap", "trimaps", "truth", "gt"}
_MANY = 2  # files of one suffix that may belong to something else
_TRIED, _READ = 4, 50  # of the files or folders of one kind; of files that may be annotations
Settings = dict[str, Any]


def candidates(root: Path) -> Iterator[Settings]:
    """Yield the settings that may fit the folder, the most usual first; paths are relative to it."""
    files = [file.relative_to(root) for file in files_below(root)]
    # The outermost folders that hold PNG files and have the name of masks.
    named = (list(file.parents)[-2::-1] for file in files if file.suffix.lower() == ".png")
    outermost = (next((f for f in above if _WORDS_OF_MASKS & set(words(f.name))), None) for above in named)
    masks = list(dict.fromkeys(folder.as_posix() for folder in outermost if folder))[:_TRIED]
    images = [
        file
        for file in files
        if file.suffix.lower() in EXTENSIONS and not any(file.is_relative_to(folder) for folder in masks)
    ]
    annotations = [{"format": name, "path": path} for name in FORMATS for path in _annotations(root, files, name)]
    ways = product(_places(root, images), ("folder", "annotation"), (*annotations, None), (*masks, None))
    for place, label_from, source, mask in ways:
        # The folder of a split alone is no data set, unless a list says so of its images.
        if source if label_from == "annotation" else split_of(Path(place).name)[0] is None:
            settings: Settings = {"images": place, "annotations": source, "masks": mask}
            yield settings | ({"label_from": label_from} if label_from == "annotation" else {})


def _places(root: Path, images: Sequence[Path]) -> list[str]:
    """Return the folders that may hold all images: by their names, the smallest that does, and those in the first."""
    named = [name for name in _NAMES_OF_IMAGES if (root / name).is_dir()]
    common = Path(os.path.commonpath([f"x/{image.parent}" for image in images] or ["x"])).relative_to("x")
    # Where all images lie in one folder, it may be a class or a split, which the folder above it shows.
    tops = sorted({image.parts[0] for image in images if len(image.parts) > 1})[:_TRIED]
    return list(dict.fromkeys([*(named or ["."]), common.as_posix(), common.parent.as_posix(), *tops]))


def _annotations(root: Path, files: Sequence[Path], name: str) -> Iterator[str]:
    """Yield the files or folders that may be annotations of a format."""
    form = FORMATS[name]
    fitting = [file for file in files if fnmatch.fnmatch(file.name.lower(), form.name)]
    found = [file for file in fitting if "submission" not in words(file.stem)]  # predictions are no truth
    places = [file.parent for file in found]
    if form.kind == "folder":
        yield from ((place.parent if place.name in SPLITS else place).as_posix() for place in places[:1])
    elif form.kind == "image" and len(places) > _MANY:
        # Lists and notes often lie above the folders of a format with a file for each image.
        yield os.path.commonpath([place for place in places if places.count(place) > _MANY] or places) or "."
    elif form.kind == "file":
        texts = {file: (read_text(root / file, Findings()) or "") if form.holds else "" for file in found[:_READ]}
        found = [file for file, text in texts.items() if all(re.search(each, text) for each in form.holds)]
        if len(found) > 1:
            yield os.path.commonpath([file.parent for file in found]) or "."
        yield from (file.as_posix() for file in found[:_TRIED])


def attempt(settings: Settings, decode: Callable[[Path], Decoded]) -> tuple[Settings, Reading]:
    """Read a folder by the section `data` of params.yaml; where only test_from is missing, with the first that fits.

    Raises `InputError` if the settings do not fit.
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
    """Return the `data:` section of params.yaml for these settings."""
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
        *([("masks", Path(masks))] if masks else []),
    ]


def _outside(root: Path, settings: Settings) -> list[str]:
    """Return a line on the images that are not in the folders that some settings name, if there are any.

    Raises `InputError` where these too lie in class folders, and no name says which folder is meant.
    """
    within = [root / folder for folder in (settings["images"], settings["masks"]) if folder]
    images = () if root in within else files_below(root, EXTENSIONS, within)
    left = [file.relative_to(root) for file in images]
    others = {file.parts[0] for file in left if len(file.parts) == 3}  # such as birds/ of birds/owl/1.jpg
    if others and settings["images"] not in _NAMES_OF_IMAGES and "label_from" not in settings:
        raise InputError(
            f"{root}: {told(sorted([settings['images'], *others]), 'each holds folders of images', 'folder')}; "
            "give one of them, or put all class folders into one folder"
        )
    names = [file.as_posix() for file in left]
    return [f"warning: {told(names, 'outside of the folder of images, and so not read')}"] if left else []


def _far(error: InputError) -> tuple[bool, int]:
    """Return how far some settings are from fitting: those that say nothing of the images most, then by the faults."""
    return not isinstance(error, Faults), len(str(error).splitlines())


def find(root: Path) -> tuple[Settings, Reading]:
    """Return the section `data` by which a folder can be read, and what it reads; tell on stderr what it passes over.

    Splits are drawn as `acol train` would draw them here: as params.yaml says if it can be read, else as usual. Raises
    `InputError` for a folder without images, and with the faults of the usual layout where nothing fits.
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
    end = {key: getattr(data, key) for key in ("val_fraction", "test_fraction", "seed")} | {"unreadable": "leave_out"}
    decode = functools.cache(decode_image)  # once, for all that is tried
    first: InputError | None = None
    failed: dict[
        tuple[str, Path], InputError
    ] = {}  # what annotations and masks were tried, and the error of the nearest try
    for candidate in candidates(root):
        try:
            settings, reading = attempt(start | candidate | end, decode)
        except InputError as error:
            first = first or error
            failed |= {source: min(failed.get(source, error), error, key=_far) for source in _sources(candidate)}
            continue
        for used, place in _sources(candidate):
            failed = {
                (kind, p): why for (kind, p), why in failed.items() if kind != used or not p.is_relative_to(place)
            }
        first, remarks = None, [*_outside(root, settings), *reading.warnings()]
        break
    for line in [
        *(f"not used: {kind} in {path}: {str(why).splitlines()[0]}" for (kind, path), why in failed.items()),
        *([] if first else remarks),
    ]:
        print(line, file=sys.stderr)
    if first is not None:  # there is always a candidate
        raise first
    return settings, reading


@cli.main
def main() -> None:
    """Print what the folder on the command line is."""
    parser = cli.parser("pipeline.look", "Say what would be read from a folder.")
    parser.add_argument("folder", type=Path, help="folder of images, with or without annotations")
    settings, reading = find(parser.parse_args().folder.expanduser())
    print(reading.summary(), section(settings), sep="\n\n", end="")


if __name__ == "__main__":
    main()
