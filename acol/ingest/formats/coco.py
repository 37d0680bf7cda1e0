"""COCO's detection format: one JSON file, or a folder of such files."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from acol.data.images import shown, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import CROWD, Annotation, Format, Outline, Parsed, Polygons, RunLengths
from acol.ingest.formats.lists import splits_of_files
from acol.ingest.labels import told
from acol.ingest.names import plain


def read_coco(path: Path) -> Parsed:
    """Return the annotations of COCO's JSON file, or of all JSON files under a folder, keyed by file_name.

    A bbox is [x, y, width, height] in pixels: (x, y, x + width, y + height). A segmentation, polygons or an RLE, is a
    mask; tools without outlines write the box's corners or nothing. Crowds (iscrowd) do not count, but for files of
    CVAT, which marks each brush mask so, and files of nothing else. In a folder, files named train and val or test give
    the splits, and files without boxes (captions, panoptic) are passed over; an image may be in two files if all of
    one's objects are among those of the other one, as for key points.
    Source: Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org, "Data format".
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    splits = splits_of_files(files)
    annotations: dict[str, Annotation] = {}
    faults = [] if files else [f"{shown(path)}: no JSON files; correct its path"]
    remarks: list[str] = []
    others: list[Path] = []
    categories: dict[object, tuple[str, Path]] = {}
    for file in files:
        content = _content(file, faults)
        if content is None or (len(files) > 1 and not _has_boxes(content)):
            others += [] if content is None else [file]
            continue
        for number, name in _read_file(file, content, splits.get(file), annotations, faults, remarks).items():
            other, its = categories.setdefault(number, (name, file))
            if plain(other) != plain(name):
                what = f"the category {number!r:.40} is {other!r} in one and {name!r} in the other one"
                faults.append(f"{shown(its)} and {shown(file)}: {what}; give both the same names")
    if others and categories:
        remarks.append(told([*map(str, others)], "no boxes in it: passed over", "JSON file"))
    elif others:
        faults += [f"{shown(file)}: no list of objects 'categories'; export it again as COCO" for file in others]
    return Parsed(annotations, faults, remarks)


_MOST = 1e9  # pixels: no image is larger
FORMAT = Format(read_coco, without_suffix=True, gives_splits=True)


class _Object(NamedTuple):
    box: Box
    name: str
    marks: frozenset[str]
    outline: Outline | None


def _content(file: Path, faults: list[str]) -> Any:
    """Return a file's content, or None and a fault."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        faults.append(f"{shown(file)}: cannot be read ({error.strerror}); add it or make it readable")
    except (ValueError, RecursionError) as error:
        faults.append(f"{shown(file)}: not JSON ({error!s:.80}); correct or export it again")
    return None


def _has_boxes(content: Any) -> bool:
    """Whether a file is of COCO's instances, and not of captions, of panoptic, or of another tool."""
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        return False
    entries = content.get("annotations")
    first = entries[0] if isinstance(entries, list) and entries else {}
    return not (isinstance(first, dict) and {"segments_info", "caption"} & first.keys())


def _brush(entries: Any) -> bool:
    """Whether run lengths that are marked iscrowd are masks of single objects: CVAT's, or all that there is."""
    cvat = any(isinstance(its := entry.get("attributes"), dict) and "occluded" in its for entry in entries)
    return bool(cvat or all(entry.get("iscrowd") == 1 for entry in entries))


def _add(annotations: dict[str, Annotation], key: str, new: Annotation, faults: list[str]) -> None:
    """Add an image's annotation; of a second one, all objects must be among those of the other one."""
    old = annotations.setdefault(key, new)
    if old is new:
        return
    objects = [set(zip(its.boxes, its.names, strict=True)) for its in (old, new)]
    if old.source == new.source:
        faults.append(f"{shown(new.source)}: {shown(key)} occurs twice; keep one entry")
    elif old.split != new.split or not (objects[0] <= objects[1] or objects[1] <= objects[0]):
        both = f"{shown(old.source)} and {shown(new.source)}"
        faults.append(f"{both}: {shown(key)} is in both, with other objects or splits; keep one of the two")
    elif len(new.boxes) > len(old.boxes):
        annotations[key] = new


def _read_file(
    file: Path,
    content: Any,
    split: str | None,
    annotations: dict[str, Annotation],
    faults: list[str],
    remarks: list[str],
) -> Mapping[Any, str]:
    """Add a file's annotations, and return its categories."""
    # The three lists, if the file has them: predictions and other JSON do not.
    lists = {key: content.get(key) if isinstance(content, dict) else None for key in ("images", "categories")}
    lists["annotations"] = content.get("annotations", []) if isinstance(content, dict) else None
    for key, entries in lists.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            faults.append(f"{shown(file)}: no list of objects {key!r}; export it again as COCO")
            return {}
    # Annotations refer to images and categories by number.
    images = _by_id(file, "images", lists["images"], "file_name", faults)
    names = _by_id(file, "categories", lists["categories"], "name", faults)
    for name, count in Counter(names.values()).items():
        if count > 1:
            faults.append(f"{shown(file)}: the category {name!r} occurs {count} times; give it one id")
    # CVAT writes its brush masks with iscrowd = 1, which elsewhere says that an object does not count.
    brush = _brush(lists["annotations"])
    if brush and (count := sum(entry.get("iscrowd") == 1 for entry in lists["annotations"] or ())):
        remarks.append(f"{shown(file)}: {count} masks marked iscrowd count as objects: CVAT marks brush masks so")
    # COCO's boxes are (x, y, width, height); ours are half-open corners.
    objects: dict[Any, list[_Object]] = {}
    for number, entry in enumerate(lists["annotations"] or ()):
        if fault := _fault(entry, images, names):
            faults.append(f"{shown(file)}: annotation {entry.get('id', number)!r:.40}: {fault}")
        else:
            x, y, width, height = map(float, entry["bbox"])
            marks = frozenset({CROWD} if entry.get("iscrowd") == 1 and not brush else ())
            outline = _outline(entry.get("segmentation"), (x, y, x + width, y + height))
            found = _Object((x, y, x + width, y + height), names[entry["category_id"]], marks, outline)
            objects.setdefault(entry["image_id"], []).append(found)
    sizes = {
        # One annotation for each image, also for those without an object.
        entry.get("id"): (entry.get("width"), entry.get("height"))
        for entry in lists["images"] or ()
        if isinstance(entry.get("id"), int | str)
    }
    for key, name in images.items():
        its = objects.get(key, [])
        size = tuple(int(side) for side in sizes[key] if type(side) in (int, float) and 0 < side < _MOST)
        path = PurePosixPath(name.replace("\\", "/"))
        annotation = Annotation(
            str(file),
            tuple(item.box for item in its),
            (size[0], size[1]) if len(size) == len(sizes[key]) else None,
            tuple(item.name for item in its),
            tuple(item.marks for item in its),
            tuple(item.outline for item in its),
            split=split,
            image=path.name,
        )
        _add(annotations, stem_of(path), annotation, faults)
    return names


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
    # JSON has integers of any length and, as Python reads it, infinities and NaN.
    return isinstance(values, list) and all(type(value) in (int, float) and abs(value) < _MOST for value in values)
