"""COCO's detection format: one JSON file, or a folder of such files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from acol.data.images import as_line
from acol.data.manifest import Box
from acol.ingest.annotations import CROWD, Annotation, Format, Object, Polygons, RunLengths, bounds, from_size
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import files_in, image_keys, image_path, load_json, splits_of_files
from acol.ingest.names import normalised

MOST = 1e9  # pixels: no image is larger
_NEAR = 0.02  # in which areas that are of one box may differ


def read_coco(path: Path, findings: Findings) -> Iterator[Annotation]:
    """Yield the annotations of COCO's JSON file, or of all JSON files under a folder.

    A segmentation, polygons or an RLE, is a mask. In a folder, files named train and val or test give the splits, and
    files without boxes (captions, panoptic) are passed over; an image may be in two files if all of one's objects are
    among the other's, as for key points. An annotation without a box gives its image's class (iNaturalist).
    Source: Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org, "Data format".
    """
    files = files_in(path, ".json", findings)
    splits = splits_of_files(files)
    categories: dict[object, tuple[str, Path]] = {}
    others: list[Path] = []
    for file in files:
        # Beside the instances, COCO's own folder has captions and panoptic masks.
        content = load_json(file, findings)
        if content is None or (len(files) > 1 and not _has_boxes(content)):
            others += [] if content is None else [file]
            continue
        names, split = dict[Any, str](), splits.get(file)
        key_of = image_keys(file, path, split)
        for image, annotation in _annotations(file, content, names, findings):
            yield replace(annotation, path=key_of(image), split=split)

        # Two files that number their categories otherwise would exchange classes.
        for number, name in names.items():
            other, first = categories.setdefault(number, (name, file))
            if normalised(other) != normalised(name):
                what = f"the category {number!r:.40} is {other!r} in one and {name!r} in the other one"
                findings.fault((first, file), f"{what}; give both the same names")
    if categories:
        findings.remark([*map(str, others)], "no boxes in it: passed over", "JSON file")
    else:
        for file in others:
            findings.fault(file, "no list of objects 'categories'; export it again as COCO")


FORMAT = Format(read_coco, "file", r".*\.json", (r'"images"', r'"category_id"'))


def _has_boxes(content: Any) -> bool:
    """Whether a file is of COCO's instances, and not of captions, of panoptic, or of another tool."""
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        return False
    entries = content.get("annotations")
    first = entries[0] if isinstance(entries, list) and entries else {}
    return not (isinstance(first, dict) and {"segments_info", "caption"} & first.keys())


def _annotations(
    file: Path, content: Any, names: dict[Any, str], findings: Findings
) -> Iterator[tuple[PurePosixPath, Annotation]]:
    """Yield a file's images and their annotations, and fill in the `names` of its categories."""
    # The three lists, if the file has them: predictions and other JSON do not.
    content = {"annotations": [], **content} if isinstance(content, dict) else {}
    for key in ("images", "categories", "annotations"):
        entries: Any = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            findings.fault(file, f"no list of objects {key!r}; export it again as COCO")
            return

    # Annotations refer to images and categories by number.
    named = [{"file_name": entry.get("coco_url"), **entry} for entry in content["images"]]  # LVIS has the URL alone
    images = _by_id(file, "images", named, "file_name", findings)
    categories = _by_id(file, "categories", content["categories"], "name", findings)
    names.update({number: entry["name"] for number, entry in categories.items()})
    for name, count in Counter(names.values()).items():
        if count > 1:
            findings.fault(file, f"the category {name!r} occurs {count} times; give it one id")

    # CVAT writes its brush masks with iscrowd = 1, which elsewhere says that an object does not count.
    entries = content["annotations"]
    crowds = sum(entry.get("iscrowd") == 1 for entry in entries)
    attributes = [entry.get("attributes") for entry in entries]
    cvat = any(isinstance(each, dict) and "occluded" in each for each in attributes)
    brush = cvat or crowds == len(entries)
    if brush and crowds:
        what = f"{crowds} masks marked iscrowd count as objects: CVAT marks brush masks so"
        findings.note(f"{as_line(file)}: {what}")

    objects, labels = _by_image(file, entries, images, names, brush, findings)
    if corners := _corners(entries):
        what = f"the bbox of {corners} annotations is [x0, y0, x1, y1], as area or segmentation beside it says"
        findings.fault(file, f"{what}; write [x, y, width, height]")

    # One annotation for each image, also for those without an object.
    for number, entry in images.items():
        sides: list[Any] = [entry.get(side) for side in ("width", "height")]
        known = [int(side) for side in sides if type(side) in (int, float) and 0 < side < MOST]
        path = image_path(entry["file_name"])
        size = (known[0], known[1]) if len(known) == 2 else None
        label = next(iter(labels[number])) if len(labels[number]) == 1 else None
        if len(labels[number]) > 1:
            findings.remark(path.as_posix(), f"several categories in {as_line(file)}: no class is read")
        facts = Annotation(str(file), size=size, label=label, image=path.name, reading="size")
        yield path, replace(facts, objects=tuple(objects[number]))


