"""CSV with a header: a row per object, or per image."""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import as_line, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import MARKS, Annotation, BoxForm, Format, Object
from acol.ingest.box_checks import READINGS
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import files_in, image_keys, image_path, parse_number, read_text, splits_of_files
from acol.ingest.names import is_prediction, normalised, split_of

# The headers that people's files have, by what they mean; without space, underscore, a last s and the like (`_bare`).
_COLUMNS = {
    "path": (
        "path", "image", "filename", "file", "imageid", "imagepath", "imagename", "imagefile", "filepath", "img",
        "fname", "imgname", "imgpath", "imagefilename", "imageindex",
    ),
    "class": ("clas", "label", "classname", "name", "category", "labelname"),
    "split": ("split", "set", "subset"),
    "objects": ("predictionstring",),  # of ImageNet's localization challenge
    **{mark: (mark.replace("_", ""), f"is{mark.replace('_', '')}") for mark in MARKS},
}  # fmt: skip
_OPEN_IMAGES = {"imageid", "labelname"}  # its boxes are in fractions of the image
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_EMPTY = {"", "nan", "na", "null", "none"}  # what tables have where nothing is
csv.field_size_limit(2**31 - 1)  # a cell may hold the mask of a whole image
_PREFIX = re.compile(r"(bounding[ _.-]?box|bbox|box|bb|rect|roi)[ _.-]?")

