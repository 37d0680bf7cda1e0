"""LabelMe: a JSON file per image."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from acol.ingest.annotations import Annotation, Format, Object, Polygons, bounds
from acol.ingest.findings import Findings
from acol.ingest.formats.coco import are_numbers
from acol.ingest.formats.text_files import files_in, load_json


def read_labelme(folder: Path, findings: Findings) -> Iterator[Annotation]:
    """Yield the annotations of LabelMe's files under a folder; a file's path is its image's.

    Rectangles, circles and masks are boxes; polygons are outlines too. A flag of the image that is true is its class.
    Source: github.com/wkentaro/labelme, its examples.
    """
    for file in files_in(folder, ".json", findings):
        own = Findings()  # what is wrong counts only if the file belongs to an image
        try:
            annotation = _annotation(file, load_json(file, own), findings)
        except (TypeError, KeyError, AttributeError):
            what = "not a file of LabelMe, with imagePath and shapes; correct or remove it"
            annotation = Annotation(str(file), faults=(*own.faults, *([] if own.faults else [f"{file}: {what}"])))
        except ValueError as error:
            annotation = Annotation(str(file), faults=(f"{file}: {error}; correct it",))
        findings.read |= own.read
        path = file.relative_to(folder) if folder.is_dir() else Path(file.name)
        yield replace(annotation, path=path.with_suffix("").as_posix())


FORMAT = Format(read_labelme, "image", r".*\.json", (r'"imagePath"', r'"shapes"'))


def _annotation(file: Path, content: Any, findings: Findings) -> Annotation:
    image = PureWindowsPath(content["imagePath"]).name  # its separators are those of the system that wrote it
    objects = []
    for shape in content["shapes"]:
        if drawn := _shape(shape["shape_type"], shape["points"]):
            objects.append(Object(drawn[0], str(shape["label"]).strip(), outline=drawn[1]))
        else:
            findings.remark(image, "marks that are no box (points, lines, ...): passed over")
    classes = [name for name, value in (content.get("flags") or {}).items() if value is True]
    size = content.get("imageWidth"), content.get("imageHeight")
    return Annotation(
        str(file),
        objects=tuple(objects),
        size=size if all(type(side) is int and side > 0 for side in size) else None,
        label=classes[0] if len(classes) == 1 else None,
        image=image,
    )


def _shape(shape_type: str, points: Any) -> tuple[tuple[float, float, float, float], Polygons | None] | None:
    """Return a shape's box and outline; None of what has no box. Raises `ValueError` for wrong points."""
    count = {"rectangle": 2, "circle": 2, "mask": 2, "polygon": 3}.get(shape_type)
    if count is None:
        return None
    if not isinstance(points, list) or not all(are_numbers(point) and len(point) == 2 for point in points):
        raise ValueError(f"the points {points!r:.60} of a {shape_type} are not [[x, y], ...]")
    if len(points) < count or (count == 2 and len(points) not in (2, 4)):
        raise ValueError(f"a {shape_type} of {len(points)} points")
    xs, ys = ([float(point[axis]) for point in points] for axis in (0, 1))
    if shape_type == "circle":  # a centre and a point of its edge
        radius = math.dist(points[0], points[1])
        return (xs[0] - radius, ys[0] - radius, xs[0] + radius, ys[0] + radius), None
    x0, y0, x1, y1 = bounds(xs, ys)
    if shape_type == "mask":  # its last pixel counts
        return (x0, y0, x1 + 1, y1 + 1), None
    return (x0, y0, x1, y1), (
        tuple(value for pair in zip(xs, ys, strict=True) for value in pair),
    ) if count == 3 else None
