"""CSV with a header: a row per object, or per image."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from acol.data.images import shown, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import MARKS, Annotation, Format, Parsed
from acol.ingest.formats.lines import number
from acol.ingest.formats.lists import splits_of_files
from acol.ingest.labels import told
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
_UNREAD = re.compile(r"(.*[ _.-])?(polygons?|segmentations?|points|contours?|encodedpixels|rle)")

_Numbers = tuple[float, float, float, float]
_FROM_CORNERS: Callable[[_Numbers], Box] = lambda n: n  # noqa: E731
_FROM_SIZE: Callable[[_Numbers], Box] = lambda n: (n[0], n[1], n[0] + n[2], n[1] + n[3])  # noqa: E731
_FROM_CENTRE: Callable[[_Numbers], Box] = lambda n: (  # noqa: E731
    n[0] - n[2] / 2, n[1] - n[3] / 2, n[0] + n[2] / 2, n[1] + n[3] / 2,
)  # fmt: skip
_CORNERS = {
    ("x0", "y0"): ("x1", "y1"), ("xmin", "ymin"): ("xmax", "ymax"), ("minx", "miny"): ("maxx", "maxy"),
    ("x1", "y1"): ("x2", "y2"), ("left", "top"): ("right", "bottom"), ("xtl", "ytl"): ("xbr", "ybr"), ("x", "y"): (),
}  # fmt: skip
_CENTRES = (("cx", "cy"), ("xc", "yc"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"))
_SIZES = (("width", "height"), ("w", "h"))
# What four columns are, first two corners, which leave width and height to the image.
_SCHEMES: list[tuple[tuple[str, ...], Callable[[_Numbers], Box]]] = [
    *(((*first, *second), _FROM_CORNERS) for first, second in _CORNERS.items() if second),
    *(((*first, *size), _FROM_SIZE) for first in _CORNERS for size in _SIZES),
    *(((*centre, *size), _FROM_CENTRE) for centre in _CENTRES for size in _SIZES),
]
_PLACES = {name for names, _ in _SCHEMES for name in names} - {name for size in _SIZES for name in size}


def read_csv(path: Path) -> Parsed:
    """Return the annotations of a CSV file, or of those under a folder, keyed by the path that they have for the image.

    Its header names the columns: path, and optionally class, split, and a box in pixels: the half-open corners x0, y0,
    x1, y1 (or xmin, ymin, xmax, ymax, ...), or a corner and a size (x, y, w, h; bbox_x, bbox_y, bbox_width, ...; left,
    top, width, height), or a centre and a size (cx, cy, w, h). Width and height that are not the box's are the image's.
    A row without a box only gives the image's class: a list of labels. Columns of `MARKS` hold 1 where an object is
    marked so, and those of OpenImages (ImageID, LabelName, XMin, ..., IsOccluded, ...; fractions) are known too.

    Of a folder, files that are named after splits (train.csv, val.csv, test.csv) give them; others are passed over.
    """
    if not path.is_dir():
        return _read([path], {})
    files = sorted(file for file in path.rglob("*.csv") if not file.name.startswith("."))
    splits = splits_of_files(files)
    if not files:
        return Parsed({}, [f"{shown(path)}: no CSV files; correct its path"])
    found = _read(list(splits) or files, splits)
    aside = [str(file) for file in files if splits and file not in splits]
    remarks = [told(aside, "a CSV file beside those of the splits: passed over", "file")] if aside else []
    return Parsed(found.annotations, found.faults, [*remarks, *found.remarks])


FORMAT = Format(read_csv, without_suffix=True, gives_splits=True)


@dataclass(frozen=True)
class _Header:
    """The places of a file's columns: by meaning; of the box, and how its numbers are meant; of the image's size."""

    columns: Mapping[str, int]
    box: tuple[int, ...]
    convert: Callable[[_Numbers], Box]
    size: tuple[int, ...]
    fractions: bool


def _read(files: list[Path], splits: Mapping[Path, str]) -> Parsed:
    annotations: dict[str, Annotation] = {}
    faults: list[str] = []
    remarks: list[str] = []
    headless: dict[Path, str] = {}
    said: dict[tuple[str, str], tuple[object, str]] = {}  # what a row first said of an image, and where
    for file in files:
        if not (rows := _rows(file, faults)):
            continue
        first = [name.strip().casefold() for name in rows[0][1]]
        header = _header(first)
        unread = [name for name in first if not header.box and _looks_like_box(name)]
        if unread:
            what = "no box is read from these columns; name the corners x0, y0, x1, y1, or a corner and size x, y, w, h"
            remarks.append(f"{shown(file)}: {', '.join(unread)}: {what}")
        if "path" not in header.columns or not ("class" in header.columns or header.box):
            wanted = "path,class or path,class,x0,y0,x1,y1"
            headless[file] = f"{shown(file)} line 1: no header with the columns {wanted}; add one as its first line"
            continue
        found = list(_annotations(file, header, rows[1:], splits.get(file), faults))
        if all(_is_size_of_box(row) for _, _, row in found):
            found = [(where, key, replace(row, size=None)) for where, key, row in found]
        for where, key, row in found:
            faults += _contradictions(where, key, row, said)
            annotations[key] = _joined(annotations[key], row) if key in annotations else row
    if annotations and headless:
        remarks.append(
            told([*map(str, headless)], "no columns of a path and a class or a box: passed over", "CSV file")
        )
    return Parsed(annotations, [*faults, *([] if annotations else headless.values())], remarks)


def _rows(path: Path, faults: list[str]) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, with their lines' numbers; none, and a fault, if the file cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except OSError as error:
        faults.append(f"{shown(path)}: cannot be read ({error.strerror}); correct its path")
        return []
    except UnicodeDecodeError:
        faults.append(f"{shown(path)}: not UTF-8 text; save it as UTF-8")
        return []
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = list(enumerate(csv.reader(lines, delimiter=delimiter), 1)) or [(1, [])]
    return [rows[0], *((line, row) for line, row in rows[1:] if any(map(str.strip, row)))]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name)


def _looks_like_box(name: str) -> bool:
    return bool(_PREFIX.match(name) or _UNREAD.fullmatch(name) or _bare(name) in _PLACES)


def _header(names: list[str]) -> _Header:
    """Return what the columns of these names are. Names that begin with bbox, box, ... are the box's before others."""
    bare = {_bare(name): place for place, name in reversed(list(enumerate(names)))}
    prefixed = {_bare(_PREFIX.sub("", name, count=1)): names.index(name) for name in names if _PREFIX.match(name)}
    columns = {
        meaning: next(bare[spelling] for spelling in spellings if spelling in bare)
        for meaning, spellings in _COLUMNS.items()
        if any(spelling in bare for spelling in spellings)
    }
    box: tuple[int, ...] = ()
    convert = _FROM_CORNERS
    for pool in (prefixed, bare | prefixed):
        for wanted, meant in _SCHEMES:
            if not box and set(wanted) <= set(pool):
                box, convert = tuple(pool[name] for name in wanted), meant
    sizes = [tuple(f"{image}{side}" for side in size) for image in ("image", "img", "") for size in _SIZES]
    free = {name: place for name, place in bare.items() if place not in box}
    size = next((tuple(free[name] for name in wanted) for wanted in sizes if set(wanted) <= set(free)), ())
    return _Header(columns, box, convert, size if box else (), set(names) >= _OPEN_IMAGES)


