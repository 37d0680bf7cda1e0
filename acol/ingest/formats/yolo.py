"""YOLO's labels: a text file per image, and the names of the classes in data.yaml."""

import math
import re
from collections.abc import Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acol.data.images import as_line
from acol.data.manifest import SPLITS
from acol.ingest.annotations import Annotation, BoxForm, Format, Object, bounds, from_centre
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import is_image_list, parse_integer, parse_number, read_lines, read_lists
from acol.ingest.layout import files_below
from acol.ingest.names import normalised, split_of

_LIST_OF_NAMES = "classes.txt"
_BOX = 4  # numbers of a box: centre and size
_CORNERS = 8  # numbers of an oriented box
_TRIANGLE = 6  # numbers of the smallest polygon
# Key points may lie a little outside of their box; such a box lies in the image but for rounding.
_WIDER, _MOST, _NEAR = 1.1, 0.9, 1e-3


def read_yolo(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the annotations of YOLO's text files under `folder`; a file's path is its image's.

    A line is "class x y width height", of the box's centre and size, or "class x y x y x y ..." of a polygon, which is
    a mask; all are fractions of the image. Where all polygons have four points they are oriented boxes, and no masks.
    With `kpt_shape` in the YAML file key points follow the box. The classes' names are in classes.txt, *.names or any
    YAML file, in the folder or above it. Sources: docs.ultralytics.com/datasets: detect, segment, pose and obb.
    """
    if not folder.is_dir():
        findings.fault(folder, "no such folder of labels; correct its path")
        return []
    classes = _classes(folder, findings)
    paths = [path for path in files_below(folder, (".txt",)) if path.name != _LIST_OF_NAMES]
    files = {path: _read(path) for path in paths if not is_image_list(path)} if classes.names else {}
    if not paths:
        findings.fault(folder, "no label files (*.txt); correct its path")
    long = [numbers for objects, _ in files.values() for _, _, numbers in objects if len(numbers) > _BOX]
    shape = _shape_of_lines(long, classes.key_points) if long else "box"
    if shape == "unclear":
        what = "its lines may be polygons, or boxes and key points; add kpt_shape: [COUNT, 2 or 3], or kpt_shape: null"
        findings.fault(folder, f"{what}, to {classes.source}")
    elif shape == "oriented":
        findings.note(f"{len(long)} oriented boxes in {as_line(folder)}: the upright box around each counts, no mask")
    elif shape == "pose":
        findings.note(f"{len(long)} boxes with key points in {as_line(folder)}: only the boxes are read")
    return [
        _annotation(path, path.relative_to(folder).with_suffix("").as_posix(), *lines, classes, shape)
        for path, lines in files.items()
    ]


def read_image_lists(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the splits that train.txt, val.txt and test.txt give, in the folder of labels, below or above it.

    The lists or folders that a YAML file names as train, val and test come first, if they have names of their own.
    """
    above = chain.from_iterable(sorted(place.glob("*.txt")) for place in (folder.parent, folder.parent.parent))
    files = [file for file in (*files_below(folder, (".txt",)), *above) if is_image_list(file)]
    return read_lists(files, findings, _named_splits(folder))


def _named_splits(folder: Path) -> dict[Path, str]:
    """Return the lists and folders that YAML files with names of classes give as splits; not those named after one."""
    splits: dict[Path, str] = {}
    for file in (file for place in (folder, folder.parent, folder.parent.parent) for file in place.glob("*.y*ml")):
        classes = _classes_in(file, Findings()) or _Classes({}, "", None)
        for split, values in classes.splits.items():
            for value in values if isinstance(values, list) else [values]:
                places = [file.parent / classes.root / str(value), file.parent / re.sub(r"^(\.\./)+", "", str(value))]
                place = next((place for place in places if place.exists()), None)
                if place and not any(split_of(part)[0] for part in Path(str(value)).with_suffix("").parts):
                    splits.setdefault(place, split)
    return splits if {"train"} < set(splits.values()) else {}


FORMAT = Format(read_yolo, "image", r".*\.txt", lists=read_image_lists)


class _Classes(NamedTuple):
    """The names by index; their file; and how many numbers kpt_shape adds to a box (0: none, None: not said)."""

    names: dict[int, str]
    source: str
    key_points: int | None
    root: str = ""  # that the paths of splits are relative to
    splits: Mapping[str, Any] = {}  # paths of lists or folders by split


_Lines = list[tuple[int, int, list[float]]]  # number, class and numbers of each line that is an object


def _classes(folder: Path, findings: Findings) -> _Classes:
    """Return the classes that files in the folder or above it name; files that disagree are a fault."""
    every: list[_Classes] = []
    before = len(findings.faults)
    for place in (folder, folder.parent, folder.parent.parent):
        files = [file for name in (_LIST_OF_NAMES, "*.names", "*.y*ml") for file in sorted(place.glob(name))]
        every += [classes for file in files if file.is_file() and (classes := _classes_in(file, findings))]
        if any(not classes.source.endswith(".txt") for classes in every):
            break  # the top of the data set: what is above it is of another one
    for one, other in pairwise(every):
        both = [(one.names[n], other.names[n]) for n in sorted(one.names.keys() & other.names.keys())]
        if unlike := [names for names in both if normalised(names[0]) != normalised(names[1])]:
            what = f"one names a class {unlike[0][0]!r}, the other one {unlike[0][1]!r}"
            findings.fault((one.source, other.source), f"{what}; correct or remove one of the two")
    if not every:
        if len(findings.faults) == before:
            findings.fault(folder, "no data.yaml or classes.txt with the names of the classes; add one")
        return _Classes({}, "data.yaml", None)
    names = {index: name for classes in reversed(every) for index, name in classes.names.items()}
    points = next((classes.key_points for classes in every if classes.key_points is not None), None)
    return _Classes(names, every[-1].source, points)


def _classes_in(file: Path, findings: Findings) -> _Classes | None:
    """Return what a file says of classes; None for a YAML file of something else."""
    ours = file.stem.startswith("data") or file.suffix[1] != "y"
    try:
        text = file.read_text(encoding="utf-8-sig")
        body = YAML(typ="safe").load(text) if file.suffix[1] == "y" else {"names": text.split("\n")}
        if not ours and (not isinstance(body, dict) or "names" not in body):
            return None
        pairs = body["names"].items() if isinstance(body["names"], dict) else enumerate(body["names"])
        names = {int(index): str(name).strip() for index, name in pairs if str(name).strip()}
        if not names:
            raise ValueError
        shape = body.get("kpt_shape", ())
        points = None if shape == () else math.prod(map(int, shape or (0,)))
        splits = {split: body[split] for split in SPLITS if body.get(split)}
        findings.read.add(str(file))
        return _Classes(names, str(file), points, str(body.get("path") or ""), splits)
    except (OSError, ValueError, TypeError, ArithmeticError, AttributeError, LookupError, YAMLError):
        if ours:
            findings.fault(file, "no names of classes in it; add names: [first, second, ...]")
        return None


def _read(path: Path) -> tuple[_Lines, Findings]:
    findings, objects = Findings(), []  # what is wrong counts only if the file belongs to an image
    for row, line in read_lines(path, findings):
        try:
            index, *values = line.split()
            if len(values) != _BOX and len(values) < _TRIANGLE:
                raise ValueError
            objects.append((row, parse_integer(index), [parse_number(value) for value in values]))
        except ValueError:
            what = "is not CLASS X Y WIDTH HEIGHT, or CLASS and three or more points X Y"
            findings.fault(f"{path} line {row}", f"{line!r:.80} {what}; correct it")
    return objects, findings


def _shape_of_lines(long: list[list[float]], key_points: int | None) -> str:
    """Return what lines with more numbers than a box has are: a "pose", "oriented" boxes, a "polygon", or "unclear"."""
    one_count = len({len(numbers) for numbers in long}) == 1
    if key_points:
        return "pose"
    if key_points is None and one_count and all(map(_may_be_pose, long)):
        return "unclear"
    return "oriented" if one_count and len(long[0]) == _CORNERS else "polygon"


def _may_be_pose(numbers: list[float]) -> bool:
    """Whether numbers may be a box in the image and points, most of them in it, with or without visibilities."""
    x, y, width, height = numbers[:_BOX]
    points = numbers[_BOX:]
    in_image = width / 2 <= min(x, 1 - x) + _NEAR and height / 2 <= min(y, 1 - y) + _NEAR and min(width, height) > 0
    for step in (2, 3):
        visible = step == 2 or all(value in (0, 1, 2) for value in points[2::3])
        if in_image and visible and len(points) % step == 0:
            inside = [
                (px == py == 0) or (abs(px - x) <= _WIDER * width / 2 and abs(py - y) <= _WIDER * height / 2)
                for px, py in zip(points[0::step], points[1::step], strict=True)
            ]
            if sum(inside) >= _MOST * len(inside):
                return True
    return False


def _annotation(file: Path, path: str, lines: _Lines, findings: Findings, classes: _Classes, shape: str) -> Annotation:
    objects: list[Object] = []
    for row, index, numbers in lines:
        where, count = f"{file} line {row}", len(numbers)
        wanted = _BOX + (classes.key_points or 0)
        if index not in classes.names:
            findings.fault(where, f"no class {index}; there are {len(classes.names)}, from {min(classes.names)} on")
            continue
        if count != _BOX and (count != wanted if shape == "pose" else count % 2):
            what = f"not {_BOX} of a box or {wanted}" if shape == "pose" else "an odd one, and so no polygon"
            findings.fault(where, f"the count of its numbers is {count}, {what}; correct it")
            continue
        boxed = count == _BOX or shape == "pose"
        box = from_centre(*numbers[:_BOX]) if boxed else bounds(numbers[0::2], numbers[1::2])
        outline = (tuple(numbers),) if shape == "polygon" and count > _BOX else None
        objects.append(Object(box, classes.names[index], outline=outline))
    reading: BoxForm | None = "centre" if shape in ("box", "pose") else None
    faults = tuple(findings.faults)
    return Annotation(str(file), path, tuple(objects), fractions=True, reading=reading, faults=faults)
