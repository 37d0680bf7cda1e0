"""Bounding boxes from the field's annotation formats, converted to half-open xyxy pixels.

Each importer returns its annotations and the faults it met, a line each, so that a reader of the whole data set can
list them together with all others. An annotation with a fault of its own is returned without boxes.
"""

import glob
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar
from xml.etree import ElementTree

from acol.data.images import shown
from acol.data.manifest import Box

T = TypeVar("T")


@dataclass(frozen=True)
class AnnotationSource:
    """Where the boxes of a data set stand: the format, and the folder's path relative to the data set's root."""

    format: Literal["voc", "wsol", "cub"]
    path: str


@dataclass(frozen=True)
class Annotation:
    """What one image's annotation says.

    `boxes` are half-open xyxy pixels, not yet checked against the image; `source` is the file they stand in. Where the
    format tells: `size` is the (width, height) of the image as annotated, `names` the objects' names (a box each),
    `label` how the format calls the image's class, `split` its "train" or "test".
    """

    source: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None


Parsed = tuple[dict[str, Annotation], list[str]]


def read_voc(folder: Path) -> Parsed:
    """Return the annotations of Pascal VOC XML files, keyed by the file's path in `folder` without its suffix.

    VOC counts pixels from 1 and includes the last one: (xmin, ymin, xmax, ymax) becomes (xmin-1, ymin-1, xmax, ymax).
    Files written by 0-based tools exist, so a coordinate may come out 1 outside the image: see `snap`. A `size` of
    0 x 0, which some tools write, counts as none.
    Source: Everingham et al., The PASCAL VOC2012 Development Kit, section 3.
    """
    if not folder.is_dir():
        return {}, [f"{shown(folder)}: no such folder of annotations; correct its path"]
    annotations: dict[str, Annotation] = {}
    faults: list[str] = []
    for name in sorted(
        glob.glob("**/*.[xX][mM][lL]", root_dir=folder, recursive=True)
    ):  # no hidden ones; follows links
        path, key = folder / name, PurePosixPath(name).with_suffix("").as_posix()
        annotations[key] = Annotation(str(path), ())
        try:
            annotations[key] = _voc_file(path)
        except (ElementTree.ParseError, ValueError, OverflowError, LookupError, OSError) as error:
            faults.append(f"{shown(path)}: not a VOC annotation ({error}); correct or remove it")
    return annotations, faults


def read_wsol(folder: Path) -> Parsed:
    """Return the annotations of a metadata folder of wsolevaluation, keyed by the image ids (paths) in it.

    image_ids.txt lists the ids; localization.txt has lines "id,x0,y0,x1,y1", a line a box, every image at least one;
    image_sizes.txt "id,width,height"; class_labels.txt "id,number". Coordinates stand unchanged: x1 may equal the
    width, so they are taken as half-open.
    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020
    (github.com/clovaai/wsolevaluation).
    """
    faults: list[str] = []
    files = {name: folder / f"{name}.txt" for name in ("image_ids", "class_labels", "image_sizes", "localization")}
    listed = _rows(files["image_ids"], "ID", lambda line: (_normal(line), line), faults)
    ids = _unique(listed, files["image_ids"], faults)
    number = _rows(files["class_labels"], "ID,NUMBER", _after_id(1, lambda values: str(_whole(values[0]))), faults)
    size = _rows(files["image_sizes"], "ID,WIDTH,HEIGHT", _after_id(2, _size), faults)
    boxes = _rows(files["localization"], "ID,X0,Y0,X1,Y1", _after_id(4, _box), faults)
    numbers = _unique(number, files["class_labels"], faults)
    sizes = _unique(size, files["image_sizes"], faults)
    for name, keys in (
        ("class_labels", set(numbers)),
        ("image_sizes", set(sizes)),
        ("localization", {key for key, _ in boxes}),
    ):
        _same_keys(files[name], keys, files["image_ids"], set(ids), faults)
    source, grouped = str(files["localization"]), _grouped(boxes)
    return {
        key: Annotation(source, tuple(grouped.get(key, ())), sizes.get(key), label=numbers.get(key)) for key in ids
    }, faults


