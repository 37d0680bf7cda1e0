"""YOLO's labels: a text file per image, and the names of the classes in data.yaml."""

from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acol.data.images import shown
from acol.ingest.annotations import Annotation, Format, Parsed, Polygons
from acol.ingest.formats.text import number, whole

_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")


def read_yolo(folder: Path) -> Parsed:
    """Return the annotations of YOLO's text files under `folder`, keyed by the file's path without its suffix.

    A line is "class x y width height", of the box's centre and size, or "class x y x y x y ..." of a polygon, which is
    a mask, and whose bounding box counts; all are fractions of the image, which `acol.ingest.boxes` multiplies by its
    size. The classes' names are in data.yaml or classes.txt, in the folder or above it. Source:
    docs.ultralytics.com/datasets/detect and /segment.
    """
    if not folder.is_dir():
        return {}, [f"{shown(folder)}: no such folder of labels; correct its path"]
    faults: list[str] = []
    names = _names(folder, faults)
    files = [file for file in sorted(folder.rglob("*.txt")) if file.name not in _NAMES]
    if not files:
        faults.append(f"{shown(folder)}: no label files (*.txt); correct its path")
    annotations = {}
    for file in files:
        key = PurePosixPath(file.relative_to(folder)).with_suffix("").as_posix()
        annotations[key] = _file(file, names, faults) if names else Annotation(str(file), ())
    return annotations, faults


FORMAT = Format(read_yolo, without_suffix=True)


def _names(folder: Path, faults: list[str]) -> dict[int, str]:
    """Return the class names by index; a fault if there are none."""
    for place in (folder, folder.parent, folder.parent.parent):
        for file in (place / name for name in _NAMES if (place / name).is_file()):
            try:
                text = file.read_text(encoding="utf-8-sig")
                found = YAML(typ="safe").load(text).get("names") if file.suffix == ".yaml" else text.split("\n")
                return _table(found)
            except (OSError, ValueError, TypeError, ArithmeticError, AttributeError, YAMLError):
                faults.append(f"{shown(file)}: no names of classes in it; add names: [first, second, ...]")
                return {}
    faults.append(f"{shown(folder)}: no data.yaml or classes.txt with the names of the classes; add one")
    return {}


def _table(found: Any) -> dict[int, str]:
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    table = {int(index): str(name).strip() for index, name in pairs if str(name).strip()}
    if not table:
        raise ValueError
    return table


def _file(file: Path, names: dict[int, str], faults: list[str]) -> Annotation:
    boxes, objects, outlines = [], [], []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        faults.append(f"{shown(file)}: not UTF-8 text; correct or remove it")
        lines = []
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            index, *values = line.split()
            kind, numbers = whole(index), [number(value) for value in values]
            if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
                raise ValueError
        except ValueError:
            what = "is not CLASS X Y WIDTH HEIGHT, or CLASS and three or more points X Y"
            faults.append(f"{shown(file)} line {row}: {line!r:.80} {what}; correct it")
            continue
        if kind not in names:
            faults.append(f"{shown(file)} line {row}: no class {kind}; there are {len(names)}, from {min(names)} on")
            continue
        if len(numbers) == 4:
            x, y, width, height = numbers
            boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        else:
            xs, ys = numbers[0::2], numbers[1::2]
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
        outlines.append(None if len(numbers) == 4 else Polygons((tuple(numbers),)))
        objects.append(names[kind])
    return Annotation(str(file), tuple(boxes), names=tuple(objects), outlines=tuple(outlines), fractions=True)
