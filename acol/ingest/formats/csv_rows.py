"""CSV with a header: a row per object, or per image."""

import csv
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import shown, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import MARKS, Annotation, Format, Object, from_centre, from_size
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import files_of, grouped, number, read_text, splits_of_files
from acol.ingest.names import plain, split_of

# The headers that people's files have, by what they mean; without space, underscore and the like (`_bare`).
_COLUMNS = {
    "path": ("path", "image", "filename", "file", "imageid", "imagepath", "imagename", "imagefile", "filepath", "img"),
    "class": ("class", "label", "classname", "name", "category", "labelname"),
    "split": ("split", "set", "subset"),
    **{mark: (mark.replace("_", ""), f"is{mark.replace('_', '')}") for mark in MARKS},
}
_OPEN_IMAGES = {"imageid", "labelname"}  # its boxes are in fractions of the image
_PREFIX = re.compile(r"(bounding[ _.-]?box|bbox|box|bb|rect|roi)[ _.-]?")

_Conversion = Callable[[float, float, float, float], Box]
_FROM_CORNERS: _Conversion = lambda x0, y0, x1, y1: (x0, y0, x1, y1)  # noqa: E731
_CORNERS = {
    ("x0", "y0"): ("x1", "y1"), ("xmin", "ymin"): ("xmax", "ymax"), ("minx", "miny"): ("maxx", "maxy"),
    ("x1", "y1"): ("x2", "y2"), ("left", "top"): ("right", "bottom"), ("xtl", "ytl"): ("xbr", "ybr"),
    ("topx", "topy"): ("bottomx", "bottomy"), ("topleftx", "toplefty"): ("bottomrightx", "bottomrighty"),
    ("x", "y"): (),
}  # fmt: skip
_CENTRES = (("cx", "cy"), ("xc", "yc"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"))
_SIZES = (("width", "height"), ("w", "h"))
# What four columns are, first two corners, which leave width and height to the image.
_SCHEMES: list[tuple[tuple[str, ...], _Conversion]] = [
    *(((*first, *second), _FROM_CORNERS) for first, second in _CORNERS.items() if second),
    *(((*first, *size), from_size) for first in _CORNERS for size in _SIZES),
    *(((*centre, *size), from_centre) for centre in _CENTRES for size in _SIZES),
]


def read_csv(path: Path, findings: Findings) -> dict[str, Annotation]:
    """Return the annotations of a CSV file, or of those under a folder, keyed by the path that they have for the image.

    Its header names the columns: path, and optionally class, split, marks, and a box: half-open corners, or a corner or
    a centre and a size, in pixels. Width and height that are not the box's are the image's. A row without a box only
    gives the image's class. Columns of OpenImages (ImageID, LabelName, XMin, ...; fractions) are known too.
    Of a folder, files that are named after splits (train.csv, val.csv, test.csv) give them; others are passed over.
    """
    files = files_of(path, ".csv", findings)
    splits = splits_of_files(files) if path.is_dir() else {}
    aside = [str(file) for file in files if splits and file not in splits]
    findings.remark(aside, "a CSV file beside those of the splits: passed over", "file")

    found: list[tuple[str, tuple[str, Annotation]]] = []  # of each row its image's key, where it is, and what it says
    headless = []
    for file in splits or files:
        if not (rows := _rows(file, findings)):
            continue
        header = _Header.of([name.strip().casefold() for name in rows[0][1]])
        if "path" not in header.columns or not ("class" in header.columns or header.box):
            headless.append(file)
            continue
        if not header.box and (unread := header.unread()):
            what = "not read (if they hold boxes, name the corners x0, y0, x1, y1, or a corner and size x, y, w, h)"
            findings.note(f"{shown(file)}: columns that are {what}: {', '.join(unread)}")
        new = []
        for line, cells in rows[1:]:
            try:
                new.append((f"{file} line {line}", *_annotation(file, header, cells, splits.get(file))))
            except ValueError as error:
                findings.fault(f"{file} line {line}", f"{error}; correct it")
        of_boxes = all(_is_size_of_box(row) for _, _, row in new)
        found += [(key, (where, replace(row, size=None) if of_boxes else row)) for where, key, row in new]
    annotations = {key: _joined(key, its, findings) for key, its in grouped(found).items()}

    # Tables of something else are passed over, unless there are no others.
    if annotations:
        findings.remark([*map(str, headless)], "no columns of a path and a class or a box: passed over", "CSV file")
    else:
        for file in headless:
            wanted = "path,class or path,class,x0,y0,x1,y1"
            findings.fault(f"{file} line 1", f"no header with the columns {wanted}; add one as its first line")
    return annotations


FORMAT = Format(read_csv, "file", "*.csv")


@dataclass(frozen=True)
class _Header:
    names: Sequence[str]
    columns: Mapping[str, int]
    box: tuple[int, ...]
    convert: _Conversion
    size: tuple[int, ...]

    @classmethod
    def of(cls, names: list[str]) -> "_Header":
        """Read a header. Names that begin with bbox, box, ... are the box's before others."""
        bare = {_bare(name): place for place, name in reversed(list(enumerate(names)))}
        prefixed = {_bare(_PREFIX.sub("", name, count=1)): names.index(name) for name in names if _PREFIX.match(name)}
        known = [(meaning, name) for meaning, names in _COLUMNS.items() for name in reversed(names) if name in bare]
        columns = {meaning: bare[name] for meaning, name in known}  # the first spelling counts
        fitting = [
            (tuple(pool[name] for name in wanted), convert)
            for pool in (prefixed, bare | prefixed)
            for wanted, convert in _SCHEMES
            if set(wanted) <= set(pool)
        ]
        box, convert = fitting[0] if fitting else ((), _FROM_CORNERS)
        sizes = [tuple(f"{image}{side}" for side in size) for image in ("image", "img", "") for size in _SIZES]
        free = {name: place for name, place in bare.items() if place not in box}
        size = next((tuple(free[name] for name in wanted) for wanted in sizes if set(wanted) <= set(free)), ())
        return cls(names, columns, box, convert, size if box else ())

    def unread(self) -> list[str]:
        """Return the columns that mean nothing here."""
        read = {*self.columns.values(), *self.box, *self.size}
        return [name for place, name in enumerate(self.names) if name and place not in read]


def _rows(path: Path, findings: Findings) -> list[tuple[int, list[str]]]:
    if (text := read_text(path, findings)) is None:
        return []
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = list(enumerate(csv.reader(lines, delimiter=delimiter), 1)) or [(1, [])]
    return [rows[0], *((line, row) for line, row in rows[1:] if any(map(str.strip, row)))]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name)


def _annotation(path: Path, header: _Header, row: list[str], split: str | None) -> tuple[str, Annotation]:
    """Return the key of a row's image, and what the row says. Raises `ValueError` for one that cannot be read."""
    cells = [cell.strip() for cell in row] + [""] * len(header.names)
    values = {name: cells[place] for name, place in header.columns.items()}
    image = PurePosixPath(values["path"].replace("\\", "/"))
    if not image.name:
        raise ValueError("no path of an image")
    kind, box = values.get("class") or None, _box(header, cells)
    if "class" in values and kind is None and box:
        raise ValueError("an object without a class")
    if own := values.get("split"):
        meant, rest = split_of(own)
        if meant is None or rest:
            raise ValueError(f"the split {own!r:.40} is not one of train, val, test")
        if split not in (None, meant):
            raise ValueError(f"the split {own!r:.40} in the file of {split}")
        split = meant
    found = Annotation(str(path), label=None if box else kind, split=split, image=image.name)
    if box:
        marks = frozenset(mark for mark in MARKS if values.get(mark, "").casefold() in ("1", "true"))
        fractions = set(header.names) >= _OPEN_IMAGES
        found = replace(found, objects=(Object(box, kind, marks),), size=_size(header, cells), fractions=fractions)
    return stem_of(image), found


def _box(header: _Header, cells: list[str]) -> Box | None:
    texts = [cells[place] for place in header.box]
    if not any(texts):
        return None
    if not all(texts):
        raise ValueError("a box with fewer than four numbers")
    try:
        a, b, c, d = map(number, texts)
    except ValueError:
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four numbers") from None
    if not all(map(math.isfinite, (a, b, c, d))):
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four finite numbers")
    return header.convert(a, b, c, d)


def _size(header: _Header, cells: list[str]) -> tuple[int, int] | None:
    texts = [cells[place] for place in header.size if cells[place]]
    if len(texts) < 2:
        return None
    try:
        width, height = (int(number(text)) for text in texts)
    except (ValueError, OverflowError):
        raise ValueError(f"the size {' x '.join(texts)!r:.60} is not two numbers") from None
    return (width, height) if width > 0 and height > 0 else None


def _is_size_of_box(row: Annotation) -> bool:
    """Whether width and height of a row beside its corners are the box's."""
    if row.size is None:
        return True
    x0, y0, x1, y1 = row.objects[0].box
    return abs(x1 - x0 - row.size[0]) <= 1 and abs(y1 - y0 - row.size[1]) <= 1


def _joined(key: str, rows: list[tuple[str, Annotation]], findings: Findings) -> Annotation:
    """Return what an image's rows say together; what one says otherwise than an earlier one is a fault."""
    facts: dict[str, Any] = {}
    for field, what in {"label": "class", "split": "split", "size": "size"}.items():
        said = [(value, where) for where, row in rows if (value := getattr(row, field)) is not None]
        facts[field], place = said[0] if said else (None, "")
        for value, where in said:
            other = facts[field]
            if value != other and not (what == "class" and plain(value) == plain(other)):
                has = f"{shown(key)} has the {what} {value!r}, but {other!r} in {shown(place)}"
                findings.fault(where, f"{has}; keep one of the two")
    return replace(rows[0][1], objects=tuple(item for _, row in rows for item in row.objects), **facts)
