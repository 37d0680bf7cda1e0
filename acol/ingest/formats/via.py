"""VGG Image Annotator: a JSON file, its annotations or the whole project."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import as_line, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format, Object, Polygons, bounds, from_size
from acol.ingest.findings import Findings
from acol.ingest.formats.coco import are_numbers
from acol.ingest.formats.text_files import files_in, image_path, load_json
from acol.ingest.names import normalised

_CLASSES = ("class", "label", "name", "type", "category", "object", "species")  # attributes that say what something is


def read_via(path: Path, findings: Findings) -> Iterator[Annotation]:
    """Yield the annotations of a JSON file, or of all JSON files under a folder.

    A region's class is its one attribute, or the one of several that is named so; so is an image's. Polygons are
    outlines too. Source: robots.ox.ac.uk/~vgg/software/via, versions 1 and 2.
    """
    for file in files_in(path, ".json", findings):
        content = load_json(file, findings)
        try:
            entries = content.get("_via_img_metadata", content).values()
        except AttributeError:
            findings.fault(file, "not the JSON of VIA; export it again")
            continue
        for entry in entries:
            try:
                image = image_path(entry["filename"])
                yield _annotation(file, image, entry, findings)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                reason = str(error) if type(error) is ValueError else "no filename and regions of VIA"
                findings.fault(file, f"{reason}; correct it or export it again")


FORMAT = Format(read_via, "file", r".*\.json", (r'"regions"', r'"shape_attributes"'))


def _annotation(file: Path, image: PurePosixPath, entry: Mapping[str, Any], findings: Findings) -> Annotation:
    regions = entry["regions"]
    objects = []
    for region in regions.values() if isinstance(regions, dict) else regions:
        if shape := _shape(region["shape_attributes"]):
            objects.append(Object(shape[0], _class(region["region_attributes"]), outline=shape[1]))
        else:
            findings.remark(str(image), "marks that are no box (points, lines, ...): passed over")
    label = _class(entry.get("file_attributes") or {}, several=False)
    return Annotation(str(file), stem_of(image), tuple(objects), label=label, image=image.name)


def _class(attributes: Mapping[str, Any], several: bool = True) -> str | None:
    """Return the class that attributes say, texts or options that are chosen; `several` of no class are a fault."""
    values = {}
    for key, value in attributes.items():
        chosen = [name for name, yes in value.items() if yes] if isinstance(value, dict) else [str(value)]
        if len(chosen) == 1 and chosen[0].strip():
            values[normalised(key)] = chosen[0].strip()
    named = next((values[key] for key in _CLASSES if key in values), None)
    if named is None and several and len(values) > 1:
        names = ", ".join(sorted(attributes))
        raise ValueError(f"which of the attributes {as_line(names)} is the class? Name it class")
    return named or (next(iter(values.values())) if several and values else None)


def _shape(shape: Mapping[str, Any]) -> tuple[Box, Polygons | None] | None:
    """Return a shape's upright box, and its outline if it has one; None of what has no box."""

    def values(*keys: str) -> list[float]:
        numbers = [shape[key] for key in keys]
        if not are_numbers(numbers):
            raise ValueError(f"a {shape['name']} whose {', '.join(keys)} are not numbers")
        return numbers

    match shape["name"]:
        case "rect":
            x, y, width, height = values("x", "y", "width", "height")
            return from_size(x, y, width, height), None
        case "circle" | "ellipse":
            x, y = values("cx", "cy")
            rx, ry = values("rx", "ry") if "rx" in shape else values("r", "r")
            return (x - rx, y - ry, x + rx, y + ry), None
        case "polygon":
            xs, ys = shape["all_points_x"], shape["all_points_y"]
            if not (are_numbers(xs) and are_numbers(ys) and len(xs) == len(ys) > 2):
                raise ValueError("a polygon without three or more points")
            return bounds(xs, ys), (tuple(float(value) for pair in zip(xs, ys, strict=True) for value in pair),)
    return None