def read_cub(folder: Path) -> Parsed:
    """Return the annotations of CUB-200-2011, keyed by the image's path as images.txt has it.

    bounding_boxes.txt has "id x y width height" in pixels: (x, y, x + width, y + height), with `snap` at the border.
    Labels are the names in classes.txt; the split is that of train_test_split.txt (1: train, 0: test).
    Source: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001; its README.
    """
    faults: list[str] = []

    def table(name: str, form: str, count: int, convert: Callable[[list[str]], T]) -> dict[str, T]:
        path = folder / f"{name}.txt"
        return _unique(_rows(path, form, _numbered(count, convert), faults), path, faults)

    paths = table("images", "ID PATH", 1, lambda values: _normal(values[0]))
    names = table("classes", "CLASS_ID NAME", 1, lambda values: values[0])
    numbers = table("image_class_labels", "ID CLASS_ID", 1, lambda values: values[0])
    splits = table("train_test_split", "ID 0|1", 1, lambda values: ("test", "train")[("0", "1").index(values[0])])
    boxes = table("bounding_boxes", "ID X Y WIDTH HEIGHT", 4, _cub_box)
    keyed: list[tuple[str, Iterable[str]]]
    keyed = [("image_class_labels", numbers), ("train_test_split", splits), ("bounding_boxes", boxes)]
    for name, keys in keyed:
        _same_keys(folder / f"{name}.txt", set(keys), folder / "images.txt", set(paths), faults)
    for number in sorted(set(numbers.values()) - set(names)):
        faults.append(
            f"{shown(folder / 'classes.txt')}: no class {shown(number)}, which image_class_labels.txt uses; add it"
        )
    for path, count in Counter(paths.values()).items():
        if count > 1:
            faults.append(f"{shown(folder / 'images.txt')}: {shown(path)} occurs twice; keep one line")
    source = str(folder / "bounding_boxes.txt")
    return {
        path: Annotation(
            source,
            boxes=(boxes[key],) if key in boxes else (),
            label=names.get(numbers.get(key, "")),
            split=splits.get(key),
        )
        for key, path in paths.items()
    }, faults


def of_class(annotation: Annotation, label: str) -> Annotation:
    """Return a VOC annotation with only the objects named like the image's class, in whatever case."""
    kept = [n for n, name in enumerate(annotation.names) if name.casefold() == label.casefold()]
    boxes = tuple(annotation.boxes[n] for n in kept)
    return replace(annotation, boxes=boxes, names=tuple(annotation.names[n] for n in kept))


def snap(box: Box, size: tuple[int, int]) -> Box:
    """Return a box whose coordinates up to 1 pixel outside an image of (width, height) are moved onto its border.

    Pixels are counted from 0 by some tools and from 1 by others, even within one format; a coordinate that is off by
    one at the border is that ambiguity, one further out is a fault.
    """
    x0, y0, x1, y1 = box
    width, height = size
    x0, y0 = (0.0 if -1 <= low < 0 else low for low in (x0, y0))
    x1, y1 = (float(end) if end < high <= end + 1 else high for high, end in ((x1, width), (y1, height)))
    return x0, y0, x1, y1


def box_fault(box: Box, size: tuple[int, int]) -> str | None:
    """Return what is wrong with a half-open xyxy box in an image of (width, height) pixels, or None."""
    x0, y0, x1, y1 = box
    text = f"box ({', '.join(f'{value:g}' for value in box)})"
    if not all(map(math.isfinite, box)):
        return f"{text} is not finite"
    if x1 <= x0 or y1 <= y0:
        return f"{text} is degenerate: it has no area"
    if min(x0, y0) < 0 or x1 > size[0] or y1 > size[1]:
        return f"{text} is outside its image of {size[0]} x {size[1]} pixels"
    return None


