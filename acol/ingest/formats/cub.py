"""CUB-200-2011: text tables, keyed by numbers."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format, Parsed
from acol.ingest.formats.lines import normal, number, numbered, rows, same_keys, unique

T = TypeVar("T")


def read_cub(folder: Path) -> Parsed:
    """Return the annotations of CUB-200-2011, keyed by the image's path as images.txt has it.

    bounding_boxes.txt has "id x y width height" in pixels: (x, y, x + width, y + height). `acol.ingest.objects.snap`
    corrects them at the border. Labels are the names in classes.txt; the split is from train_test_split.txt (1: train,
    0: test).
    Source: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001; its README.
    """
    faults: list[str] = []

    def table(name: str, form: str, count: int, convert: Callable[[list[str]], T]) -> dict[str, T]:
        path = folder / f"{name}.txt"
        return unique(rows(path, form, numbered(count, convert), faults), path, faults)

    paths = table("images", "ID PATH", 1, lambda values: normal(values[0]))
    names = table("classes", "CLASS_ID NAME", 1, lambda values: values[0])
    numbers = table("image_class_labels", "ID CLASS_ID", 1, lambda values: values[0])
    splits = table("train_test_split", "ID 0|1", 1, lambda values: ("test", "train")[("0", "1").index(values[0])])
    boxes = table("bounding_boxes", "ID X Y WIDTH HEIGHT", 4, _cub_box)
    keyed: list[tuple[str, Iterable[str]]]
    keyed = [("image_class_labels", numbers), ("train_test_split", splits), ("bounding_boxes", boxes)]
    for name, keys in keyed:
        same_keys(folder / f"{name}.txt", set(keys), folder / "images.txt", set(paths), faults)
    for unknown in sorted(set(numbers.values()) - set(names)):
        what = f"{shown(folder / 'classes.txt')}: no class {shown(unknown)}"
        faults.append(f"{what}, which image_class_labels.txt uses; add it")
    for path, count in Counter(paths.values()).items():
        if count > 1:
            faults.append(f"{shown(folder / 'images.txt')}: {shown(path)} occurs twice; keep one line")
    source = str(folder / "bounding_boxes.txt")
    annotations = {
        path: Annotation(
            source,
            boxes=(boxes[key],) if key in boxes else (),
            label=names.get(numbers.get(key, "")),
            split=splits.get(key),
        )
        for key, path in paths.items()
    }
    return Parsed(annotations, faults)


FORMAT = Format(read_cub, gives_splits=True)


def _cub_box(values: list[str]) -> Box:
    x, y, width, height = map(number, values)
    return x, y, x + width, y + height
