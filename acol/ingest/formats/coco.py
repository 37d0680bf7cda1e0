"""COCO's detection format: one JSON file, or a folder of such files."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from acol.data.images import shown, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import CROWD, Annotation, Format, Outline, Parsed, Polygons, RunLengths


def read_coco(path: Path) -> Parsed:
    """Return the annotations of COCO's JSON file, or of all JSON files under a folder, keyed by file_name.

    A bbox is [x, y, width, height] in pixels: (x, y, x + width, y + height). A segmentation, polygons or an RLE, is a
    mask; tools without outlines write the box's corners or nothing. Crowds (iscrowd) do not count.
    Source: Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org, "Data format".
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    annotations: dict[str, Annotation] = {}
    faults = [] if files else [f"{shown(path)}: no JSON files; correct its path"]
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            faults.append(f"{shown(file)}: cannot be read ({error.strerror}); add it or make it readable")
            continue
        except (ValueError, RecursionError) as error:
            faults.append(f"{shown(file)}: not JSON ({error!s:.80}); correct or export it again")
            continue
        for key, annotation in _read_file(file, content, faults):
            if key in annotations:
                faults.append(f"{shown(file)}: {shown(key)} occurs twice; keep one entry")
            annotations[key] = annotation
    return annotations, faults


FORMAT = Format(read_coco, without_suffix=True)


class _Object(NamedTuple):
    box: Box
    name: str
    marks: frozenset[str]
    outline: Outline | None


def _read_file(file: Path, content: Any, faults: list[str]) -> Iterator[tuple[str, Annotation]]:
    lists = {key: content.get(key) if isinstance(content, dict) else None for key in ("images", "categories")}
    lists["annotations"] = content.get("annotations", []) if isinstance(content, dict) else None
    for key, entries in lists.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            faults.append(f"{shown(file)}: no list of objects {key!r}; export it again as COCO")
            return
    images = _by_id(file, "images", lists["images"], "file_name", faults)
    names = _by_id(file, "categories", lists["categories"], "name", faults)
    for name, count in Counter(names.values()).items():
        if count > 1:
            faults.append(f"{shown(file)}: the category {name!r} occurs {count} times; give it one id")
    objects: dict[Any, list[_Object]] = {}
    for number, entry in enumerate(lists["annotations"] or ()):
        if fault := _fault(entry, images, names):
            faults.append(f"{shown(file)}: annotation {entry.get('id', number)!r:.40}: {fault}")
        else:
            x, y, width, height = map(float, entry["bbox"])
            marks = frozenset({CROWD} if entry.get("iscrowd") == 1 else ())
            outline = _outline(entry.get("segmentation"), (x, y, x + width, y + height))
            found = _Object((x, y, x + width, y + height), names[entry["category_id"]], marks, outline)
            objects.setdefault(entry["image_id"], []).append(found)
    sizes = {
        entry.get("id"): (entry.get("width"), entry.get("height"))
        for entry in lists["images"] or ()
        if isinstance(entry.get("id"), int | str)
    }
    for key, name in images.items():
        its = objects.get(key, [])
        size = sizes[key] if all(type(side) is int and side > 0 for side in sizes[key]) else None
        path = PurePosixPath(name.replace("\\", "/"))
        yield (
            stem_of(path),
            Annotation(
                str(file),
                tuple(item.box for item in its),
                size,
                tuple(item.name for item in its),
                tuple(item.marks for item in its),
                tuple(item.outline for item in its),
                image=path.name,
            ),
        )


def _fault(entry: Mapping[str, Any], images: Mapping[Any, str], names: Mapping[Any, str]) -> str | None:
    image, category, box = entry.get("image_id"), entry.get("category_id"), entry.get("bbox")
    if not _is_key(image, images):
        return f"no image with the id {image!r:.40}; add it or remove the annotation"
    if not _is_key(category, names):
        return f"no category with the id {category!r:.40}; add it or remove the annotation"
    if not _is_box(box):
        return f"its bbox {box!r:.60} is not [x, y, width, height]; correct it"
    return _fault_of_outline(entry.get("segmentation"))


def _fault_of_outline(segmentation: Any) -> str | None:
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
            return f"its RLE has the size {size!r:.40}, not [height, width]; correct it"
        if not isinstance(counts, str) and not (isinstance(counts, list) and all(type(n) is int for n in counts)):
            return f"its RLE has the counts {counts!r:.40}, not text or a list of lengths; correct it"
    elif not isinstance(segmentation, list | None):
        return f"its segmentation {segmentation!r:.40} is neither polygons nor an RLE; correct it"
    for polygon in segmentation if isinstance(segmentation, list) else ():
        if not _are_numbers(polygon):
            return f"its polygon {polygon!r:.60} is not a list of numbers; correct it"
        if len(polygon) < 6 or len(polygon) % 2:
            return f"its polygon has {len(polygon)} numbers, not x and y of three or more points; correct it"
    return None


def _outline(segmentation: Any, box: Box) -> Outline | None:
    """Return the outline of a segmentation without faults; a polygon that is only the box is none."""
    if isinstance(segmentation, dict):
        (height, width), counts = segmentation["size"], segmentation["counts"]
        return RunLengths((width, height), counts if isinstance(counts, str) else tuple(counts))
    if not segmentation:
        return None
    if len(segmentation) == 1 and len(segmentation[0]) <= 10:
        xs, ys = segmentation[0][0::2], segmentation[0][1::2]
        corners = {(round(x), round(y)) for x, y in zip(xs, ys, strict=True)}
        if corners == {(round(box[i]), round(box[j])) for i in (0, 2) for j in (1, 3)}:
            return None
    return Polygons(tuple(tuple(map(float, polygon)) for polygon in segmentation))


def _by_id(file: Path, key: str, entries: Any, value: str, faults: list[str]) -> dict[Any, str]:
    table: dict[Any, str] = {}
    for number, entry in enumerate(entries):
        identity, name = entry.get("id"), entry.get(value)
        if not isinstance(identity, int | str) or not isinstance(name, str) or not name.strip("./\\ "):
            faults.append(f"{shown(file)}: {key}[{number}] has no id or no {value}; correct it")
        elif identity in table:
            faults.append(f"{shown(file)}: {key}[{number}] has the id {identity!r:.40} of another one; correct it")
        else:
            table[identity] = name
    return table


def _is_key(value: Any, table: Mapping[Any, str]) -> bool:
    return isinstance(value, int | str) and value in table


def _is_box(box: Any) -> bool:
    return _are_numbers(box) and len(box) == 4


def _are_numbers(values: Any) -> bool:
    # JSON has integers of any length and, as Python reads it, infinities and NaN; no image is larger than this.
    return isinstance(values, list) and all(type(value) in (int, float) and abs(value) < 1e9 for value in values)