def _annotations(
    path: Path, header: _Header, rows: list[tuple[int, list[str]]], split: str | None, faults: list[str]
) -> Iterator[tuple[str, str, Annotation]]:
    """Yield where each row is, its image's key, and what it says; a row that cannot be read is a fault."""
    for line, row in rows:
        where = f"{shown(path)} line {line}"
        cells = [cell.strip() for cell in row] + [""] * (max((*header.columns.values(), *header.box)) + 1 - len(row))
        values = {name: cells[place] for name, place in header.columns.items()}
        image = PurePosixPath(values["path"].replace("\\", "/"))
        try:
            if not image.name:
                raise ValueError("no path of an image")
            yield where, stem_of(image), _annotation(path, header, image.name, values, cells, split)
        except ValueError as error:
            faults.append(f"{where}: {error}; correct it")


def _annotation(
    path: Path, header: _Header, image: str, values: Mapping[str, str], cells: list[str], split: str | None
) -> Annotation:
    boxes = _boxes(header, cells)
    kind = values.get("class") or None
    if "class" in values and kind is None and boxes:
        raise ValueError("an object without a class")
    if own := values.get("split"):
        meant, rest = split_of(own)
        if meant is None or rest:
            raise ValueError(f"the split {own!r:.40} is not one of train, val, test")
        if split not in (None, meant):
            raise ValueError(f"the split {own!r:.40} in the file of {split}")
        split = meant
    marks = frozenset(mark for mark in MARKS if values.get(mark, "").casefold() in ("1", "true"))
    return Annotation(
        str(path),
        boxes,
        _size(header, cells) if boxes else None,
        (kind,) * len(boxes) if kind else (),
        (marks,) * len(boxes),
        label=None if boxes else kind,
        split=split,
        image=image,
        fractions=header.fractions,
    )


def _boxes(header: _Header, cells: list[str]) -> tuple[Box, ...]:
    texts = [cells[place] for place in header.box]
    if not any(texts):
        return ()
    if not all(texts):
        raise ValueError("a box with fewer than four numbers")
    try:
        a, b, c, d = map(number, texts)
    except ValueError:
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four numbers") from None
    if not all(map(math.isfinite, (a, b, c, d))):
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four finite numbers")
    return (header.convert((a, b, c, d)),)


def _size(header: _Header, cells: list[str]) -> tuple[int, int] | None:
    texts = [cells[place] for place in header.size if place < len(cells) and cells[place]]
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
    x0, y0, x1, y1 = row.boxes[0]
    return abs(x1 - x0 - row.size[0]) <= 1 and abs(y1 - y0 - row.size[1]) <= 1


def _contradictions(
    where: str, key: str, row: Annotation, said: dict[tuple[str, str], tuple[object, str]]
) -> Iterator[str]:
    """Yield a fault for what a row says of its image and an earlier one says otherwise: class, split or size."""
    for what, value in (("class", row.label), ("split", row.split), ("size", row.size)):
        if value is None:
            continue
        other, place = said.setdefault((key, what), (value, where))
        if other != value and not (what == "class" and plain(str(other)) == plain(str(value))):
            yield f"{where}: {shown(key)} has the {what} {value!r}, but {other!r} in {place}; keep one of the two"


def _joined(one: Annotation, other: Annotation) -> Annotation:
    return replace(
        one,
        boxes=one.boxes + other.boxes,
        size=one.size or other.size,
        names=one.names + other.names,
        marks=one.marks + other.marks,
        label=one.label or other.label,
        split=one.split or other.split,
    )
