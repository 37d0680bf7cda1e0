"""Predicted boxes as files that annotation tools and detectors read: COCO, YOLO, Pascal VOC and CSV."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from acol.data.manifest import Box


@dataclass(frozen=True)
class Labelled:
    """One image's prediction: its path relative to the images' folder, (width, height), class, probability and box.

    `box` is half-open xyxy in the image's pixels, `probability` in [0, 1].
    """

    path: str
    size: tuple[int, int]
    label: str
    probability: float
    box: Box


def write_labels(folder: Path, form: str, rows: Sequence[Labelled], classes: Sequence[str], about: str) -> None:
    """Write predictions into `folder` in one of `FORMATS`; `about` says in words what made them."""
    FORMATS[form](folder, rows, classes, about)


def _coco(folder: Path, rows: Sequence[Labelled], classes: Sequence[str], about: str) -> None:
    number = {name: index for index, name in enumerate(classes, 1)}
    boxes: list[dict[str, Any]] = []
    for index, row in enumerate(rows, 1):
        x0, y0, x1, y1 = row.box
        boxes.append(
            {
                "id": index,
                "image_id": index,
                "category_id": number[row.label],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "score": row.probability,
            }
        )
    content = {
        "info": {"description": about},
        "images": [
            {"id": index, "file_name": row.path, "width": row.size[0], "height": row.size[1]}
            for index, row in enumerate(rows, 1)
        ],
        "categories": [{"id": index, "name": name} for name, index in number.items()],
        "annotations": boxes,
    }
    (folder / "annotations.coco.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _yolo(folder: Path, rows: Sequence[Labelled], classes: Sequence[str], about: str) -> None:
    for row in rows:
        (x0, y0, x1, y1), (width, height) = row.box, row.size
        numbers = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        text = " ".join([str(classes.index(row.label)), *(f"{value:.8f}" for value in numbers)])
        _write(folder / "labels" / PurePosixPath(row.path).with_suffix(".txt"), text + "\n")
    names = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(classes))  # JSON text is YAML text
    _write(folder / "data.yaml", f"# {about}\nnames:\n{names}")


def _voc(folder: Path, rows: Sequence[Labelled], classes: Sequence[str], about: str) -> None:
    for row in rows:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = PurePosixPath(row.path).name
        source = ElementTree.SubElement(root, "source")
        ElementTree.SubElement(source, "annotation").text = about
        size = ElementTree.SubElement(root, "size")
        for tag, value in (("width", row.size[0]), ("height", row.size[1]), ("depth", 3)):
            ElementTree.SubElement(size, tag).text = str(value)
        item = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(item, "name").text = row.label
        ElementTree.SubElement(item, "confidence").text = f"{row.probability:.6f}"
        box = ElementTree.SubElement(item, "bndbox")
        x0, y0, x1, y1 = row.box
        # VOC counts pixels from 1 and includes the last one.
        for tag, corner in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            ElementTree.SubElement(box, tag).text = f"{corner:.6f}"
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        _write(folder / "annotations" / PurePosixPath(row.path).with_suffix(".xml"), text + "\n")


def _csv(folder: Path, rows: Sequence[Labelled], classes: Sequence[str], about: str) -> None:
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "class", "x0", "y0", "x1", "y1", "probability"])
        writer.writerows([row.path, row.label, *row.box, row.probability] for row in rows)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


FORMATS: dict[str, Callable[[Path, Sequence[Labelled], Sequence[str], str], None]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "csv": _csv,
}
