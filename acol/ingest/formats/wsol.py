"""The metadata folders of wsolevaluation: text files with one line per image or box."""

from dataclasses import replace
from pathlib import Path

from acol.data.images import shown
from acol.data.manifest import SPLITS, Box
from acol.ingest.annotations import Annotation, Format, Parsed
from acol.ingest.formats.lines import after_id, grouped, normal, number, rows, same_keys, unique, whole


def read_wsol(folder: Path) -> Parsed:
    """Return the annotations of a metadata folder of wsolevaluation, keyed by the image ids (paths) in it.

    The folder holds the files below, or the folders train, val and test that do: then they give the splits.

    image_ids.txt lists the ids. localization.txt has one line "id,x0,y0,x1,y1" per box, and at least one per image.
    image_sizes.txt has "id,width,height", class_labels.txt "id,number". Coordinates are used unchanged, as half-open
    boxes, since x1 may equal the width.
    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020
    (github.com/clovaai/wsolevaluation).
    """
    parts = [name for name in SPLITS if (folder / name / "image_ids.txt").is_file()]
    if not (folder / "image_ids.txt").is_file() and parts:
        return _joined({name: _read_part(folder / name, boxes=name != "train") for name in parts}, folder)
    return _read_part(folder)


def _joined(parts: dict[str, Parsed], folder: Path) -> Parsed:
    annotations: dict[str, Annotation] = {}
    faults: list[str] = []
    for split, (found, own_faults, _) in parts.items():
        faults += own_faults
        faults += [
            f"{shown(folder / split)}: {shown(key)} is also in {annotations[key].split}; keep one of the two"
            for key in found
            if key in annotations
        ]
        annotations |= {key: replace(annotation, split=split) for key, annotation in found.items()}
    return Parsed(annotations, faults)


def _read_part(folder: Path, *, boxes: bool = True) -> Parsed:
    faults: list[str] = []
    files = {name: folder / f"{name}.txt" for name in ("image_ids", "class_labels", "image_sizes", "localization")}
    listed = rows(files["image_ids"], "ID", lambda line: (normal(line), line), faults)
    ids = unique(listed, files["image_ids"], faults)
    labelled = rows(files["class_labels"], "ID,NUMBER", after_id(1, lambda values: str(whole(values[0]))), faults)
    sized = rows(files["image_sizes"], "ID,WIDTH,HEIGHT", after_id(2, _size), faults)
    # The training images of most sets have labels alone.
    read = boxes or files["localization"].is_file()
    located = rows(files["localization"], "ID,X0,Y0,X1,Y1", after_id(4, _box), faults) if read else []
    numbers = unique(labelled, files["class_labels"], faults)
    sizes = unique(sized, files["image_sizes"], faults)
    for name, keys in (
        ("class_labels", set(numbers)),
        ("image_sizes", set(sizes)),
        ("localization", {key for key, _ in located}),
    ):
        same_keys(files[name], keys, files["image_ids"], set(ids), faults)
    source, by_image = str(files["localization"]), grouped(located)
    annotations = {
        key: Annotation(source, tuple(by_image.get(key, ())), sizes.get(key), label=numbers.get(key)) for key in ids
    }
    return Parsed(annotations, faults)


FORMAT = Format(read_wsol, gives_splits=True, exact=True)


def _size(values: list[str]) -> tuple[int, int]:
    width, height = map(whole, values)
    return width, height


def _box(values: list[str]) -> Box:
    x0, y0, x1, y1 = map(number, values)
    return x0, y0, x1, y1
