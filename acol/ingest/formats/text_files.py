"""Text files: JSON, lines as keyed values, and lists of images; what cannot be read of them is a fault."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from acol.data.images import EXTENSIONS, as_line, stem_of
from acol.ingest.annotations import Annotation
from acol.ingest.findings import Findings
from acol.ingest.layout import files_below
from acol.ingest.names import is_images, split_of, words

T = TypeVar("T")
# A name, and what lists put after it: VOC's 1, 0 or -1 (whether a class is there), Oxford Pets' three numbers, of which
# the first is the class, or a class, after a name with the suffix of images.
_SUFFIX = "|".join(map(re.escape, EXTENSIONS))
_LINE = re.compile(
    rf"\s*(?:(?P<image>.*?(?i:{_SUFFIX}))\s+(?P<label>\S.*?)|(.*?)(?:\s+-?[01]|\s+([0-9]+)\s+[0-9]+\s+[0-9]+)?)\s*"
)


def read_text(path: Path, findings: Findings) -> str | None:
    """Return the text of a file; None, and a fault, if it cannot be read."""
    findings.read.add(str(path))
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        findings.fault(path, f"cannot be read ({error.strerror}); add it or make it readable")
    except UnicodeDecodeError:
        findings.fault(path, "not UTF-8 text; save it as UTF-8")
    return None


def load_json(path: Path, findings: Findings) -> Any:
    """Return what a JSON file holds; None, and a fault, if it cannot be read."""
    if (text := read_text(path, findings)) is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        findings.fault(path, f"not JSON ({error!s:.80}); correct or export it again")
    return None


def read_lines(path: Path, findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers."""
    for number, line in enumerate((read_text(path, findings) or "").split("\n"), 1):
        if line.strip():
            yield number, line.removesuffix("\r")


def read_rows(path: Path, columns: str, convert: Callable[[list[str]], T], findings: Findings) -> dict[str, list[T]]:
    """Return the values of each key in a text file's lines; a line that `convert` refuses by ValueError is a fault.

    `columns` are a line's: "KEY,VALUE,..." whose key, a path, may hold commas, or "KEY VALUE ..." whose last value may
    hold spaces; `convert` gets the values.
    """
    before, commas, spaces = len(findings.faults), columns.count(","), columns.count(" ")
    rows: dict[str, list[T]] = {}
    for number, line in read_lines(path, findings):
        try:
            key, *values = line.rsplit(",", commas) if commas else line.rstrip().split(maxsplit=spaces)
            if len(values) < (commas or spaces):
                raise ValueError
            value = convert(values)  # before its key is there
            rows.setdefault(str(PurePosixPath(key)), []).append(value)  # without "./" and double slashes
        except ValueError:
            findings.fault(f"{path} line {number}", f"{line!r:.200} is not {columns}; correct it")
    if not rows and len(findings.faults) == before:
        findings.fault(path, f"empty; add lines of the form {columns}")
    return rows


def read_table(path: Path, columns: str, convert: Callable[[list[str]], T], findings: Findings) -> dict[str, T]:
    """Return the value of each key in a text file's lines, as `read_rows`; a key that occurs twice is a fault too."""
    rows = read_rows(path, columns, convert, findings)
    for key in (key for key, values in rows.items() if len(values) > 1):
        findings.fault(path, f"{as_line(key)} occurs twice; keep one line")
    return {key: values[-1] for key, values in rows.items()}


def same_keys(path: Path, keys: set[str], index: Path, wanted: set[str], findings: Findings) -> None:
    """Add a fault for each key that only one of the files `path` and `index` has."""
    if not keys or not wanted:
        return  # a file that is missing or unreadable is already reported
    for key in sorted(keys - wanted):
        findings.fault(path, f"{as_line(key)} is not in {index.name}; add it there")
    for key in sorted(wanted - keys):
        findings.fault(path, f"{as_line(key)} is missing; add its line")


def parse_number(text: str) -> float:
    """Parse a number; raises `ValueError` for any other text."""
    # float() would also accept 1_0 and the digits of other scripts.
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r:.40} is not a number")
    return float(text)


def parse_integer(text: str) -> int:
    """Parse a whole number, which may have zeros behind a point; raises `ValueError` for any other text."""
    if not (value := parse_number(text)).is_integer():
        raise ValueError(f"{text!r:.40} is not a whole number")
    return int(value)


