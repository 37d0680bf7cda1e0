"""Published sets whose annotations are text tables: the metadata of wsolevaluation, and CUB-200-2011."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from acol.data.images import EXTENSIONS, as_line
from acol.data.manifest import SPLITS, Box
from acol.ingest.annotations import Annotation, Format, Object, from_size
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import parse_integer, parse_number, read_lines, read_rows, read_table, same_keys

T = TypeVar("T")


def read_cub(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the annotations of CUB-200-2011, with the images' paths as images.txt has them.

    Source: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001; its README.
    """

    def read(name: str, columns: str, convert: Callable[[list[str]], T]) -> dict[str, T]:
        return read_table(folder / f"{name}.txt", columns, convert, findings)

    def box(values: list[str]) -> Box:
        return from_size(*map(parse_number, values))

    # One table for each fact, all by the image's number.
    paths = read("images", "ID PATH", lambda values: str(PurePosixPath(values[0])))
    names = read("classes", "CLASS_ID NAME", lambda values: values[0])
    numbers = read("image_class_labels", "ID CLASS_ID", lambda values: values[0])
    splits = read("train_test_split", "ID 0|1", lambda values: ("test", "train")[("0", "1").index(values[0])])
    boxes = read("bounding_boxes", "ID X Y WIDTH HEIGHT", box)

    # Tables that do not fit together.
    keyed = ("image_class_labels", {*numbers}), ("train_test_split", {*splits}), ("bounding_boxes", {*boxes})
    for name, keys in keyed:
        same_keys(folder / f"{name}.txt", keys, folder / "images.txt", {*paths}, findings)
    for unknown in sorted(set(numbers.values()) - set(names)):
        what = f"no class {as_line(unknown)}, which image_class_labels.txt uses; add it"
        findings.fault(folder / "classes.txt", what)
    for path, count in Counter(paths.values()).items():
        if count > 1:
            findings.fault(folder / "images.txt", f"{as_line(path)} occurs twice; keep one line")
    return [
        Annotation(
            str(folder / "bounding_boxes.txt"),
            path,
            objects=(Object(boxes[key]),) if key in boxes else (),
            label=names.get(numbers.get(key, "")),
            split=splits.get(key),
        )
        for path, key in {path: key for key, path in paths.items()}.items()
    ]


CUB = Format(read_cub, "folder", r"bounding_boxes\.txt", without_suffix=False)


def read_wsol(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the annotations of a metadata folder of wsolevaluation, whose image ids are paths.

    The folder holds the files, or the folders train, val and test that do: then they give the splits. Coordinates are
    used unchanged, as half-open boxes, since x1 may equal the width. Source: Choe et al., Evaluating Weakly Supervised
    Object Localization Methods Right, CVPR 2020 (github.com/clovaai/wsolevaluation).
    """
    parts = [name for name in SPLITS if (folder / name / "image_ids.txt").is_file()]
    if (folder / "image_ids.txt").is_file() or not parts:
        return _read_part(folder, findings)
    annotations: dict[str, Annotation] = {}
    for split in parts:
        for annotation in _read_part(folder / split, findings, boxes=split != "train"):
            if other := annotations.get(annotation.path):
                what = f"{as_line(annotation.path)} is also in {other.split}; keep one of the two"
                findings.fault(folder / split, what)
            annotations[annotation.path] = replace(annotation, split=split)
    return [*annotations.values()]


def _read_part(folder: Path, findings: Findings, *, boxes: bool = True) -> list[Annotation]:
    def size(values: list[str]) -> tuple[int, int]:
        width, height = map(parse_integer, values)
        return width, height

    def box(values: list[str]) -> Box:
        x0, y0, x1, y1 = map(parse_number, values)
        return x0, y0, x1, y1

    index, classes, sides, places = (
        folder / f"{name}.txt" for name in ("image_ids", "class_labels", "image_sizes", "localization")
    )
    ids = read_table(index, "ID", lambda _: None, findings)
    numbers = read_table(classes, "ID,NUMBER", lambda values: str(parse_integer(values[0])), findings)
    # The training images of most sets have labels alone. OpenImages has masks, and no sizes.
    first = next((line for _, line in read_lines(places, Findings())), "")
    read = (boxes or places.is_file()) and not first.rstrip(",").lower().endswith(EXTENSIONS)
    if first and not read:
        findings.note(f"{as_line(places)}: lists masks, and no boxes: data.masks.list reads them")
    sizes = read_table(sides, "ID,WIDTH,HEIGHT", size, findings) if read or sides.is_file() else {}
    boxes_of = read_rows(places, "ID,X0,Y0,X1,Y1", box, findings) if read else {}
    for file, keys in ((classes, {*numbers}), (sides, {*sizes}), (places, {*boxes_of})):
        same_keys(file, keys, index, {*ids}, findings)
    return [
        Annotation(str(places), key, tuple(map(Object, boxes_of.get(key, ()))), sizes.get(key), label=numbers.get(key))
        for key in ids
    ]


WSOL = Format(read_wsol, "folder", r"image_ids\.txt", without_suffix=False, exact=True)