_Row = tuple[str, Annotation]  # the file and line of a row, and what it says
_CORNERS = {
    ("x0", "y0"): ("x1", "y1"), ("xmin", "ymin"): ("xmax", "ymax"), ("minx", "miny"): ("maxx", "maxy"),
    ("x1", "y1"): ("x2", "y2"), ("left", "top"): ("right", "bottom"), ("xtl", "ytl"): ("xbr", "ybr"),
    ("topx", "topy"): ("bottomx", "bottomy"), ("topleftx", "toplefty"): ("bottomrightx", "bottomrighty"),
    ("x", "y"): (),
}  # fmt: skip
_CENTRES = (("cx", "cy"), ("xc", "yc"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"))
_SIZES = (("w", "h"), ("width", "height"))  # beside w and h, width and height are the image's
# What four columns are, first two corners, which leave width and height to the image.
_SCHEMES: list[tuple[tuple[str, ...], BoxForm]] = [
    *(((*first, *second), "corners") for first, second in _CORNERS.items() if second),
    *(((*first, *size), "size") for first in _CORNERS for size in _SIZES),
    *(((*centre, *size), "centre") for centre in _CENTRES for size in _SIZES),
]


def read_csv(path: Path, findings: Findings, columns: Mapping[str, str] | Sequence[str] = ()) -> list[Annotation]:
    """Return the annotations of a CSV file, or of those under a folder.

    Its header names the columns: path, and optionally class, split, marks, and a box: half-open corners, or a corner or
    a centre and a size, in pixels. Width and height that are not the box's are the image's. A row without a box only
    gives the image's class; so do columns that are named after the classes and hold 0 or 1. Columns of OpenImages
    (ImageID, LabelName, XMin, ...; fractions) are known too. `columns` says what others mean: {id: path, breed: class},
    or in their order, [path, x0, y0, x1, y1, class], where the file has no table.
    Of a folder, files that are named after splits (train.csv, val.csv, test.csv) give them; others are passed over, and
    so are predictions (sample_submission.csv).
    """
    files = files_in(path, ".csv", findings, ".tsv")
    truth = [file for file in files if not is_prediction(file)] or files
    splits = splits_of_files(truth) if path.is_dir() else {}
    aside = [str(file) for file in files if file not in (splits or truth)]
    why = "a CSV file beside those of the splits" if splits else "predictions, and so no truth"
    findings.remark(aside, f"{why}: passed over", "file")

    # What the rows of each file say; the first line says which columns there are.
    read: list[_Row] = []
    others: list[tuple[Path, Sequence[str]]] = []  # tables of something else, and their first lines
    renamed = columns if isinstance(columns, Mapping) else {}
    unknown = {*renamed}
    for file in splits or truth:
        if not (rows := read_cells(file, findings)):
            continue
        if columns and not renamed:
            rows.insert(0, (0, [*columns]))
        table = _Table.of(file, splits.get(file), rows, renamed)
        unknown -= {name for name in unknown if normalised(name) in map(normalised, rows[0][1])}
        if table.is_of_images or (file in splits and "path" in table.columns):
            read += _read(table, image_keys(file, path, table.split), findings)
        else:
            others.append((file, rows[0][1]))

    # All rows of an image together.
    by_path: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in read:
        by_path[row[1].path].append(row)
    annotations = [_join_rows(rows, findings) for rows in by_path.values()]

    for name in sorted(unknown):
        findings.note(f"data.annotations.columns: {name!r} without effect: no column has this name")

    # Tables of something else are passed over, unless there are no others.
    if annotations:
        what = "no columns of a path and a class or a box: passed over"
        findings.remark([str(file) for file, _ in others], what, "CSV file")
    for file, names in () if annotations else others:
        what = f"no header with the columns path,class or path,class,x0,y0,x1,y1, but {', '.join(names)!r:.80}"
        way = "say what its columns are in data.annotations.columns: {THEIRS: path, THEIRS: class}"
        findings.fault(f"{file} line 1", f"{what}; {way}, or without a header [path, class]")
    return annotations


FORMAT = Format(read_csv, "file", r".*\.[ct]sv", first_pixel=0)


@dataclass(frozen=True)
class _Table:
    """The rows of a CSV file, with their lines, and what its columns mean; the split that the file's name says."""

    file: Path
    split: str | None
    rows: Sequence[tuple[int, Sequence[str]]]
    names: Sequence[str]
    columns: Mapping[str, int]
    box: tuple[int, ...]
    reading: BoxForm  # of the numbers of the box
    size: tuple[int, ...]
    flags: Mapping[int, str]  # names of classes by column, where these hold 0 or 1

    @classmethod
    def of(
        cls, file: Path, split: str | None, lines: Sequence[tuple[int, Sequence[str]]], meant: Mapping[str, str]
    ) -> "_Table":
        """Read the names in the first line. Those that begin with bbox, box, ... are the box's before others."""
        (_, header), *rows = lines
        titles, new = [name.strip() for name in header], {normalised(old): name for old, name in meant.items()}
        names = [new.get(normalised(name), name).casefold() for name in titles]
        bare = {_bare(name): place for place, name in reversed(list(enumerate(names)))}
        prefixed = {_bare(_PREFIX.sub("", name, count=1)): names.index(name) for name in names if _PREFIX.match(name)}
        known = [(meaning, name) for meaning, names in _COLUMNS.items() for name in reversed(names) if name in bare]
        columns = {meaning: bare[name] for meaning, name in known}  # the first spelling counts
        fitting = [
            (tuple(pool[name] for name in wanted), reading)
            for pool in (prefixed, bare | prefixed)
            for wanted, reading in _SCHEMES
            if set(wanted) <= set(pool)
        ]
        box, reading = fitting[0] if fitting else ((), "corners")
        sizes = [tuple(f"{image}{side}" for side in size) for image in ("image", "img", "") for size in _SIZES[::-1]]
        free = {name: place for name, place in bare.items() if place not in box}
        size = next((tuple(free[name] for name in wanted) for wanted in sizes if set(wanted) <= set(free)), ())
        used = {*columns.values(), *box}
        free_titles = {} if box or "class" in columns else dict(enumerate(titles))
        flags = {n: name for n, name in free_titles.items() if n not in used and name and _flags(n, rows)}
        several = sum(any(_flags(n, rows)) for n in flags) > 1
        size, flags = size if box else (), flags if several else {}
        return cls(file, split, rows, names, columns, box, reading, size, flags)

    @property
    def is_of_images(self) -> bool:
        """Whether the columns say something of images."""
        return "path" in self.columns and bool(
            self.box or self.flags or self.columns.keys() & {"class", "split", "objects"}
        )


def _read(table: _Table, key_of: Callable[[PurePosixPath], str], findings: Findings) -> list[_Row]:
    known = {*table.columns.values(), *table.box, *table.size, *table.flags}
    unread = [name for place, name in enumerate(table.names) if name and place not in known]
    if not table.box and unread:
        way = "if they hold boxes, name the corners x0, y0, x1, y1, or a corner and size x, y, w, h"
        what = f"columns that are not read ({way}; data.annotations.columns does so)"
        findings.note(f"{as_line(table.file)}: {what}: {', '.join(unread)}")
    read: list[_Row] = []
    for line, cells in table.rows:
        where = f"{table.file} line {line}"
        try:
            read.append((where, _annotation(table, cells, key_of)))
        except ValueError as error:
            findings.fault(where, f"{error}; correct it")
    if table.flags:
        unclear = [annotation.path for _, annotation in read if annotation.label is None]
        findings.remark(unclear, f"not just one 1 in the columns of classes of {as_line(table.file)}: no class is read")
    if all(_is_size_of_box(annotation) for _, annotation in read):
        return [(where, replace(annotation, size=None)) for where, annotation in read]
    return read


def read_cells(path: Path, findings: Findings) -> list[tuple[int, list[str]]]:
    """Return the lines of a CSV file that are not empty, and the first one, each with its number."""
    if (text := read_text(path, findings)) is None:
        return []
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = list(enumerate(csv.reader(lines, delimiter=delimiter), 1)) or [(1, [])]
    return [rows[0], *((line, row) for line, row in rows[1:] if any(map(str.strip, row)))]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).removesuffix("s")


def _flags(column: int, rows: Sequence[tuple[int, Sequence[str]]]) -> list[bool]:
    """Return what a column of 0 and 1 says; nothing of another column."""
    texts = [row[column].strip().casefold() if len(row) > column else "" for _, row in rows]
    return [_FLAGS[text] for text in texts] if all(text in _FLAGS for text in texts) else []


def _annotation(table: _Table, row: Sequence[str], key_of: Callable[[PurePosixPath], str]) -> Annotation:
    """Return what a row says. Raises `ValueError` for one that cannot be read."""
    cells = [cell.strip() for cell in row] + [""] * len(table.names)
    values = {name: cells[place] for name, place in table.columns.items()}
    image = image_path(values["path"])
    if not image.name:
        raise ValueError("no path of an image")
    if any(map(str.strip, row[len(table.names) :])):
        what = f"{len(row)} cells, but {len(table.names)} columns"
        raise ValueError(f"{what}; put a text that holds a separator in quotes, or name each column")

    # The class, in its column or as the one flag that is set.
    name, box = values.get("class") or None, _box(table, cells)
    if table.flags:
        ones = [name for place, name in table.flags.items() if _FLAGS[cells[place].casefold()]]
        name = ones[0] if len(ones) == 1 else None
    if name and name[0] in "[{" and name[-1] in "]}":
        raise ValueError(f"the class {name!r:.40} is a list or JSON, and no name")
    if "class" in values and name is None and box:
        raise ValueError("an object without a class")

    # The split, which the file's name may give too.
    split = table.split
    if own := values.get("split"):
        known, rest = split_of(own)
        if known is None or rest:
            raise ValueError(f"the split {own!r:.40} is not one of train, val, test")
        if split not in (None, known):
            raise ValueError(f"the split {own!r:.40} in the file of {split}")
        split = known

    # With a box the class is the object's, without one the image's.
    key = key_of(image)
    if box is None:
        objects = tuple(_objects(values.get("objects", "")))
        return Annotation(str(table.file), key, objects, label=name, split=split, image=image.name)
    marks = frozenset(mark for mark in MARKS if values.get(mark, "").casefold() in ("1", "true"))
    objects, size = (Object(box, name, marks),), _size(table, cells)
    fractions = set(table.names) >= _OPEN_IMAGES
    facts = Annotation(str(table.file), key, objects, size, split=split, image=image.name, fractions=fractions)
    return replace(facts, reading=table.reading)


def _objects(text: str) -> Iterator[Object]:
    """Yield the objects of a cell "CLASS X0 Y0 X1 Y1 CLASS X0 ..."; raises `ValueError` for another one."""
    parts = text.split()
    for n in range(0, len(parts), 5):
        name, *corners = parts[n : n + 5]
        if len(corners) < 4 or name[0] in "-.0123456789":
            raise ValueError(f"{text!r:.60} is not CLASS X0 Y0 X1 Y1, once or more")
        x0, y0, x1, y1 = map(parse_number, corners)
        yield Object((x0, y0, x1, y1), name)


def _box(table: _Table, cells: list[str]) -> Box | None:
    texts = ["" if cells[place].casefold() in _EMPTY else cells[place] for place in table.box]
    if not any(texts):
        return None
    if not all(texts):
        raise ValueError("a box with fewer than four numbers")
    try:
        a, b, c, d = map(parse_number, texts)
    except ValueError:
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four numbers") from None
    if not all(map(math.isfinite, (a, b, c, d))):
        raise ValueError(f"the box {', '.join(texts)!r:.60} is not four finite numbers")
    return READINGS[table.reading][2](a, b, c, d)


def _size(table: _Table, cells: list[str]) -> tuple[int, int] | None:
    texts = [cells[place] for place in table.size if cells[place].casefold() not in _EMPTY]
    if len(texts) < 2:
        return None
    try:
        width, height = (int(parse_number(text)) for text in texts)
    except (ValueError, OverflowError):
        raise ValueError(f"the size {' x '.join(texts)!r:.60} is not two numbers") from None
    return (width, height) if width > 0 and height > 0 else None


def _is_size_of_box(row: Annotation) -> bool:
    """Whether width and height of a row beside its corners are the box's."""
    if row.size is None:
        return True
    x0, y0, x1, y1 = row.objects[0].box
    return abs(x1 - x0 - row.size[0]) <= 1 and abs(y1 - y0 - row.size[1]) <= 1


def _join_rows(rows: list[_Row], findings: Findings) -> Annotation:
    """Return what an image's rows say together; what one says otherwise than an earlier one is a fault."""
    path, facts = rows[0][1].path, dict[str, Any]()
    names = sorted({str(row.image).casefold() for _, row in rows})
    if len(names) > 1 and all(stem_of(PurePosixPath(name)) != name for name in names):
        findings.fault(
            rows[-1][0], f"{as_line(names[0])} and {as_line(names[1])} differ in the suffix alone; rename one"
        )
        return rows[0][1]
    for field, what in {"label": "class", "split": "split", "size": "size"}.items():
        values = [(value, where) for where, row in rows if (value := getattr(row, field)) is not None]
        facts[field], place = values[0] if values else (None, "")
        for value, where in values:
            other = facts[field]
            if value != other and not (what == "class" and normalised(value) == normalised(other)):
                has = f"{as_line(path)} has the {what} {value!r}, but {other!r} in {as_line(place)}"
                findings.fault(where, f"{has}; keep one of the two")
    return replace(rows[0][1], objects=tuple(item for _, row in rows for item in row.objects), **facts)
