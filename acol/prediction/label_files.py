"""Predicted boxes as files that annotation tools and detectors read, with the conventions of each tool.

All boxes are of the upright image. The formats whose readers list one flat folder of images (YOLO, Pascal VOC and
Hugging Face's imagefolder) share a folder `images` of copies: nested files would be read as an empty set.
"""

import csv
import io
import json
import shutil
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
LOCAL = "/data/local-files/?d="  # where Label Studio serves the files below its document root
COPIES = "images"
_EVERYWHERE = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # suffixes that every reader lists
_HELD_OUT = 5  # every fifth image of a class is for validation


@dataclass(frozen=True)
class Labelled:
    """One image's prediction.

    `path` is relative to the images' folder, `name` the file's in a flat folder; `size` (width, height). The `drafts`
    have boxes in the image's pixels, half-open xyxy; a draft's score in [0, 1] is the `probability` of the class, times
    the peak of its region as a share of the map's. There may be none.
    """

    path: str
    name: str
    size: tuple[int, int]
    label: str
    probability: float
    drafts: tuple[Region, ...]

    @classmethod
    def of(cls, path: str, name: str, size: tuple[int, int], found: Prediction, every: bool = False) -> "Labelled":
        """Take the prediction's box, or every region of its map."""
        largest = Region(found.box, 1.0, found.regions[0].outline if found.regions else ())
        regions = found.regions if every else [largest]
        drafts = tuple(Region(each.box, found.probability * each.score, each.outline) for each in regions)
        return cls(path, name, size, found.label, found.probability, drafts)


@dataclass(frozen=True)
class Made:
    """What made the predictions, and how they are written.

    `about` says it in words, `model` names it. `url` stands before each image's path for Label Studio: its own
    `LOCAL` with the folder's name, "s3://bucket/folder/", "http://host/". `outlines`: COCO has the regions' too.
    """

    classes: Sequence[str]
    about: str = ""
    model: str = "acol"
    url: str = LOCAL
    outlines: bool = False


def write_labels(folder: Path, form: str, rows: Sequence[Labelled], made: Made) -> None:
    """Write predictions into `folder` in one of `FORMATS`, in order of class and path."""
    ordered = sorted(rows, key=lambda row: (row.label, row.path))
    for path, text in FORMATS[form](ordered, made).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="")


def labels_of(form: str, row: Labelled, made: Made) -> str:
    """Return one image's prediction as the text of a file in one of `FORMATS`."""
    return next(iter(FORMATS[form]([row], made).values()))


def flat_names(paths: Iterable[str]) -> dict[str, str]:
    """Return a file name for each relative path: the folders become a part of it, and no two stems are the same.

    A suffix that some reader passes over becomes .png, as `copy_image` writes it.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        whole = PurePosixPath(path.replace("/", "__"))
        stem, count = whole.stem, 1
        while stem.casefold() in taken:
            count += 1
            stem = f"{whole.stem}-{count}"
        taken.add(stem.casefold())
        names[path] = stem + (whole.suffix if whole.suffix.lower() in _EVERYWHERE else ".png")
    return names


def copy_image(source: Path, folder: Path, name: str) -> str:
    """Copy an image into `folder` and return its name: where readers differ, the upright pixels as PNG.

    Some readers turn an image by its EXIF orientation and some do not. (No link: trainers mend files in place.)
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
    """Return an element of text or of a mapping, where a list repeats a tag and names with @ are attributes."""

    def element(tag: str, content: object) -> ElementTree.Element:
        made = ElementTree.Element(tag)
        if not isinstance(content, Mapping):
            made.text = str(content)
            return made
        for name, value in content.items():
            if name.startswith("@"):
                made.set(name[1:], str(value))
            else:
                made.extend(element(name, each) for each in (value if isinstance(value, list) else [value]))
        return made

    root = element(tag, content)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _with_size(box: Box) -> tuple[float, float, float, float]:
    """A box as its corner x0, y0, its width and its height."""
    x0, y0, x1, y1 = box
    return x0, y0, x1 - x0, y1 - y0


def _coco(rows: Sequence[Labelled], made: Made) -> Files:
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for index, row in enumerate(rows, 1):
        images.append({"id": index, "file_name": row.path, "width": row.size[0], "height": row.size[1]})
        category = made.classes.index(row.label) + 1
        for draft in row.drafts:
            bbox = _with_size(draft.box)
            boxes.append({"id": len(boxes) + 1, "image_id": index, "category_id": category, "iscrowd": 0})
            boxes[-1] |= {"bbox": bbox, "area": bbox[2] * bbox[3], "score": draft.score}
            if made.outlines:
                area = cv2.contourArea(np.array(draft.outline, np.float32))
                boxes[-1] |= {"segmentation": [np.ravel(draft.outline).round(2).tolist()], "area": area}
    categories = [{"id": index, "name": name} for index, name in enumerate(made.classes, 1)]
    content = {"info": {"description": made.about}, "images": images, "categories": categories, "annotations": boxes}
    return {"annotations.coco.json": _json(content)}