def files_in(path: Path, suffix: str, findings: Findings, *more: str) -> list[Path]:
    """Return the annotation file `path`, or those below this folder with one of the suffixes."""
    files = list(files_below(path, (suffix, *more))) if path.is_dir() else [path]
    if not files:
        findings.fault(path, f"no {suffix[1:].upper()} files; correct its path")
    return files


def image_path(text: str) -> PurePosixPath:
    """Return the path in what stands for an image: a path of any system, a URL, or a key in a bucket."""
    if text.startswith(("http://", "https://")):
        text = unquote(urlsplit(text).path)
    return PurePosixPath((text.partition("://")[2] or text).replace("\\", "/"))


def image_keys(file: Path, root: Path, split: str | None) -> Callable[[PurePosixPath], str]:
    """Return the function of an image's path in a file that returns its path below `root`, without its suffix.

    The file names images in its own folder, in one of images in this or, if it is of a split, in the split's folders
    beside that. Where none or several of them hold the image, or `root` is no folder, its path stays as it is.
    """
    folders: dict[Path, str] = {}
    if root.is_dir():
        above = file.parent.parent
        beside = [*above.glob("*"), *above.glob("*/*")] if split else []
        named = [place for place in beside if place.is_dir() and split_of(place.name) == (split, ())]
        folders = {place: place.relative_to(above).as_posix() for place in named}
        own = [file.parent, *(place for place in file.parent.glob("*") if is_images(place.name))]
        folders |= {place: place.relative_to(root).as_posix() for place in own}

    def key_of(image: PurePosixPath) -> str:
        starts = [start for folder, start in folders.items() if os.path.isfile(folder / image)]  # False for odd names
        return stem_of(PurePosixPath(starts[0], image) if len(starts) == 1 else image)

    return key_of


def splits_of_files(files: Sequence[Path]) -> dict[Path, str]:
    """Return the split that each file's name says, if there is one of train and another: not a train.txt alone.

    A file trainval beside one of val only joins lists.
    """
    splits = {file: split for file in files if (split := split_of(file.stem)[0])}
    joined = {file for file in splits if "trainval" in words(file.stem) or {"train", "val"} <= set(words(file.stem))}
    if "val" in splits.values():
        splits = {file: split for file, split in splits.items() if file not in joined}
    return splits if {"train"} < set(splits.values()) else {}


def is_image_list(file: Path) -> bool:
    """Return whether each line of a text file names an image file. It is read up to the first line that does not."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            named = (line.strip().lower().endswith(EXTENSIONS) for line in opened if line.strip())
            return next(named, False) and all(named)
    except (OSError, ValueError):
        return False


def read_lists(files: Sequence[Path], findings: Findings, splits: Mapping[Path, str] | None = None) -> list[Annotation]:
    """Return the splits of the images that files list, a name or path in each line, as annotations.

    `splits` are those of files, or of folders of images (None: what the files' names say). Lists may give the classes
    too: those that are numbers, by the names that all of their images begin with, if these are the class's alone.
    """
    # The split of each image, and its class or the class's number.
    labels: dict[str, str] = {}
    listed: dict[str, Annotation] = {}
    splits = splits or splits_of_files(files)
    for file, split in splits.items():
        below = map(str, files_below(file, EXTENSIONS)) if file.is_dir() else ()
        for line in below or (line for _, line in read_lines(file, findings)):
            name, label = _parse_line(line.replace("\\", "/"))
            key = stem_of(PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("/", ".."))))
            other = listed.setdefault(key, Annotation(str(file), key, split=split))
            if other.split != split or (label and labels.setdefault(key, label) != label):
                findings.fault((file, other.source), f"{as_line(key)} is in both; keep one of the two")

    # Names of classes for their numbers.
    names = {key: re.sub("_?[0-9]+$", "", PurePosixPath(key).name) for key in labels}
    pairs = {(labels[key], names[key]) for key in labels}
    one_to_one = len(pairs) == len({number for number, _ in pairs}) == len({name for _, name in pairs})
    one_to_one &= all(map(str.isdecimal, labels.values()))
    listed |= {key: replace(listed[key], label=(names if one_to_one else labels)[key]) for key in labels}
    unused = [str(file) for file in files if not splits or (split_of(file.stem)[0] is None and file not in splits)]
    findings.remark(unused, "no lists of train and of val or test, and so no split is taken from it", "list")
    return [*listed.values()]


def _parse_line(line: str) -> tuple[str, str | None]:
    """Return the name in a line of a list, and the class after it if it has one."""
    match = _LINE.fullmatch(line)
    return (match["image"] or match[3], match["label"] or match[4]) if match else (line, None)
