"""Predicted boxes as files for annotation tools and for training detectors, with the conventions of each tool.

All boxes are in pixels of the upright image. The readers of some formats (YOLO, Pascal VOC and Hugging Face's
imagefolder) list one flat folder of images, and find nothing in nested folders. For these, the images are copied into a
folder `images`.
"""

import csv
import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import cv2
import numpy as np

from acol.data.images import orientation, read_image
from acol.data.manifest import Box
from acol.localization.regions import Region
from acol.prediction.predictor import Prediction

Files = dict[str, str]  # the text of each file by its path
LOCAL = "/data/local-files/?d="  # under which Label Studio serves the files below its document root
COPIES = "images"
_COMMON_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # those that all readers list
_LONGEST_STEM = 200  # bytes, of the 255 that a file's name may have
_HELD_OUT = 5  # every fifth image of a class is used for validation


@dataclass(frozen=True)
class PredictedImage:
    """The prediction for one image."""

    path: str  # of the image, relative to the folder of the images
    name: str  # of the file in a flat folder
    size: tuple[int, int]  # (width, height) in pixels
    label: str  # the predicted class
    probability: float  # of this class, in [0, 1]
    # Predicted regions, with half-open xyxy boxes in pixels of the image; there may be none. The score of a draft in
    # [0, 1] is `probability` times the maximum of its region as a share of that of the map
    drafts: tuple[Region, ...]

    @classmethod
    def of(cls, path: str, name: str, prediction: Prediction, all_regions: bool = False) -> "PredictedImage":
        """Take the box of a prediction, or all regions of its map."""
        largest = Region(prediction.box, 1.0, prediction.regions[0].outline if prediction.regions else ())
        regions = prediction.regions if all_regions else [largest]
        drafts = tuple(Region(each.box, prediction.probability * each.score, each.outline) for each in regions)
        return cls(path, name, prediction.size, prediction.label, prediction.probability, drafts)


@dataclass(frozen=True)
class LabelSettings:
    """What the files say about the model, and how they are written."""

    classes: Sequence[str]  # the names of the classes, in the order of their indices
    about: str = ""  # a description of the model
    model: str = "acol"  # its name
    # What Label Studio puts before the path of each image: `LOCAL` with the name of the folder, "s3://bucket/folder/"
    # or "http://host/"
    url: str = LOCAL
    outlines: bool = False  # whether files in COCO's format also have the outlines of regions


def write_labels(folder: Path, file_format: str, rows: Sequence[PredictedImage], settings: LabelSettings) -> None:
    """Write predictions into a folder in one of `FORMATS`, sorted by class and path."""
    ordered = sorted(rows, key=lambda row: (row.label, row.path))
    for path, text in FORMATS[file_format](ordered, settings).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="")


def label_text(file_format: str, row: PredictedImage, settings: LabelSettings) -> str:
    """Return the prediction for one image as the text of the first file of one of `FORMATS`, which holds its boxes."""
    return next(iter(FORMATS[file_format]([row], settings).values()))