def _yolo(rows: Sequence[Labelled], made: Made) -> Files:
    files = {}
    for row in rows:
        lines = []
        for draft in row.drafts:
            x, y, width, height = _with_size(draft.box)
            numbers = np.divide((x + width / 2, y + height / 2, width, height), row.size * 2)
            lines.append(" ".join([str(made.classes.index(row.label)), *(f"{each:.8f}" for each in numbers)]) + "\n")
        files[f"labels/{PurePosixPath(row.name).stem}.txt"] = "".join(lines)
    # Ultralytics finds the labels of ./images/NAME in ./labels.
    by_class = [[row.name for row in of_class] for _, of_class in groupby(rows, lambda row: row.label)]
    held_out = [name for names in by_class for name in names[_HELD_OUT - 1 :: _HELD_OUT]] or by_class[-1][-1:]
    train = [row.name for row in rows if row.name not in {*held_out}] or held_out
    for split, names in (("train", train), ("val", held_out)):
        files[f"{split}.txt"] = "".join(f"./{COPIES}/{name}\n" for name in names)
    classes = "".join(f"  {index}: {_json(name)}" for index, name in enumerate(made.classes))  # YAML's strings too
    return files | {"data.yaml": f"# {made.about}\ntrain: train.txt\nval: val.txt\nnames:\n{classes}"}


def _voc(rows: Sequence[Labelled], made: Made) -> Files:
    files = {}
    for row in rows:
        content: dict[str, Any] = {"folder": COPIES, "filename": row.name, "source": {"annotation": made.about}}
        content |= {"size": {"width": row.size[0], "height": row.size[1], "depth": 3}, "object": []}
        for draft in row.drafts:
            x0, y0, x1, y1 = draft.box
            corners = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}  # pixels from 1, with the last one
            box = {side: f"{corner:.6f}" for side, corner in corners.items()}
            content["object"].append({"name": row.label, "confidence": f"{draft.score:.6f}", "bndbox": box})
        files[f"annotations/{PurePosixPath(row.name).stem}.xml"] = _xml("annotation", content)
    return files


def _csv(rows: Sequence[Labelled], made: Made) -> Files:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "x0", "y0", "x1", "y1", "probability"])
    writer.writerows([row.path, row.label, *draft.box, draft.score] for row in rows for draft in row.drafts)
    return {"boxes.csv": text.getvalue()}


def _label_studio(rows: Sequence[Labelled], made: Made) -> Files:
    labels = {"@name": "label", "@toName": "image", "Label": [{"@value": name} for name in made.classes]}
    config = {"Image": {"@name": "image", "@value": "$image"}, "RectangleLabels": labels}
    tasks = []
    for row in rows:
        size = {"original_width": row.size[0], "original_height": row.size[1], "image_rotation": 0}
        results: list[dict[str, Any]] = []
        for number, draft in enumerate(row.drafts):
            # In percent of the image as it is seen. The tool shows nothing where a key is lacking or a name differs.
            percent = [100 * at / side for at, side in zip(_with_size(draft.box), row.size * 2, strict=True)]
            value = dict(zip(("x", "y", "width", "height"), percent, strict=True))
            names = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
            results.append({"id": f"draft-{number}", **names, **size, "score": draft.score})
            results[-1]["value"] = value | {"rotation": 0, "rectanglelabels": [row.label]}
        # The keys of buckets stand as they are, the parts of a URL are quoted.
        path = row.path if made.url.startswith(("s3:", "gs:", "azure-blob:")) else quote(row.path)
        prediction = {"model_version": made.model, "score": row.probability, "result": results}
        tasks.append({"data": {"image": made.url + path}, "predictions": [prediction]})
    return {"tasks.json": _json(tasks, 1), "label_config.xml": _xml("View", config)}


def _cvat(rows: Sequence[Labelled], made: Made) -> Files:
    images = []
    for number, row in enumerate(rows):
        boxes = []
        for draft in row.drafts:
            corners = {side: f"{at:.2f}" for side, at in zip(("@xtl", "@ytl", "@xbr", "@ybr"), draft.box, strict=True)}
            boxes.append({"@label": row.label, "@source": "auto", "@occluded": 0} | corners | {"@z_order": 0})
        size = {"@width": row.size[0], "@height": row.size[1]}
        images.append({"@id": number, "@name": row.path} | size | {"box": boxes})
    labels = {"label": [{"name": name} for name in made.classes]}
    task = {"name": made.model, "size": len(rows), "labels": labels}
    return {"annotations.xml": _xml("annotations", {"version": "1.1", "meta": {"task": task}, "image": images})}


def _hf(rows: Sequence[Labelled], made: Made) -> Files:
    lines = []
    for row in rows:
        objects: dict[str, list[Any]] = {"bbox": [_with_size(draft.box) for draft in row.drafts]}
        objects |= {"categories": [row.label] * len(row.drafts), "score": [draft.score for draft in row.drafts]}
        lines.append(_json({"file_name": row.name, "objects": objects}))
    return {f"{COPIES}/metadata.jsonl": "".join(lines)}


FORMATS: dict[str, Callable[[Sequence[Labelled], Made], Files]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "csv": _csv,
    "label-studio": _label_studio,
    "cvat": _cvat,
    "hf": _hf,
}
WITH_COPIES = ("yolo", "voc", "hf")  # those whose readers want the images in one folder, named after their labels
