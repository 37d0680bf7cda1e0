"""CVAT for images 1.1: an XML file for all images of a task or project."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from acol.data.images import stem_of
from acol.data.manifest import Box
from acol.data.masks import encode_rle
from acol.ingest.annotations import MARKS, Annotation, Format, Object, Polygons, RunLengths, bounds, from_size, rotated
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import files_in, image_path, parse_integer, parse_number
from acol.ingest.names import split_of


def read_cvat(path: Path, findings: Findings) -> list[Annotation]:
    """Return the annotations of an XML file, or of all XML files under a folder.

    Images are upright; polygons and masks are outlines too. A tag gives the image's class, subsets their splits.
    `occluded` and attributes named like one of `MARKS` are marks. Source: docs.cvat.ai, "CVAT for images".
    """
    annotations: list[Annotation] = []
    for file in files_in(path, ".xml", findings):
        try:
            root = ElementTree.parse(file).getroot()
        except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
            findings.fault(file, f"not XML of CVAT ({error}); export it again")
            continue
        images = root.findall("image")
        if root.tag != "annotations" or root.find("track") is not None or not images:
            findings.fault(file, "not in the format CVAT for images 1.1 (no <image>); export it in this one")
        for image in images:
            name = image_path(image.get("name", ""))
            try:
                annotations.append(_annotation(file, name, image, findings))
            except (ValueError, OverflowError) as error:
                findings.fault(f"{file}: image {name}", f"{error}; correct it")
    # As with lists, splits are given if there is one of train and another.
    if not {"train"} < {annotation.split for annotation in annotations} - {None}:
        return [replace(annotation, split=None) for annotation in annotations]
    return annotations


FORMAT = Format(read_cvat, "file", r".*\.xml", ("<annotations>", "<image "))


def _annotation(file: Path, name: PurePosixPath, image: ElementTree.Element, findings: Findings) -> Annotation:
    size = parse_integer(image.get("width", "")), parse_integer(image.get("height", ""))
    objects, labels = [], [item.get("label", "") for item in image.findall("tag")]
    for item in image:
        if item.get("outside") == "1":
            findings.remark(str(name), "objects that are outside of the image (outside): they do not count")
        elif shape := _shape(item, size):
            values = {each.get("name"): (each.text or "").strip().casefold() for each in item.findall("attribute")}
            values["occluded"] = item.get("occluded", "")
            marks = frozenset(mark for mark in MARKS if values.get(mark) in ("1", "true"))
            if item.tag == "ellipse" or item.get("rotation"):
                findings.remark(str(name), "rotated boxes or ellipses: the upright box around each counts")
            objects.append(Object(shape[0], item.get("label", ""), marks, shape[1]))
        elif item.tag != "tag":
            findings.remark(str(name), "marks that are no box (lines, points, cuboids, ...): passed over")
    if not objects and not labels:
        findings.remark(str(name), "no object in CVAT's file: no box is read")
    label = labels[0] if len({*labels}) == 1 else None
    split = split_of(image.get("subset", ""))[0]
    # Tasks of a project may have frames of the same names, which lie in the folder of the subset.
    path = stem_of(PurePosixPath(image.get("subset", ""), name))
    return Annotation(str(file), path, tuple(objects), size, label=label, split=split, image=name.name)


def _shape(item: ElementTree.Element, size: tuple[int, int]) -> tuple[Box, Polygons | RunLengths | None] | None:
    """Return the upright box of a shape, and its outline; None of what has no box. Raises `ValueError` for bad ones."""

    def values(*names: str) -> list[float]:
        if lacking := [name for name in names if item.get(name) is None]:
            raise ValueError(f"a {item.tag} without {lacking[0]}")
        return [parse_number(item.get(name, "")) for name in names]

    if item.tag == "polygon":
        points = tuple(parse_number(text) for point in item.get("points", "").split(";") for text in point.split(","))
        if len(points) < 6 or len(points) % 2:
            raise ValueError("a polygon without three or more points X,Y")
        return bounds(points[0::2], points[1::2]), (points,)
    if item.tag == "mask":
        return from_size(*values("left", "top", "width", "height")), _mask(item, size)
    if item.tag == "ellipse":
        x, y, rx, ry = values("cx", "cy", "rx", "ry")
        x0, y0, x1, y1 = x - rx, y - ry, x + rx, y + ry
    elif item.tag == "box":
        x0, y0, x1, y1 = values("xtl", "ytl", "xbr", "ybr")
    else:
        return None
    degrees, centre = parse_number(item.get("rotation", "0")), ((x0 + x1) / 2, (y0 + y1) / 2)
    return rotated((x0, y0, x1, y1), degrees, centre) if degrees else (x0, y0, x1, y1), None


def _mask(item: ElementTree.Element, size: tuple[int, int]) -> RunLengths:
    """Return a mask, which has the lengths of runs of background and object within its box, row by row."""
    left, top, width, height = (parse_integer(item.get(name, "")) for name in ("left", "top", "width", "height"))
    runs = [parse_integer(text) for text in item.get("rle", "").split(",")]
    if min(left, top, *runs) < 0 or left + width > size[0] or top + height > size[1] or sum(runs) != width * height:
        raise ValueError("a mask whose run lengths are not those of its box in the image")
    mask, filled = np.zeros((size[1], size[0]), bool), np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + height, left : left + width] = filled.reshape(height, width)
    return RunLengths(size, encode_rle(mask))
