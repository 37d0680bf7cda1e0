"""Data sets as they are published and as tools leave them, rebuilt small: read to the pixel, told or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acol.errors import Faults
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder

SIZE = (40, 30)  # width, height
BOX = (4.0, 6.0, 24.0, 21.0)  # not where the same numbers are a corner and a size
X0, Y0, X1, Y1 = map(int, BOX)
CORNERS, SIZED = f"{X0},{Y0},{X1},{Y1}", f"{X0},{Y0},{X1 - X0},{Y1 - Y0}"
KINDS = ("cat", "dog")
Put = Callable[..., list[tuple[Path, str]]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Draw five images of each class at places that a pattern names; return their paths and classes."""
    rng = np.random.default_rng(0)

    def draw(pattern: str = "images/{kind}{n}.png", kinds: tuple[str, ...] = KINDS) -> list[tuple[Path, str]]:
        found = []
        for number in range(5 * len(kinds)):
            kind = kinds[number // 5]
            path = tmp_path / pattern.format(kind=kind, n=number % 5, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path)
            found.append((path, kind))
        return found

    return draw


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(root: Path, form: str, path: str, images: str = ".", **settings: Any) -> Reading:
    known = {key: settings.pop(key) for key in ("names", "columns") if key in settings}
    source = AnnotationSource(form, path, **known)
    return read_folder(root, images=images, annotations=source, **{"label_from": "annotation", **settings})


def check(reading: Reading, photos: list[tuple[Path, str]], *boxes: tuple[float, ...], split: str | None = None):
    """Assert that just these images are read, with their classes and boxes, and that some are in a split."""
    found = {reading.manifest.root / image.path: image for image in reading.manifest.images}
    assert {path: image.label for path, image in found.items()} == dict(photos)
    assert all((image.boxes or ()) == boxes for image in found.values())
    given = {path for path, _ in photos if split and split in path.relative_to(reading.manifest.root).parts}
    assert {path for path, image in found.items() if image.split == split} == given or not split
    return reading.remarks


def fault(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(Faults) as error:
        read(*arguments, **settings)
    return error.value.faults[0]


# --- CSV ---


@pytest.mark.parametrize(
    ("header", "row", "boxed"),
    [
        ("ImageId,PredictionString", "{name},{kind} " + CORNERS.replace(",", " ") + " ", True),  # ImageNet's challenge
        ("filename, cat, dog, bird", "{name}, {cat}, {dog}, 0", False),  # Roboflow's _classes.csv
        ("image,cat,dog", "{name},{cat}.0,{dog}.0", False),  # ISIC 2018
        ("filename,width,height,class,x,y,w,h", "{name},40,30,{kind}," + SIZED, True),
        ("image_id\tclass_name\tclass_id\tx_min\ty_min\tx_max\ty_max", "{name}\t{kind}\t7\tnan\tNaN\t\t", False),
        ("fname,labels,is_valid", "images/{name}.png,{kind},False", False),
    ],
)
def test_tables_with_names_of_their_own(put: Put, tmp_path: Path, header: str, row: str, boxed: bool) -> None:
    photos = put()
    rows = [row.format(name=p.stem, kind=kind, cat=int(kind == "cat"), dog=int(kind == "dog")) for p, kind in photos]
    write(tmp_path / "table.tsv", header, *rows)
    check(read(tmp_path, "csv", "table.tsv"), photos, *[BOX] * boxed)


@pytest.mark.parametrize(
    ("header", "row", "columns", "boxed"),
    [
        ("id,breed", "{name},{kind}", {"id": "path", "Breed": "class"}, False),
        ("lesion_id,image_id,dx", "HAM_1,{name},{kind}", {"dx": "class"}, False),
        (
            "patientId,x,y,width,height,Target",
            "{name}," + SIZED + ",{kind}",
            {"patientId": "path", "Target": "class"},
            True,
        ),
        (
            None,
            "images/{name}.png," + CORNERS + ",{kind}",
            ("path", "x0", "y0", "x1", "y1", "class"),
            True,
        ),  # RetinaNet
        (None, "{kind}," + SIZED + ",{name}.png,40,30", ("class", "x", "y", "w", "h", "path", "width", "height"), True),
    ],
)
def test_columns_whose_meaning_a_setting_says(
    put: Put, tmp_path: Path, header: str | None, row: str, columns: Any, boxed: bool
) -> None:
    photos = put()
    rows = [row.format(name=path.stem, kind=kind) for path, kind in photos]
    write(tmp_path / "table.csv", *([header] if header else []), *rows)
    said = fault(tmp_path, "csv", "table.csv")
    assert "table.csv line 1: no header with the columns path,class or" in said
    assert "data.annotations.columns: {THEIRS: path, THEIRS: class}" in said
    check(read(tmp_path, "csv", "table.csv", columns=columns), photos, *[BOX] * boxed)


def test_a_setting_of_columns_that_changes_nothing_is_told(put: Put, tmp_path: Path) -> None:
    photos = put()
    write(tmp_path / "table.csv", "path,class", *(f"{path.stem},{kind}" for path, kind in photos))
    (remark,) = check(read(tmp_path, "csv", "table.csv", columns={"breed": "class"}), photos)
    assert remark == "data.annotations.columns: 'breed' without effect: no column has this name"
    assert "only CSV has columns" in fault(tmp_path, "voc", "images", columns={"breed": "class"})


def test_columns_of_classes_without_just_one_1_give_no_class(put: Put, tmp_path: Path) -> None:
    photos = put()
    ones = {path: f"{int(kind == 'cat')},{int(kind == 'dog')}" for path, kind in photos}
    ones |= {photos[0][0]: "1,1", photos[5][0]: "0,0"}
    write(tmp_path / "_classes.csv", "filename,cat,dog", *(f"{path.name},{text}" for path, text in ones.items()))
    remarks = check(read(tmp_path, "csv", "_classes.csv"), photos[1:5] + photos[6:])
    assert remarks[0].startswith("2 images (cat0, dog0): not just one 1 in the columns of classes of ")
    # What else may be 0 or 1 names no class: all of one value are no two classes.
    write(tmp_path / "_classes.csv", "filename,count,number", *(f"{path.name},1,0" for path, _ in photos))
    assert "line 1: no header with the columns" in fault(tmp_path, "csv", "_classes.csv")


def test_a_list_of_splits_beside_class_folders(put: Put, tmp_path: Path) -> None:
    photos = put("images/{kind}/{n}.png")
    split = {path: "train" if path.stem in "012" else "test" for path, _ in photos}
    write(tmp_path / "table.csv", "path,split", *(f"{p.parent.name}/{p.name},{split[p]}" for p, _ in photos))
    reading = read(tmp_path, "csv", "table.csv", images="images", label_from="folder")
    check(reading, photos)
    assert {image.path for image in reading.manifest.images if image.split == "test"} == {
        path.relative_to(tmp_path).as_posix() for path, name in split.items() if name == "test"
    }


def test_predictions_are_no_truth(put: Put, tmp_path: Path) -> None:
    photos = put()
    write(tmp_path / "train.csv", "image_id,label", *(f"{path.name},{kind}" for path, kind in photos[1:]))
    write(tmp_path / "sample_submission.csv", "image_id,label", f"{photos[0][0].name},dog")
    told = check(read(tmp_path, "csv", "."), photos[1:])
    assert f"1 file ({tmp_path / 'sample_submission.csv'}): predictions, and so no truth: passed over" in told


@pytest.mark.parametrize("cell", ['"[{""x"": 1, ""rectanglelabels"": [""cat""]}]"', "\"['cat']\""])
def test_a_class_that_is_json_is_refused(put: Put, tmp_path: Path, cell: str) -> None:
    write(tmp_path / "table.csv", "image,label", *(f"{path.name},{cell}" for path, _ in put()))
    said = fault(tmp_path, "csv", "table.csv")
    assert "table.csv line 2: the class" in said
    assert said.endswith("is a list or JSON, and no name; correct it")


# --- Equal names in several folders ---


def test_a_table_in_each_class_folder(put: Put, tmp_path: Path) -> None:
    photos = put("{kind}/0000{n}.ppm", ("00000", "00001"))  # GTSRB
    for kind in ("00000", "00001"):
        rows = [f"{path.name};40;30;{CORNERS.replace(',', ';')};{int(kind)}" for path, its in photos if its == kind]
        write(tmp_path / f"{kind}/GT-{kind}.csv", "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId", *rows)
    check(read(tmp_path, "csv", ".", label_from="folder"), photos, BOX)


def coco(photos: list[tuple[Path, str]], **entry: Any) -> str:
    shape = {"bbox": [X0, Y0, X1 - X0, Y1 - Y0]} | entry
    entries = [{"id": n, "image_id": n, "category_id": KINDS.index(kind)} | shape for n, (_, kind) in enumerate(photos)]
    images = [{"id": n, "file_name": path.name} for n, (path, _) in enumerate(photos)]
    names = [{"id": n, "name": kind} for n, kind in enumerate(KINDS)]
    return json.dumps({"images": images, "categories": names, "annotations": entries})


@pytest.mark.parametrize(
    "pattern", ["{split}/{{number}}.png", "{split}2017/{{number}}.png", "images/{split}/{{number}}.png"]
)
@pytest.mark.parametrize("form", ["coco", "csv"])
def test_equal_names_in_the_folders_of_splits(put: Put, tmp_path: Path, pattern: str, form: str) -> None:
    photos = []
    for split in ("train", "test"):
        its = put(pattern.format(split=split))
        photos += its
        if form == "coco":
            write(tmp_path / f"annotations/instances_{split}2017.json", coco(its))
        else:
            rows = [f"{path.name},{kind},{CORNERS}" for path, kind in its]
            write(tmp_path / f"annotations/{split}.csv", "filename,class,xmin,ymin,xmax,ymax", *rows)
    check(read(tmp_path, form, "annotations"), photos, BOX, split="test" if "2017" not in pattern else None)


# --- COCO ---


@pytest.mark.parametrize(
    "beside",
    [
        {"area": (X1 - X0) * (Y1 - Y0)},
        {"segmentation": [[X0, Y0, X1, Y0, X1, Y1 - 5, X0 + 9, Y1]]},
    ],
)
def test_a_bbox_of_two_corners_is_refused_where_something_says_so(put: Put, tmp_path: Path, beside: Any) -> None:
    photos = put()
    write(tmp_path / "a.json", coco(photos, bbox=[*BOX], **beside))  # all lie in their images as corner and size too
    assert "a.json: the bbox of 10 annotations is [x0, y0, x1, y1], as area or segm" in fault(
        tmp_path, "coco", "a.json"
    )
    write(tmp_path / "a.json", coco(photos, **beside))
    check(read(tmp_path, "coco", "a.json"), photos, BOX)


def test_categories_without_boxes_are_classes(put: Put, tmp_path: Path) -> None:
    photos = put()
    text = json.loads(coco(photos))
    for entry in text["annotations"]:
        del entry["bbox"]
    text["annotations"].append({"id": 99, "image_id": 0, "category_id": 1})
    write(tmp_path / "a.json", json.dumps(text))  # iNaturalist
    remarks = check(read(tmp_path, "coco", "a.json"), photos[1:])
    assert remarks[0] == f"1 image (cat0.png): several categories in {tmp_path / 'a.json'}: no class is read"


def test_objects_to_ignore_and_empty_polygons(put: Put, tmp_path: Path) -> None:
    photos = put()
    text = json.loads(coco(photos, segmentation=[[]]))
    text["annotations"].append({"id": 99, "image_id": 0, "category_id": 0, "bbox": [30, 2, 8, 8], "ignore": 1})
    write(tmp_path / "a.json", json.dumps(text))
    assert "objects marked as crowd do not count: 1" in check(read(tmp_path, "coco", "a.json"), photos, BOX)


# --- VOC and YOLO ---


def test_files_of_voc_without_a_suffix(put: Put, tmp_path: Path) -> None:
    photos = put("Images/n{kind}-{kind}/{kind}_{n}.png")  # Stanford Dogs
    photos = [(path, path.parent.name) for path, _ in photos]
    box = "".join(
        f"<{tag}>{value}</{tag}>"
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), (X0 + 1, Y0 + 1, X1, Y1), strict=True)
    )
    for path, kind in photos:
        text = (
            f"<annotation><filename>%s</filename><object><name>dog</name><bndbox>{box}</bndbox></object></annotation>"
        )
        write(tmp_path / "Annotation" / kind / path.stem, text)
    check(read(tmp_path, "voc", "Annotation", images="Images", label_from="folder", names="any"), photos, BOX)
    (tmp_path / "none").mkdir()
    assert "none: no folder with XML files; correct its path" in fault(
        tmp_path, "voc", "none", "Images", label_from="folder"
    )


def test_numbers_of_classes_that_are_written_with_a_point(put: Put, tmp_path: Path) -> None:
    photos = put()
    for path, kind in photos:
        write(tmp_path / f"labels/{path.stem}.txt", f"{KINDS.index(kind)}.000000 0.35 0.45 0.5 0.5")
    write(tmp_path / "data.yaml", "names: [cat, dog]")
    check(read(tmp_path, "yolo", "labels"), photos, BOX)
