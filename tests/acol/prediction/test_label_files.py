"""Predicted boxes that are written in a format are read back the same; outside readers are in benchmarks."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from acol.data.images import read_image
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from acol.localization.regions import Region
from acol.prediction.label_files import (
    COPIES,
    FORMATS,
    LOCAL,
    LabelSettings,
    PredictedImage,
    copy_image,
    flat_names,
    write_labels,
)

CLASSES = ("cat", "big dog: ß")
# The folder that is read, and the annotations in it: some readers want the images in one folder beside the labels.
PLACES = {
    "coco": (".", AnnotationSource("coco", "out/annotations.coco.json")),
    "csv": (".", AnnotationSource("csv", "out/boxes.csv")),
    "label-studio": (".", AnnotationSource("label-studio", "out/tasks.json")),
    "cvat": (".", AnnotationSource("cvat", "out/annotations.xml")),
    "hf": ("out", AnnotationSource("hf", "images/metadata.jsonl")),
    "yolo": ("out", AnnotationSource("yolo", "labels")),
    "voc": ("out", AnnotationSource("voc", "annotations")),
}


def accept(tasks: Path) -> None:
    """Do as Label Studio does where somebody submits the drafts as they are."""
    content = json.loads(tasks.read_text())
    for task in content:
        task["annotations"] = [{"was_cancelled": False, "result": task.pop("predictions")[0]["result"]}]
    tasks.write_text(json.dumps(content))


def labelled(path: str, size: tuple[int, int] = (40, 20), drafts: tuple[Region, ...] = ()) -> PredictedImage:
    return PredictedImage(path, path, size, "cat", 0.75, drafts)


@pytest.fixture
def predicted(tmp_path: Path) -> list[PredictedImage]:
    """Twelve images in two folders, the last one turned by its EXIF orientation."""
    rng = np.random.default_rng(0)
    names = flat_names(f"{'ab'[n % 2]}/{n} ,{'.jpg' if n == 11 else '.png'}" for n in range(12))
    rows = []
    for n, (path, name) in enumerate(names.items()):
        width, height = (int(rng.integers(20, 90)), int(rng.integers(20, 90)))
        file, exif = tmp_path / "images" / path, Image.Exif()
        file.parent.mkdir(parents=True, exist_ok=True)
        exif[274] = 6 if n == 11 else 1
        stored = (width, height, 3) if n == 11 else (height, width, 3)
        Image.fromarray(rng.integers(0, 256, stored, np.uint8)).save(file, exif=exif)
        x0, y0 = rng.uniform(0, 10, 2)
        box = (float(x0), float(y0), width - float(rng.uniform(0, 5)), float(height))
        name = copy_image(file, tmp_path / "out" / COPIES, name)
        rows.append(PredictedImage(path, name, (width, height), CLASSES[n // 6], 0.75, (Region(box, 0.75),)))
    return rows


@pytest.mark.parametrize("form", PLACES)
def test_what_is_written_is_read_back(form: str, predicted: list[PredictedImage], tmp_path: Path) -> None:
    write_labels(tmp_path / "out", form, predicted, LabelSettings(CLASSES, "about: it", url=f"{LOCAL}images/"))
    if form == "label-studio":
        accept(tmp_path / "out/tasks.json")
    folder, source = PLACES[form]
    split = {"test_from": "val"} if form == "yolo" else {}  # its lists give a split
    reading = read_folder(tmp_path / folder, images="images", annotations=source, label_from="annotation", **split)
    images = {image.path.removeprefix("images/"): image for image in reading.manifest.images}
    assert images.keys() == {row.path if folder == "." else row.name for row in predicted}
    for row in predicted:
        image = images[row.path if folder == "." else row.name]
        assert image.label == row.label
        assert image.boxes == (pytest.approx(row.drafts[0].box, abs=0.01),)


def test_cocos_own_tool_reads_it(predicted: list[PredictedImage], tmp_path: Path) -> None:
    write_labels(tmp_path / "out", "coco", predicted, LabelSettings(CLASSES, "about it"))
    tool = COCO(str(tmp_path / "out/annotations.coco.json"))
    assert [category["name"] for category in tool.loadCats(tool.getCatIds())] == [*CLASSES]
    (first,) = tool.loadImgs(1)
    (row,) = (row for row in predicted if row.path == first["file_name"])
    (entry,) = tool.loadAnns(tool.getAnnIds(imgIds=[1]))
    x, y, width, height = entry["bbox"]
    assert (x, y, x + width, y + height) == pytest.approx(row.drafts[0].box)
    assert entry["score"] == 0.75


def test_a_flat_folder_has_a_name_for_each_image() -> None:
    paths = ["a/1.png", "b/1.png", "a__1.PNG", "a.b/2.jpg", "3.gif"]
    assert list(flat_names(paths).values()) == ["a__1.png", "b__1.png", "a__1-2.PNG", "a.b__2.jpg", "3.png"]
    assert flat_names(["x y, ä.webp"]) == {"x y, ä.webp": "x y, ä.webp"}
    long = [f"{'日' * 80}/{number}/{'本' * 80}.jpg" for number in range(2)]  # no file may have so long a name
    assert [len(name.encode()) for name in flat_names(long).values()] == [202, 204]


def test_a_turned_image_is_copied_as_it_is_seen(predicted: list[PredictedImage], tmp_path: Path) -> None:
    row = predicted[-1]
    assert row.name == "b__11 ,.png"
    with Image.open(tmp_path / "out" / COPIES / row.name) as copied:
        assert copied.getexif().get(274, 1) == 1
        assert (np.asarray(copied) == np.asarray(read_image(tmp_path / "images" / row.path))).all()


def test_an_image_without_a_draft_stays_in_every_format(tmp_path: Path) -> None:
    for form in FORMATS:
        write_labels(tmp_path, form, [labelled("empty.png")], LabelSettings(CLASSES))
    assert json.loads((tmp_path / "annotations.coco.json").read_text())["images"][0]["file_name"] == "empty.png"
    assert (tmp_path / "labels/empty.txt").read_text() == ""
    assert (tmp_path / "train.txt").read_text() == (tmp_path / "val.txt").read_text() == "./images/empty.png\n"
    assert ElementTree.parse(tmp_path / "annotations/empty.xml").findall("object") == []
    assert ElementTree.parse(tmp_path / "annotations.xml").find("image").attrib["name"] == "empty.png"
    assert json.loads((tmp_path / "images/metadata.jsonl").read_text())["objects"]["bbox"] == []
    assert json.loads((tmp_path / "tasks.json").read_text())[0]["predictions"][0]["result"] == []


def test_every_fifth_image_of_a_class_is_held_out(tmp_path: Path) -> None:
    rows = [labelled(f"{n:02}.png") for n in range(10)]
    write_labels(tmp_path, "yolo", rows, LabelSettings(CLASSES))
    train, val = ((tmp_path / f"{split}.txt").read_text().split() for split in ("train", "val"))
    assert val == ["./images/04.png", "./images/09.png"]
    assert sorted(train + val) == [f"./images/{row.name}" for row in rows]


@pytest.mark.parametrize(
    ("url", "image"),
    [
        ("/data/local-files/?d=photos/", "/data/local-files/?d=photos/a%20%26/%C3%A4.png"),
        ("http://host/", "http://host/a%20%26/%C3%A4.png"),
        ("s3://bucket/photos/", "s3://bucket/photos/a &/ä.png"),
    ],
)
def test_label_studio_finds_the_image(url: str, image: str, tmp_path: Path) -> None:
    row = labelled("a &/ä.png", (40, 20), (Region((10.0, 5.0, 30.0, 20.0), 0.5),))
    write_labels(tmp_path, "label-studio", [row], LabelSettings(CLASSES, model="this one", url=url))
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"] == {"image": image}
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("this one", 0.75)
    (result,) = prediction["result"]
    box = {"x": 25, "y": 25, "width": 50, "height": 75, "rotation": 0, "rectanglelabels": ["cat"]}
    assert result["value"] == box
    config = ElementTree.parse(tmp_path / "label_config.xml")
    assert [label.attrib["value"] for label in config.iter("Label")] == [*CLASSES]
    assert config.find("Image").attrib == {"name": result["to_name"], "value": "$image"}
    assert config.find("RectangleLabels").attrib == {"name": result["from_name"], "toName": result["to_name"]}