def _voc_file(path: Path) -> Annotation:
    root = ElementTree.parse(path).getroot()
    size = (int(_number(root.findtext("size/width") or "0")), int(_number(root.findtext("size/height") or "0")))
    objects = root.findall("object")
    if not objects:
        raise ValueError("it has no object")
    boxes: list[Box] = []
    for item in objects:
        texts = [item.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
        if not all(texts):
            raise ValueError("an object has no complete bndbox")
        xmin, ymin, xmax, ymax = (_number(text or "") for text in texts)
        boxes.append((xmin - 1, ymin - 1, xmax, ymax))
    names = tuple((item.findtext("name") or "").strip() for item in objects)
    return Annotation(str(path), tuple(boxes), size if all(size) else None, names)


def _rows(path: Path, form: str, parse: Callable[[str], tuple[str, T]], faults: list[str]) -> list[tuple[str, T]]:
    """Parse a text file's lines into (key, value); a line that `parse` refuses by ValueError is a fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.append(f"{shown(path)}: cannot be read ({error.strerror}); the format needs this file")
        return []
    except UnicodeDecodeError:
        faults.append(f"{shown(path)}: not UTF-8 text; save it as UTF-8")
        return []
    if not text.strip():
        faults.append(f"{shown(path)}: empty; add a line {form} for each")
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        try:
            rows.append(parse(line))
        except ValueError:
            faults.append(f"{shown(path)} line {number}: {line!r:.200} is not {form}; correct it")
    return rows


def _after_id(count: int, convert: Callable[[list[str]], T]) -> Callable[[str], tuple[str, T]]:
    """Parse "id,value,..." with `count` values; the id, a path, may hold commas."""

    def parse(line: str) -> tuple[str, T]:
        key, *values = line.rsplit(",", count)
        if len(values) < count:
            raise ValueError
        return _normal(key), convert(values)

    return parse


def _numbered(count: int, convert: Callable[[list[str]], T]) -> Callable[[str], tuple[str, T]]:
    """Parse "id value ..." with `count` values; the last may hold spaces."""

    def parse(line: str) -> tuple[str, T]:
        key, *values = line.rstrip().split(maxsplit=count)
        if len(values) < count:
            raise ValueError
        return key, convert(values)

    return parse


def _unique(rows: list[tuple[str, T]], path: Path, faults: list[str]) -> dict[str, T]:
    table: dict[str, T] = {}
    for key, value in rows:
        if key in table:
            faults.append(f"{shown(path)}: {shown(key)} occurs twice; keep one line")
        table[key] = value
    return table


def _grouped(rows: list[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups


def _same_keys(path: Path, keys: set[str], index: Path, wanted: set[str], faults: list[str]) -> None:
    if not keys or not wanted:
        return  # a file that is missing or wholly unreadable has its own fault
    faults += [f"{shown(path)}: {shown(key)} is not in {index.name}; add it there" for key in sorted(keys - wanted)]
    faults += [f"{shown(path)}: {shown(key)} is missing; add its line" for key in sorted(wanted - keys)]


def _normal(path: str) -> str:
    return PurePosixPath(path).as_posix()


def _number(text: str) -> float:
    # float() reads 1_0 and the digits of every script, which no annotation means.
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r:.40} is no number")
    return float(text)


def _whole(text: str) -> int:
    if "_" in text or not text.isascii():
        raise ValueError
    return int(text)


def _size(values: list[str]) -> tuple[int, int]:
    width, height = map(_whole, values)
    return width, height


def _box(values: list[str]) -> Box:
    x0, y0, x1, y1 = map(_number, values)
    return x0, y0, x1, y1


def _cub_box(values: list[str]) -> Box:
    x, y, width, height = map(_number, values)
    return x, y, x + width, y + height
