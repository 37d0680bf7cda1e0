"""Label Studio's exports, JSON and JSON-MIN: boxes and polygons in percent of the image as the browser shows it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from acol.data.images import EXTENSIONS, as_line, stem_of
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format, Object, bounds, rotated
from acol.ingest.findings import Findings
from acol.ingest.formats.coco import are_numbers
from acol.ingest.formats.text_files import files_in, image_path, load_json

_OTHER = "marks without a label, or that are no box and no single class (points, text, choices, ...): passed over"
_REGION = {"x", "points"}  # a mark has one of these keys if it is of a part of the image


def read_label_studio(path: Path, findings: Findings) -> Iterator[Annotation]:
    """Yield the annotations of a JSON file, or of all JSON files under a folder.

    Tasks without a finished annotation have none. A single choice gives the image's class. The browser shows images
    upright. Source: labelstud.io/guide/export, "Label Studio JSON format of annotated tasks"; its page of task formats.
    """
    first: dict[tuple[str, str], Annotation] = {}  # of each image in each file
    tasks = [
        (file, number, task)
        for file in files_in(path, ".json", findings)
        if (content := load_json(file, findings)) is not None
        for number, task in enumerate(content if isinstance(content, list) else [content])
    ]
    for file, number, task in tasks:
        where = f"{file}: task {task.get('id', number) if isinstance(task, dict) else number}"
        try:
            for new in _annotations(file, task, findings):
                old = first.setdefault((new.source, new.path), new)
                if old is new:
                    yield new
                elif {*old.objects} != {*new.objects} or old.label != new.label:
                    findings.fault(where, f"{as_line(new.path)} has two annotations that differ; keep one of them")
        except ValueError as error:
            findings.fault(where, f"{error}; correct it")
        except (TypeError, KeyError, AttributeError, IndexError, OverflowError):
            findings.fault(where, "not a task of Label Studio's JSON or JSON-MIN; export it again")
    if tasks and not first and not findings.faults:
        findings.fault(path, "no task has a finished annotation, and predictions are no truth; annotate some")


FORMAT = Format(read_label_studio, "file", r".*\.json", (r"\A\s*\[", r'"annotation(s|_id)"', r'(labels|choices?)"'))


def _annotations(file: Path, task: Mapping[str, Any], findings: Findings) -> Iterator[Annotation]:
    data = task.get("data", task)
    values = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    image = next((path for path in map(_path, values) if path.suffix.lower() in EXTENSIONS), None)
    if image is None:
        raise ValueError("no path of an image in its data")
    if "data" in task:
        finished = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
        answers = [[{**mark["value"], **mark} for mark in each["result"] if "value" in mark] for each in finished]
    else:
        answers = [_marks(task)] if "annotation_id" in task else []
    if not answers:
        findings.remark(str(image), "skipped or not annotated in the tool: no box is read (predictions are no truth)")
    for marks in answers:
        yield _annotation(file, image, marks, findings)


def _marks(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the marks in a row of JSON-MIN, where an answer is a list of regions, or what was chosen."""
    answers = [value for value in row.values() if isinstance(value, list | dict)]
    marks = [mark for value in answers for mark in (value if isinstance(value, list) else [value])]
    chosen = [{"choices": [row[key]]} for key in ("choice", "choices") if isinstance(row.get(key), str)]
    return [*(mark for mark in marks if isinstance(mark, dict)), *chosen]


def _path(url: str) -> PurePosixPath:
    """Return the path in what stands for an image: a local file, an upload, a URL, or a key in a bucket."""
    if "/data/local-files/" in url and "?d=" in url:
        path = unquote(url.partition("?d=")[2])
    elif url.startswith("/data/"):
        path = unquote(urlsplit(url).path)
    else:
        path = image_path(url).as_posix()
    return PurePosixPath(path.replace("\\", "/").lstrip("/"))


def _annotation(file: Path, image: PurePosixPath, marks: Sequence[Mapping[str, Any]], findings: Findings) -> Annotation:
    objects: list[Object] = []
    sizes = {(int(mark["original_width"]), int(mark["original_height"])) for mark in marks if "original_width" in mark}
    if len(sizes) > 1:
        raise ValueError("its regions are of images of two sizes")
    labelled = {mark.get("id") for mark in marks if _names(mark)}
    choices = {choice for mark in marks if not _REGION & mark.keys() for choice in mark.get("choices", ())}
    other = len(choices) > 1
    for mark in marks:
        if mark.get("image_rotation"):
            raise ValueError(f"its image is turned by {mark['image_rotation']} degrees in the tool; turn it back")
        if "rle" in mark:
            raise ValueError("a brush mask is not read; draw boxes or polygons, or export PNG files (data.masks)")
        names, points = _names(mark), _points(mark)
        box = bounds(points[0::2], points[1::2]) if points else _box(mark, sizes)
        if not names or box is None:
            # The region of a label that stands in a mark of its own is read there, and a class above.
            known = not names and mark.get("id") in labelled if _REGION & mark.keys() else "choices" in mark
            other = other or not known
            continue
        if mark.get("rotation") or "radiusX" in mark:
            findings.remark(str(image), "rotated boxes or ellipses: the upright box around each counts")
        objects += [Object(box, name, outline=(points,) if points else None) for name in names]
    label = next(iter(choices)) if len(choices) == 1 else None
    if not objects and not label:
        findings.remark(str(image), "no object in a finished annotation: no box is read")
    findings.remark([str(image)] * other, _OTHER)
    size = next(iter(sizes), None)
    return Annotation(str(file), stem_of(image), tuple(objects), size, label=label, image=image.name, fractions=True)


def _names(mark: Mapping[str, Any]) -> list[str]:
    """Return a region's labels, whatever the kind of region: rectanglelabels, polygonlabels, labels, ..."""
    return [str(name) for key, names in mark.items() if key.endswith("labels") for name in names]


def _points(mark: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the points x, y, x, y, ... of a polygon, in fractions of the image; none of another region."""
    if "points" not in mark:
        return ()
    points = mark["points"]
    if len(points) < 3 or not all(are_numbers(point) and len(point) == 2 for point in points):
        raise ValueError("a polygon that is not three or more points [x, y]")
    return tuple(number / 100 for point in points for number in point)


def _box(mark: Mapping[str, Any], sizes: Collection[tuple[int, int]]) -> Box | None:
    """Return the upright box of a rectangle or an ellipse in fractions of the image; None of anything else."""
    if "x" not in mark or not {"width", "radiusX"} & mark.keys():
        return None
    x, y = mark["x"], mark["y"]
    box = x, y, x + mark.get("width", 0), y + mark.get("height", 0)
    if "radiusX" in mark:
        box = x - mark["radiusX"], y - mark["radiusY"], x + mark["radiusX"], y + mark["radiusY"]
    if degrees := mark.get("rotation"):
        # In pixels, around the corner at the top left or the centre; what is outside of the image is cut off.
        if not sizes:
            raise ValueError("a rotated region without original_width and original_height")
        ((width, height),) = sizes
        upright = rotated(_scaled(box, width, height), degrees, (x * width, y * height))
        x0, y0, x1, y1 = (min(max(side, 0.0), 100.0) for side in _scaled(upright, 1 / width, 1 / height))
        box = x0, y0, x1, y1
    return _scaled(box, 0.01, 0.01)


def _scaled(box: Sequence[float], width: float, height: float) -> Box:
    return box[0] * width, box[1] * height, box[2] * width, box[3] * height
