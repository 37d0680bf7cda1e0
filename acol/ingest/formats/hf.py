"""Hugging Face's imagefolder: a file metadata.jsonl beside the images."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import as_line, stem_of
from acol.ingest.annotations import Annotation, Format, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.coco import parse_bbox
from acol.ingest.formats.text_files import image_path, read_lines
from acol.ingest.layout import files_below

_NAMES = ("categories", "category", "labels", "label", "classes", "class")  # of objects, or of the image


def read_hf(path: Path, findings: Findings) -> Iterator[Annotation]:
    """Yield the annotations of a file of JSON lines, or of all metadata.jsonl under a folder.

    `objects` holds lists of the same length: bbox, as COCO's, and categories, names or numbers. An image's own label or
    category is its class. Source: huggingface.co/docs/datasets/image_dataset, "Object detection".
    """
    files = [path] if not path.is_dir() else [file for file in files_below(path) if file.name == "metadata.jsonl"]
    if not files:
        findings.fault(path, "no metadata.jsonl in it; correct its path")
    for file in files:
        folder = file.parent.relative_to(path) if path.is_dir() else Path()
        for number, line in read_lines(file, findings):
            try:
                name, annotation = _annotation(file, json.loads(line))
                yield replace(annotation, path=stem_of(PurePosixPath(folder, name)))
                if not annotation.objects and not annotation.label:
                    findings.remark(str(name), "no object in metadata.jsonl: no box is read")
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                reason = str(error) if type(error) is ValueError else "not a line of JSON with file_name and objects"
                findings.fault(f"{file} line {number}", f"{reason}; correct it")


def _annotation(file: Path, entry: Mapping[str, Any]) -> tuple[PurePosixPath, Annotation]:
    if not isinstance(entry.get("file_name"), str) or not entry["file_name"].strip("./\\ "):
        raise ValueError("no file_name of an image")
    image = image_path(entry["file_name"])
    columns = entry.get("objects") or {}
    if isinstance(columns, list):  # a list of objects instead of an object of lists
        columns = {key: [item[key] for item in columns if key in item] for key in ("bbox", *_NAMES)}
    boxes = columns.get("bbox") or []
    names = next((columns[key] for key in _NAMES if columns.get(key)), [None] * len(boxes))
    if not isinstance(boxes, list) or not isinstance(names, list) or len(boxes) != len(names):
        raise ValueError(f"{as_line(str(image))}: not as many categories as boxes")
    objects = tuple(
        Object(parse_bbox(box), None if name is None else str(name)) for box, name in zip(boxes, names, strict=True)
    )
    label = next((str(entry[key]) for key in _NAMES if isinstance(entry.get(key), str | int)), None)
    return image, Annotation(str(file), objects=objects, label=label, image=image.name, reading="size")


FORMAT = Format(read_hf, "file", r"metadata\.jsonl")
