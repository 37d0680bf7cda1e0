"""CSV with a header: a row per object, or per image."""

import csv
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath

from acol.data.images import shown, stem_of
from acol.data.manifest import SPLITS, Box
from acol.ingest.annotations import MARKS, Annotation, Format, Parsed
from acol.ingest.formats.text import number

# The headers that people's files have, by what they mean.
_COLUMNS = {
    "path": ("path", "image", "filename", "file_name", "file", "image_id", "image_path", "imageid"),
    "class": ("class", "label", "class_name", "name", "category", "labelname"),
    "split": ("split", "set", "subset"),
    "x0": ("x0", "xmin", "x_min", "x1", "left"),
    "y0": ("y0", "ymin", "y_min", "y1", "top"),
    "x1": ("x1", "xmax", "x_max", "x2", "right"),
    "y1": ("y1", "ymax", "y_max", "y2", "bottom"),
    "width": ("width", "w"),
    "height": ("height", "h"),
    **{mark: (mark, f"is{mark.replace('_', '')}") for mark in MARKS},
}
_OPEN_IMAGES = {"imageid", "labelname"}  # its boxes are in fractions of the image


def read_csv(path: Path) -> Parsed:
    """Return the annotations of a CSV file, keyed by the path that it has for the image.

    Its header names the columns: path, and optionally class, split, and the half-open corners x0, y0, x1, y1 in pixels
    (or xmin, ymin, xmax, ymax, or x1, y1, x2, y2; width and height may be the image's). A row without corners only
    gives the image's class: a list of labels. Columns of `MARKS` hold 1 where an object is marked so, and those of
    OpenImages (ImageID, LabelName, XMin, ..., IsOccluded, ...; fractions) are known too.
    """
    faults: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except OSError as error:
        return {}, [f"{shown(path)}: cannot be read ({error.strerror}); correct its path"]
    except UnicodeDecodeError:
        return {}, [f"{shown(path)}: not UTF-8 text; save it as UTF-8"]
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    names = [name.strip().casefold() for name in header]
    columns, fractions = _columns(names), set(names) >= _OPEN_IMAGES
    if "path" not in columns or not {"class", "x0"} & set(columns):
        wanted = "path,class or path,class,x0,y0,x1,y1"
        return {}, [f"{shown(path)} line 1: no header with the columns {wanted}; add one as its first line"]
    annotations: dict[str, Annotation] = {}
    for line, row in enumerate(rows, 2):
        if not any(map(str.strip, row)):
            continue
        values = {name: row[place].strip() for name, place in columns.items() if place < len(row)}
        try:
            key, annotation = _row(path, values, fractions)
        except ValueError as error:
            faults.append(f"{shown(path)} line {line}: {error}; correct it")
            continue
        annotations[key] = _joined(annotations[key], annotation) if key in annotations else annotation
    return annotations, faults


FORMAT = Format(read_csv, without_suffix=True, gives_splits=True)


def _columns(header: list[str]) -> dict[str, int]:
    """Return the place of each known column. Files with x1, y1, x2, y2 name the first corner x1."""
    known = dict(_COLUMNS)
    if not {"x2", "y2"} <= set(header):
        known |= {"x0": (*known["x0"][:3], "left"), "y0": (*known["y0"][:3], "top")}
    else:
        known |= {"x1": ("x2",), "y1": ("y2",)}
    places = {}
    for name, spellings in known.items():
        if there := [header.index(spelling) for spelling in spellings if spelling in header]:
            places[name] = there[0]
    return places


def _row(path: Path, values: dict[str, str], fractions: bool) -> tuple[str, Annotation]:
    image = PurePosixPath(values.get("path", "").replace("\\", "/"))
    if not image.name:
        raise ValueError("no path of an image")
    corners = [values.get(name, "") for name in ("x0", "y0", "x1", "y1")]
    boxes: tuple[Box, ...] = ()
    if all(corners):
        try:
            x0, y0, x1, y1 = map(number, corners)
        except ValueError:
            raise ValueError(f"the box {', '.join(corners)!r:.60} is not four numbers") from None
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise ValueError(f"the box {', '.join(corners)!r:.60} is not four finite numbers")
        boxes = ((x0, y0, x1, y1),)
    elif any(corners):
        raise ValueError("a box with fewer than four corners")
    split = {"valid": "val", "validation": "val"}.get(values.get("split", "").casefold(), values.get("split", ""))
    if split and split not in SPLITS:
        raise ValueError(f"the split {split!r:.40} is not one of {', '.join(SPLITS)}")
    kind = values.get("class") or None
    if "class" in values and kind is None and boxes:
        raise ValueError("an object without a class")
    marks = frozenset(mark for mark in MARKS if values.get(mark, "").casefold() in ("1", "true"))
    return stem_of(image), Annotation(
        str(path),
        boxes,
        names=(kind,) * len(boxes) if kind else (),
        marks=(marks,) * len(boxes),
        label=None if boxes else kind,
        split=split or None,
        image=image.name,
        fractions=fractions,
    )


def _joined(one: Annotation, other: Annotation) -> Annotation:
    return replace(
        one,
        boxes=one.boxes + other.boxes,
        names=one.names + other.names,
        marks=one.marks + other.marks,
        label=one.label or other.label,
        split=one.split or other.split,
    )
