"""Predicted boxes as files that annotation tools and detectors read: COCO, YOLO, Pascal VOC and CSV."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from acol.data.manifest import Box

Files = dict[str, str]  # the text of each file by its path


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
    for path, text in FORMATS[form](rows, classes, about).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="")


def labels_of(form: str, row: Labelled, classes: Sequence[str], about: str) -> str:
    """Return one image's prediction as the text of a file in one of `FORMATS`."""
    return next(iter(FORMATS[form]([row], classes, about).values()))


def _coco(rows: Sequence[Labelled], classes: Sequence[str], about: str) -> Files:
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
    return {"annotations.coco.json": json.dumps(content, ensure_ascii=False) + "\n"}


def _yolo(rows: Sequence[Labelled], classes: Sequence[str], about: str) -> Files:
    files = {}
    for row in rows:
        (x0, y0, x1, y1), (width, height) = row.box, row.size
        numbers = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        text = " ".join([str(classes.index(row.label)), *(f"{value:.8f}" for value in numbers)])
        files[f"labels/{PurePosixPath(row.path).with_suffix('.txt')}"] = text + "\n"
    names = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(classes))  # JSON text is YAML text
    return files | {"data.yaml": f"# {about}\nnames:\n{names}"}


def _voc(rows: Sequence[Labelled], classes: Sequence[str], about: str) -> Files:
    files = {}
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
        files[f"annotations/{PurePosixPath(row.path).with_suffix('.xml')}"] = text + "\n"
    return files


def _csv(rows: Sequence[Labelled], classes: Sequence[str], about: str) -> Files:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "x0", "y0", "x1", "y1", "probability"])
    writer.writerows([row.path, row.label, *row.box, row.probability] for row in rows)
    return {"boxes.csv": text.getvalue()}


FORMATS: dict[str, Callable[[Sequence[Labelled], Sequence[str], str], Files]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "csv": _csv,
}
PER_IMAGE = ("yolo", "voc")  # those with a file for each image, named after it
