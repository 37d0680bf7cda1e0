"""What a folder's files may be: annotations of a format, files of one split, lists of images with their splits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from acol.data.images import EXTENSIONS, shown, stem_of
from acol.ingest.annotations import Annotation
from acol.ingest.findings import Findings
from acol.ingest.formats.lines import read_text
from acol.ingest.layout import files_below
from acol.ingest.names import split_of, words

# A name, and what lists of VOC (1, 0 or -1: whether a class is there) and of Oxford Pets (three numbers) put after it.
_LINE = re.compile(r"\s*(.*?)(?:\s+-?[01]|\s+([0-9]+)\s+[0-9]+\s+[0-9]+)?\s*")


def files_of(path: Path, suffix: str, findings: Findings) -> list[Path]:
    """Return the annotation file `path`, or those below this folder."""
    files = list(files_below(path, (suffix,))) if path.is_dir() else [path]
    if not files:
        findings.fault(path, f"no {suffix[1:].upper()} files; correct its path")
    return files


def splits_of_files(files: Sequence[Path]) -> dict[Path, str]:
    """Return the split that each file's name says, if there is one of train and another: not a train.txt alone.

    A file trainval beside one of val only joins lists.
    """
    said = {file: split for file in files if (split := split_of(file.stem)[0])}
    joined = {file for file in said if "trainval" in words(file.stem) or {"train", "val"} <= set(words(file.stem))}
    if "val" in said.values():
        said = {file: split for file, split in said.items() if file not in joined}
    return said if {"train"} < set(said.values()) else {}


def is_image_list(file: Path) -> bool:
    """Return whether each line of a text file names an image file. It is read up to the first line that does not."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            lines = filter(None, map(str.strip, opened))
            return next(lines, "").lower().endswith(EXTENSIONS) and all(
                line.lower().endswith(EXTENSIONS) for line in lines
            )
    except (OSError, ValueError):
        return False


def read_lists(
    files: Sequence[Path], findings: Findings, splits: Mapping[Path, str] | None = None
) -> dict[str, Annotation]:
    """Return the splits of the images that files list, a name or path in each line, keyed by it without its suffix.

    `splits` are those of files, or of folders of images (None: what the files' names say). Oxford Pets' lists give the
    classes too: their numbers, by the names that all of their images begin with.
    """
    labels: dict[str, str] = {}  # the class's number by key
    splits = splits or splits_of_files(files)
    found: dict[str, Annotation] = {}
    for file, split in splits.items():
        below = map(str, files_below(file, EXTENSIONS)) if file.is_dir() else ()
        for line in filter(str.strip, below or (read_text(file, findings) or "").split("\n")):
            match = _LINE.fullmatch(line.replace("\\", "/"))
            path = PurePosixPath(match[1] if match else line)
            key = stem_of(PurePosixPath(*(part for part in path.parts if part not in ("/", ".."))))
            if match and match[2]:
                labels[key] = match[2]
            other = found.setdefault(key, Annotation(str(file), split=split))
            if other.split != split:
                both = f"{shown(file)} and {shown(other.source)}"
                findings.fault(both, f"{shown(key)} is in both; keep one of the two")
    names = {key: re.sub("_?[0-9]+$", "", PurePosixPath(key).name) for key in labels}
    pairs = {(labels[key], names[key]) for key in labels}
    one_to_one = len(pairs) == len({number for number, _ in pairs}) == len({name for _, name in pairs})
    found |= {key: replace(found[key], label=(names if one_to_one else labels)[key]) for key in labels}
    unused = [str(file) for file in files if not splits or (split_of(file.stem)[0] is None and file not in splits)]
    findings.remark(unused, "no lists of train and of val or test, and so no split is taken from it", "list")
    return found
