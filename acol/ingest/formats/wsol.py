"""The metadata folders of wsolevaluation: text files with one line per image or box."""

from dataclasses import replace
from pathlib import Path

from acol.data.images import shown
from acol.data.manifest import SPLITS, Box
from acol.ingest.annotations import Annotation, Format, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.lines import grouped, number, rows, same_keys, table, whole


def read_wsol(folder: Path, findings: Findings) -> dict[str, Annotation]:
    """Return the annotations of a metadata folder of wsolevaluation, keyed by the image ids (paths) in it.

    The folder holds the files below, or the folders train, val and test that do: then they give the splits.

    image_ids.txt lists the ids. localization.txt has one line "id,x0,y0,x1,y1" per box, and at least one per image.
    image_sizes.txt has "id,width,height", class_labels.txt "id,number". Coordinates are used unchanged, as half-open
    boxes, since x1 may equal the width.
    Source: Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020
    (github.com/clovaai/wsolevaluation).
    """
    parts = [name for name in SPLITS if (folder / name / "image_ids.txt").is_file()]
    if (folder / "image_ids.txt").is_file() or not parts:
        return _read_part(folder, findings)
    annotations: dict[str, Annotation] = {}
    for split in parts:
        for key, annotation in _read_part(folder / split, findings, boxes=split != "train").items():
            if key in annotations:
                what = f"{shown(key)} is also in {annotations[key].split}; keep one of the two"
                findings.fault(folder / split, what)
            annotations[key] = replace(annotation, split=split)
    return annotations


def _read_part(folder: Path, findings: Findings, *, boxes: bool = True) -> dict[str, Annotation]:
    index, classes, sides, places = (
        folder / f"{name}.txt" for name in ("image_ids", "class_labels", "image_sizes", "localization")
    )
    ids = table(index, "ID", lambda _: None, findings)
    numbers = table(classes, "ID,NUMBER", lambda values: str(whole(values[0])), findings)
    sizes = table(sides, "ID,WIDTH,HEIGHT", _size, findings)
    # The training images of most sets have labels alone.
    read = boxes or places.is_file()
    found = grouped(rows(places, "ID,X0,Y0,X1,Y1", _box, findings)) if read else {}
    for file, keys in ((classes, {*numbers}), (sides, {*sizes}), (places, {*found})):
        same_keys(file, keys, index, {*ids}, findings)
    return {
        key: Annotation(str(places), tuple(map(Object, found.get(key, ()))), sizes.get(key), label=numbers.get(key))
        for key in ids
    }


FORMAT = Format(read_wsol, "folder", "image_ids.txt", without_suffix=False, exact=True)


def _size(values: list[str]) -> tuple[int, int]:
    width, height = map(whole, values)
    return width, height


def _box(values: list[str]) -> Box:
    x0, y0, x1, y1 = map(number, values)
    return x0, y0, x1, y1