def _by_image(
    file: Path,
    entries: Sequence[Mapping[str, Any]],
    images: Mapping[Any, Any],
    names: Mapping[Any, str],
    brush: bool,
    findings: Findings,
) -> tuple[dict[Any, list[Object]], dict[Any, set[str]]]:
    """Return the objects of each image, and the names of the categories of its annotations without a box."""
    boxed = any(entry.get(key) for entry in entries for key in ("bbox", "segmentation"))
    objects: dict[Any, list[Object]] = {number: [] for number in images}
    labels: dict[Any, set[str]] = {number: set() for number in images}
    for number, entry in enumerate(entries):
        try:
            name = _name(entry, images, names)
            if entry.get("bbox") or entry.get("segmentation"):
                objects[entry["image_id"]].append(_object(entry, name, brush))
                continue
            labels[entry["image_id"]].add(name)
            if boxed:
                what = "annotations without a box beside those with one: they give the image's class alone"
                findings.remark(images[entry["image_id"]]["file_name"], what)
        except ValueError as error:
            findings.fault(file, f"annotation {entry.get('id', number)!r:.40}: {error}; correct or remove it")
    return objects, labels


def _name(entry: Mapping[str, Any], images: Mapping[Any, Any], names: Mapping[Any, str]) -> str:
    """Return the name of an annotation's category; raises `ValueError` if there is none, or not its image."""
    for noun, known in (("image", images), ("category", names)):
        number = entry.get(f"{noun}_id")
        if not isinstance(number, int | str) or number not in known:
            raise ValueError(f"no {noun} with the id {number!r:.40}")
    return names[entry["category_id"]]


def _object(entry: Mapping[str, Any], name: str, brush: bool) -> Object:
    box = parse_bbox(entry.get("bbox"))
    marks = frozenset({CROWD} if entry.get("ignore") or (entry.get("iscrowd") == 1 and not brush) else ())
    segmentation = entry.get("segmentation")
    outline = _run_lengths(segmentation) if isinstance(segmentation, dict) else _polygons(segmentation, box)
    return Object(box, name, marks, outline)


def _corners(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return how many boxes are two corners by the polygons or the area beside them, if more are than are none."""
    votes = Counter(_is_corners(entry, entry.get("bbox"), entry.get("segmentation")) for entry in entries)
    return votes[True] if votes[True] > votes[False] else 0


def _is_corners(entry: Mapping[str, Any], bbox: Any, polygons: Any) -> bool | None:
    """Whether a bbox is two corners by what is beside it; None if nothing says it, or it may be a size as well."""
    area: Any = entry.get("area")
    if not are_numbers(bbox) or len(bbox) != 4:
        return None
    x0, y0, x1, y1 = bbox
    if isinstance(polygons, list) and any(polygons) and all(map(are_numbers, polygons)):
        points = [value for polygon in polygons for value in polygon]
        around = bounds(points[0::2], points[1::2])
        fits = [all(abs(a - b) <= 1 for a, b in zip(around, box, strict=True)) for box in (bbox, from_size(*bbox))]
    elif are_numbers([area]) and not polygons:
        fits = [abs(area - size) <= _NEAR * area for size in ((x1 - x0) * (y1 - y0), x1 * y1)]
    else:
        return None
    return fits[0] if fits[0] != fits[1] else None


def parse_bbox(bbox: Any) -> Box:
    """Return the box of [x, y, width, height]; raises `ValueError` for anything else."""
    if not are_numbers(bbox) or len(bbox) != 4:
        raise ValueError(f"its bbox {bbox!r:.60} is not [x, y, width, height]")
    return from_size(*map(float, bbox))


def _run_lengths(rle: Mapping[str, Any]) -> RunLengths:
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
        raise ValueError(f"its RLE has the size {size!r:.40}, not [height, width]")
    if not isinstance(counts, str) and not (isinstance(counts, list) and all(type(n) is int for n in counts)):
        raise ValueError(f"its RLE has the counts {counts!r:.40}, not text or a list of lengths")
    return RunLengths((size[1], size[0]), counts if isinstance(counts, str) else tuple(counts))


def _polygons(segmentation: Any, box: Box) -> Polygons | None:
    """Return the polygons of a segmentation; one that is only the box, as tools without outlines write it, is none."""
    if not isinstance(segmentation, list | None):
        raise ValueError(f"its segmentation {segmentation!r:.40} is neither polygons nor an RLE")
    segmentation = [polygon for polygon in segmentation or () if polygon != []]
    for polygon in segmentation:
        if not are_numbers(polygon):
            raise ValueError(f"its polygon {polygon!r:.60} is not a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"its polygon has {len(polygon)} numbers, not x and y of three or more points")
    if len(segmentation) == 1 and len(segmentation[0]) <= 10:
        xs, ys = segmentation[0][0::2], segmentation[0][1::2]
        corners = {(round(x), round(y)) for x, y in zip(xs, ys, strict=True)}
        if corners == {(round(box[i]), round(box[j])) for i in (0, 2) for j in (1, 3)}:
            return None
    return tuple(tuple(map(float, polygon)) for polygon in segmentation) or None


def _by_id(file: Path, key: str, entries: Any, value: str, findings: Findings) -> dict[Any, Mapping[str, Any]]:
    """Return the entries of a list that have an id, and a name under `value`, by their ids."""
    by_id: dict[Any, Mapping[str, Any]] = {}
    for number, entry in enumerate(entries):
        identity, name = entry.get("id"), entry.get(value)
        if not isinstance(identity, int | str) or not isinstance(name, str) or not name.strip("./\\ "):
            findings.fault(file, f"{key}[{number}] has no id or no {value}; correct it")
        elif identity in by_id:
            findings.fault(file, f"{key}[{number}] has the id {identity!r:.40} of another one; correct it")
        else:
            by_id[identity] = entry
    return by_id


def are_numbers(values: Any) -> bool:
    """Whether a value from JSON is a list of numbers that may be pixels."""
    # JSON has integers of any length and, as Python reads it, infinities and NaN.
    return isinstance(values, list) and all(type(value) in (int, float) and abs(value) < MOST for value in values)