def can_be_named(path: str) -> bool:
    """Return whether files of labels can hold a path: without control characters, and all of it UTF-8."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in path)


def flat_names(paths: Iterable[str]) -> dict[str, str]:
    """Return a file name for each relative path: it contains the folders, and no two names have the same stem.

    Of a long path it is the end. A suffix that some reader does not list becomes .png, as `copy_image` writes it.
    """
    names: dict[str, str] = {}
    used: set[str] = set()
    for path in paths:
        joined, count = PurePosixPath(path.replace("/", "__")), 1
        stem = end = os.fsencode(joined.stem)[-_LONGEST_STEM:].decode(errors="ignore")
        while stem.casefold() in used:
            count += 1
            stem = f"{end}-{count}"
        used.add(stem.casefold())
        names[path] = stem + (joined.suffix if joined.suffix.lower() in _COMMON_SUFFIXES else ".png")
    return names


def copy_image(source: Path, folder: Path, name: str) -> str:
    """Copy an image into a folder and return the name of the copy.

    If the image has an EXIF orientation, or another suffix than `name`, the copy is a PNG of the upright pixels, since
    some readers turn an image by its EXIF orientation and others do not. (It is no link, since some trainers correct
    files in place.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    if orientation(source) != 1 or source.suffix.lower() != PurePosixPath(name).suffix.lower():
        name = f"{PurePosixPath(name).stem}.png"
        read_image(source).save(folder / name)
    else:
        shutil.copyfile(source, folder / name)
    return name


def _json(content: object, indent: int | None = None) -> str:
    return json.dumps(content, ensure_ascii=False, indent=indent) + "\n"


def _xml(tag: str, content: object) -> str:
    """Return XML of a text or a mapping; a list in it becomes a repeated tag, and keys with @ become attributes."""

    def element(tag: str, content: object) -> ElementTree.Element:
        node = ElementTree.Element(tag)
        if not isinstance(content, Mapping):
            node.text = str(content)
            return node
        for name, value in content.items():
            if name.startswith("@"):
                node.set(name[1:], str(value))
            else:
                node.extend(element(name, each) for each in (value if isinstance(value, list) else [value]))
        return node

    root = element(tag, content)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _as_xywh(box: Box) -> tuple[float, float, float, float]:
    """Return a box as its upper left corner x0, y0, its width and its height."""
    x0, y0, x1, y1 = box
    return x0, y0, x1 - x0, y1 - y0


def _coco(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    # Ids are counted from 1, as in COCO's own files.
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for index, row in enumerate(rows, 1):
        images.append({"id": index, "file_name": row.path, "width": row.size[0], "height": row.size[1]})
        category = settings.classes.index(row.label) + 1
        for draft in row.drafts:
            bbox = _as_xywh(draft.box)
            boxes.append({"id": len(boxes) + 1, "image_id": index, "category_id": category, "iscrowd": 0})
            boxes[-1] |= {"bbox": bbox, "area": bbox[2] * bbox[3], "score": draft.score}
            if settings.outlines:
                area = cv2.contourArea(np.array(draft.outline, np.float32))
                boxes[-1] |= {"segmentation": [np.ravel(draft.outline).round(2).tolist()], "area": area}
    categories = [{"id": index, "name": name} for index, name in enumerate(settings.classes, 1)]
    content = {"info": {"description": settings.about}, "images": images, "categories": categories}
    return {"annotations.coco.json": _json(content | {"annotations": boxes})}


def _yolo(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    files = {}
    for row in rows:
        lines = []
        for draft in row.drafts:
            x, y, width, height = _as_xywh(draft.box)
            numbers = np.divide((x + width / 2, y + height / 2, width, height), row.size * 2)
            words = [str(settings.classes.index(row.label)), *(f"{number:.8f}" for number in numbers)]
            lines.append(" ".join(words) + "\n")
        files[f"labels/{PurePosixPath(row.name).stem}.txt"] = "".join(lines)
    # Ultralytics reads the labels of ./images/NAME from ./labels. A class of five or more is in both splits.
    by_class = [[row.name for row in of_class] for _, of_class in groupby(rows, lambda row: row.label)]
    held_out = [name for names in by_class for name in names[_HELD_OUT - 1 :: _HELD_OUT]] or by_class[-1][-1:]
    train = [row.name for row in rows if row.name not in {*held_out}] or held_out
    for split, names in (("train", train), ("val", held_out)):
        files[f"{split}.txt"] = "".join(f"./{COPIES}/{name}\n" for name in names)
    # A string in JSON is also one in YAML.
    classes = "".join(f"  {index}: {_json(name)}" for index, name in enumerate(settings.classes))
    return files | {"data.yaml": f"# {settings.about}\ntrain: train.txt\nval: val.txt\nnames:\n{classes}"}


def _voc(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    files = {}
    for row in rows:
        content: dict[str, Any] = {"folder": COPIES, "filename": row.name, "source": {"annotation": settings.about}}
        content |= {"size": {"width": row.size[0], "height": row.size[1], "depth": 3}, "object": []}
        for draft in row.drafts:
            x0, y0, x1, y1 = draft.box
            # VOC counts pixels from 1, and its boxes include their last one.
            corners = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}
            box = {side: f"{corner:.6f}" for side, corner in corners.items()}
            content["object"].append({"name": row.label, "confidence": f"{draft.score:.6f}", "bndbox": box})
        files[f"annotations/{PurePosixPath(row.name).stem}.xml"] = _xml("annotation", content)
    return files


def _csv(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "x0", "y0", "x1", "y1", "probability"])
    writer.writerows([row.path, row.label, *draft.box, draft.score] for row in rows for draft in row.drafts)
    return {"boxes.csv": text.getvalue()}


def _label_studio(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    labels = {"@name": "label", "@toName": "image", "Label": [{"@value": name} for name in settings.classes]}
    config = {"Image": {"@name": "image", "@value": "$image"}, "RectangleLabels": labels}
    tasks = []
    for row in rows:
        size = {"original_width": row.size[0], "original_height": row.size[1], "image_rotation": 0}
        results: list[dict[str, Any]] = []
        for number, draft in enumerate(row.drafts):
            # In percent of the upright image. The tool shows nothing if a key is missing or a name differs.
            percent = [100 * at / side for at, side in zip(_as_xywh(draft.box), row.size * 2, strict=True)]
            value = dict(zip(("x", "y", "width", "height"), percent, strict=True))
            names = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
            results.append({"id": f"draft-{number}", **names, **size, "score": draft.score})
            results[-1]["value"] = value | {"rotation": 0, "rectanglelabels": [row.label]}
        # Keys in buckets are written as they are; the path in a URL is quoted.
        path = row.path if settings.url.startswith(("s3:", "gs:", "azure-blob:")) else quote(row.path)
        prediction = {"model_version": settings.model, "score": row.probability, "result": results}
        tasks.append({"data": {"image": settings.url + path}, "predictions": [prediction]})
    return {"tasks.json": _json(tasks, 1), "label_config.xml": _xml("View", config)}


def _cvat(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    images = []
    for number, row in enumerate(rows):
        boxes = []
        for draft in row.drafts:
            corners = {side: f"{at:.2f}" for side, at in zip(("@xtl", "@ytl", "@xbr", "@ybr"), draft.box, strict=True)}
            boxes.append({"@label": row.label, "@source": "auto", "@occluded": 0} | corners | {"@z_order": 0})
        size = {"@width": row.size[0], "@height": row.size[1]}
        images.append({"@id": number, "@name": row.path} | size | {"box": boxes})
    labels = {"label": [{"name": name} for name in settings.classes]}
    task = {"name": settings.model, "size": len(rows), "labels": labels}
    return {"annotations.xml": _xml("annotations", {"version": "1.1", "meta": {"task": task}, "image": images})}


def _hf(rows: Sequence[PredictedImage], settings: LabelSettings) -> Files:
    lines = []
    for row in rows:
        objects: dict[str, list[Any]] = {"bbox": [_as_xywh(draft.box) for draft in row.drafts]}
        objects |= {"categories": [row.label] * len(row.drafts), "score": [draft.score for draft in row.drafts]}
        lines.append(_json({"file_name": row.name, "objects": objects}))
    return {f"{COPIES}/metadata.jsonl": "".join(lines)}


FORMATS: dict[str, Callable[[Sequence[PredictedImage], LabelSettings], Files]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "csv": _csv,
    "label-studio": _label_studio,
    "cvat": _cvat,
    "hf": _hf,
}
WITH_COPIES = ("yolo", "voc", "hf")  # formats that need the images in one folder
