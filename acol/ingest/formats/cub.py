"""CUB-200-2011: text tables, keyed by numbers."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, Format, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.lines import normal, number, same_keys, table

T = TypeVar("T")


def read_cub(folder: Path, findings: Findings) -> dict[str, Annotation]:
    """Return the annotations of CUB-200-2011, keyed by the image's path as images.txt has it.

    bounding_boxes.txt has "id x y width height" in pixels: (x, y, x + width, y + height). `acol.ingest.objects.snap`
    corrects them at the border. Labels are the names in classes.txt; the split is from train_test_split.txt (1: train,
    0: test).
    Source: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001; its README.
    """

    def read(name: str, form: str, convert: Callable[[list[str]], T]) -> dict[str, T]:
        return table(folder / f"{name}.txt", form, convert, findings)

    paths = read("images", "ID PATH", lambda values: normal(values[0]))
    names = read("classes", "CLASS_ID NAME", lambda values: values[0])
    numbers = read("image_class_labels", "ID CLASS_ID", lambda values: values[0])
    splits = read("train_test_split", "ID 0|1", lambda values: ("test", "train")[("0", "1").index(values[0])])
    boxes = read("bounding_boxes", "ID X Y WIDTH HEIGHT", _cub_box)
    for name, keys in (
        ("image_class_labels", {*numbers}),
        ("train_test_split", {*splits}),
        ("bounding_boxes", {*boxes}),
    ):
        same_keys(folder / f"{name}.txt", keys, folder / "images.txt", {*paths}, findings)
    for unknown in sorted(set(numbers.values()) - set(names)):
        what = f"no class {shown(unknown)}, which image_class_labels.txt uses; add it"
        findings.fault(folder / "classes.txt", what)
    for path, count in Counter(paths.values()).items():
        if count > 1:
            findings.fault(folder / "images.txt", f"{shown(path)} occurs twice; keep one line")
    return {
        path: Annotation(
            str(folder / "bounding_boxes.txt"),
            objects=(Object(boxes[key]),) if key in boxes else (),
            label=names.get(numbers.get(key, "")),
            split=splits.get(key),
        )
        for key, path in paths.items()
    }


FORMAT = Format(read_cub, "folder", "bounding_boxes.txt", without_suffix=False)


def _cub_box(values: list[str]) -> Box:
    x, y, width, height = map(number, values)
    return x, y, x + width, y + height
