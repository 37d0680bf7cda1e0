"""COCO's detection format: one JSON file, or a folder of such files."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format, Parsed


def read_coco(path: Path) -> Parsed:
    """Return the annotations of COCO's JSON file, or of all JSON files under a folder, keyed by file_name.

    A bbox is [x, y, width, height] in pixels: (x, y, x + width, y + height). Crowds (iscrowd) do not count.
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
    boxes: dict[Any, list[tuple[str, Box]]] = {}
    for number, entry in enumerate(lists["annotations"] or ()):
        if fault := _fault(entry, images, names):
            faults.append(f"{shown(file)}: annotation {entry.get('id', number)!r:.40}: {fault}")
        elif entry.get("iscrowd") != 1:
            x, y, width, height = map(float, entry["bbox"])
            found = (names[entry["category_id"]], (x, y, x + width, y + height))
            boxes.setdefault(entry["image_id"], []).append(found)
    sizes = {
        entry.get("id"): (entry.get("width"), entry.get("height"))
        for entry in lists["images"] or ()
        if isinstance(entry.get("id"), int | str)
    }
    for key, name in images.items():
        objects = boxes.get(key, [])
        size = sizes[key] if all(type(side) is int and side > 0 for side in sizes[key]) else None
        path = PurePosixPath(name.replace("\\", "/"))
        yield (
            path.with_suffix("").as_posix(),
            Annotation(
                str(file), tuple(box for _, box in objects), size, tuple(name for name, _ in objects), image=path.name
            ),
        )


def _fault(entry: Mapping[str, Any], images: Mapping[Any, str], names: Mapping[Any, str]) -> str | None:
    image, category, box = entry.get("image_id"), entry.get("category_id"), entry.get("bbox")
    if not _is_key(image, images):
        return f"no image with the id {image!r:.40}; add it or remove the annotation"
    if not _is_key(category, names):
        return f"no category with the id {category!r:.40}; add it or remove the annotation"
    return None if _is_box(box) else f"its bbox {box!r:.60} is not [x, y, width, height]; correct it"


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
    return isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
