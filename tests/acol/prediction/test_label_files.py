"""Predicted boxes that are written in a format are read back the same."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from acol.prediction.label_files import FORMATS, Labelled, write_labels

CLASSES = ("cat", "big dog: ß")
PLACES = {
    "coco": AnnotationSource("coco", "out/annotations.coco.json"),
    "yolo": AnnotationSource("yolo", "out/labels"),
    "voc": AnnotationSource("voc", "out/annotations"),
    "csv": AnnotationSource("csv", "out/boxes.csv"),
}


@pytest.fixture
def predicted(tmp_path: Path) -> list[Labelled]:
    rng = np.random.default_rng(0)
    rows = []
    for n in range(12):
        size = (int(rng.integers(20, 90)), int(rng.integers(20, 90)))
        path = tmp_path / f"images/{'ab'[n % 2]}/{n} ,.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
        x0, y0 = rng.uniform(0, 10, 2)
        box = (float(x0), float(y0), size[0] - float(rng.uniform(0, 5)), float(size[1]))
        label = CLASSES[n // 6]
        rows.append(Labelled(path.relative_to(tmp_path / "images").as_posix(), size, label, 0.75, box))
    (tmp_path / "out").mkdir()
    return rows


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read_back(form: str, predicted: list[Labelled], tmp_path: Path) -> None:
    write_labels(tmp_path / "out", form, predicted, CLASSES, "about: it")
    reading = read_folder(tmp_path, images="images", annotations=PLACES[form], label_from="annotation")
    found = {image.path.removeprefix("images/"): image for image in reading.manifest.images}
    assert found.keys() == {row.path for row in predicted}
    for row in predicted:
        assert found[row.path].label == row.label
        assert found[row.path].boxes == (pytest.approx(row.box, abs=1e-4),)


def test_cocos_own_tool_reads_it(predicted: list[Labelled], tmp_path: Path) -> None:
    write_labels(tmp_path / "out", "coco", predicted, CLASSES, "about it")
    tool = COCO(str(tmp_path / "out/annotations.coco.json"))
    assert [category["name"] for category in tool.loadCats(tool.getCatIds())] == [*CLASSES]
    (entry,) = tool.loadAnns(tool.getAnnIds(imgIds=[1]))
    x, y, width, height = entry["bbox"]
    assert (x, y, x + width, y + height) == pytest.approx(predicted[0].box)
    assert entry["score"] == 0.75
