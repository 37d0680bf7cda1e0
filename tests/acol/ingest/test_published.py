"""Data sets as they are published and as tools leave them, rebuilt small: read to the pixel, told or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acol.data.images import read_mask
from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder
from acol.ingest.folder_settings import MaskSource

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


def test_a_name_that_no_file_system_takes_is_of_no_image(put: Put, tmp_path: Path) -> None:
    photos = put()
    rows = [f"{path.name},{kind}" for path, kind in photos]
    write(tmp_path / "lists/table.csv", "path,class", *rows, f"{'a' * 400}.png,cat")
    (remark,) = check(read(tmp_path, "csv", "lists"), photos)
    assert remark.startswith("1 annotation (aaa")


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


# --- LabelMe, and lists of splits ---


def labelme(path: Path, shapes: list[tuple[str, str, list[list[float]]]], **more: Any) -> None:
    entries = [{"label": label, "shape_type": kind, "points": points} for label, kind, points in shapes]
    named = {"imagePath": f"..\\photos\\{path.name}", "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    write(path.with_suffix(".json"), json.dumps({"version": "5.4.1", "shapes": entries, **named, **more}))


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("rectangle", [[X1, Y0], [X0, Y1]]),  # drawn from the top right
        ("rectangle", [[X0, Y0], [X1, Y0], [X1, Y1], [X0, Y1]]),  # X-AnyLabeling
        ("polygon", [[X0, Y0], [X1, Y0 + 2.5], [X1, Y1], [X0 + 3, Y1]]),
        ("mask", [[X0, Y0], [X1 - 1, Y1 - 1]]),
    ],
)
def test_labelme_beside_the_images(put: Put, tmp_path: Path, kind: str, points: list[list[float]]) -> None:
    photos = put()
    for path, name in photos:
        labelme(path, [(name, kind, points), (name, "line", [[0, 0], [9, 9]])])
    reading = read(tmp_path, "labelme", "images")
    assert "10 images (cat0.png, cat1.png, cat2.png, ...): marks that are no box" in check(reading, photos, BOX)[0]
    assert all(image.masked == (kind == "polygon") for image in reading.manifest.images)


def test_what_labelme_says_of_an_image_and_what_it_cannot_mean(put: Put, tmp_path: Path) -> None:
    photos = put()
    for path, name in photos:
        labelme(path, [], flags={"cat": name == "cat", "dog": name == "dog"}, imageWidth=None)
    write(tmp_path / "images/notes.json", "[]")
    (remark,) = check(read(tmp_path, "labelme", "images"), photos)
    assert remark.endswith("notes.json): no annotation, and no image has this name: passed over")
    path = photos[0][0]
    labelme(path, [("cat", "circle", [[14, 13], [20, 13]])], flags={"cat": True})
    boxes = {image.path: image.boxes for image in read(tmp_path, "labelme", "images").manifest.images}
    assert boxes["images/cat0.png"] == ((8.0, 7.0, 20.0, 19.0),)
    labelme(path, [("cat", "polygon", [[1, 1], [5, 5]])])
    assert "images/cat0.json: a polygon of 2 points; correct it" in fault(tmp_path, "labelme", "images")
    write(path.with_suffix(".json"), "{}")
    assert "cat0.json: not a file of LabelMe, with imagePath and shapes" in fault(tmp_path, "labelme", "images")


@pytest.mark.parametrize("line", ["{kind}/{kind}{n}.png", "{kind}/{kind}{n}", "images/{kind}/{kind}{n}.png {number}"])
def test_lists_of_splits_beside_class_folders(put: Put, tmp_path: Path, line: str) -> None:
    photos = put("images/{kind}/{kind}{n}.png")
    for split, numbers in {"train": range(3), "test": range(3, 5)}.items():
        rows = [line.format(kind=kind, n=n, number=7 + k) for k, kind in enumerate(KINDS) for n in numbers]
        write(tmp_path / f"meta/{split}.txt", *rows)
    reading = read(tmp_path, "lists", "meta", "images", label_from="folder")
    check(reading, photos)
    assert all((image.split == "test") == (Path(image.path).stem[-1] in "34") for image in reading.manifest.images)
    (tmp_path / "meta/test.txt").unlink()
    said = fault(tmp_path, "lists", "meta", "images", label_from="folder")
    assert said == f"{tmp_path / 'meta'}: no lists train.txt and test.txt or val.txt in it; correct its path"


def test_lists_give_the_classes_of_flat_images(put: Put, tmp_path: Path) -> None:
    photos = put("images/{number}.png")  # mmpretrain
    for split, numbers in {"train": (0, 1, 2), "test": (3, 4)}.items():
        rows = [f"{path.name} {kind}" for path, kind in photos if int(path.stem) % 5 in numbers]
        write(tmp_path / f"meta/{split}.txt", *rows)
    check(read(tmp_path, "lists", "meta", "images"), photos)
    write(tmp_path / "meta/test.txt", *rows, rows[0].replace("cat", "dog"))
    assert "3 is in both; keep one of the two" in fault(tmp_path, "lists", "meta", "images")


# --- Folders ---


def mask(path: Path, inside: int = 255, mode: str = "L", **save: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    values[Y0:Y1, X0:X1] = inside
    Image.fromarray(values).convert(mode).save(path, **save)


def box_of_mask(root: Path, path: str, values: Any) -> tuple[int, ...]:
    rows, columns = np.nonzero(read_mask(root / path, values))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{kind}/images/{n}.png", "{kind}/masks/{n}.png"),  # COVID-19 Radiography
        ("{split}/images/{kind}/{n}.png", "{split}/masks/{kind}/{n}.png"),
        ("images/{kind}/images/{n}.png", "masks/{kind}/masks/{n}.png"),
    ],
)
def test_images_and_masks_in_folders_named_so(put: Put, tmp_path: Path, images: str, masks: str) -> None:
    photos = []
    for split in ("train", "test") if "split" in images else ("",):
        photos += put(images.replace("{split}", split))
    for path, _ in photos:
        mask(tmp_path / Path(*("masks" if part == "images" else part for part in path.relative_to(tmp_path).parts)))
    there = {"images": "images", "masks": "masks"} if images.startswith("images") else {"masks": "."}
    reading = read_folder(tmp_path, **there)
    check(reading, photos, split="test" if "split" in images else None)
    for image in reading.manifest.images:
        assert image.mask == image.path.replace("images", "masks")
        assert box_of_mask(tmp_path, image.mask, reading.manifest.mask_values) == BOX
    if not images.startswith("images"):
        remarks = " ".join(read_folder(tmp_path).remarks)
        assert ("10 images (cat/masks/0.png, cat" in remarks) or ("left aside with 20 images" in remarks)


@pytest.mark.parametrize(
    ("name", "save"),
    [("{n}.bmp", {}), ("{n}.tif", {}), ("{n}_segmentation.gif", {}), ("{n}.png", {"mode": "RGBA"}), ("{n}.JPG", {})],
)
def test_masks_of_any_format_of_images(put: Put, tmp_path: Path, name: str, save: dict[str, str]) -> None:
    photos = put("images/{kind}/{n}.png")
    for path, kind in photos:
        mask(tmp_path / "masks" / kind / name.format(n=path.stem), **save)
    source = MaskSource("masks", values="grey" if "JPG" in name else None)
    reading = read_folder(tmp_path, images="images", masks=source)
    for image in reading.manifest.images:
        assert box_of_mask(tmp_path, image.mask or "", reading.manifest.mask_values) == BOX
    if "JPG" in name:
        with pytest.raises(Faults, match=r"grey levels, most of them near 0 or 255, .* set data.masks.values: grey"):
            read_folder(tmp_path, images="images", masks="masks")


def test_folders_in_class_folders_are_read_where_the_classes_are_listed(put: Put, tmp_path: Path) -> None:
    photos = put("{kind}/patient{n}/1.png")
    with pytest.raises(Faults, match=r"cat/patient0: a folder inside a class .* list the classes under data.classes"):
        read_folder(tmp_path)
    check(read_folder(tmp_path, classes=KINDS), photos)


@pytest.mark.parametrize("names", [("images_001", "images_002"), ("HAM_images_part_1", "HAM_images_part_2")])
def test_pieces_of_a_set_are_no_classes(put: Put, tmp_path: Path, names: tuple[str, str]) -> None:
    put("{kind}/{kind}{n}.png", names)
    with pytest.raises(InputError, match=f"{names[0]!r}, {names[1]!r}: the name of a split or of a part"):
        read_folder(tmp_path)
    check(read_folder(tmp_path, classes=names), [(path, path.parent.name) for path in tmp_path.glob("*/*.png")])


def test_images_of_formats_that_are_not_read_are_refused_in_class_folders(put: Put, tmp_path: Path) -> None:
    put("{kind}/{n}.png")
    (tmp_path / "cat/scan.dcm").write_bytes(b"DICM")
    with pytest.raises(Faults, match=r"cat/scan.dcm: not an image .*; convert it or remove it"):
        read_folder(tmp_path)


# --- Where annotations are ---


def test_a_folder_of_annotations_that_holds_images_is_one_of_images(put: Put, tmp_path: Path) -> None:
    photos = put("{kind}/{kind}{n}.png", ("cat", "dog", "owl"))
    for path, kind in photos[:5]:
        labelme(path, [(kind, "rectangle", [[X0, Y0], [X1, Y1]])])
    reading = read(tmp_path, "labelme", "cat", label_from="folder")
    assert {image.label: image.boxes for image in reading.manifest.images} == {"cat": (BOX,), "dog": None, "owl": None}


def test_a_file_without_any_annotation_is_a_fault(put: Put, tmp_path: Path) -> None:
    put("images/{kind}/{n}.png")
    write(tmp_path / "table.csv", "path,class")
    said = fault(tmp_path, "csv", "table.csv", "images", label_from="folder")
    assert said == f"{tmp_path / 'table.csv'}: no annotation in it; correct data.annotations.path"


def test_names_in_another_case(put: Put, tmp_path: Path) -> None:
    photos = put("images/IMG_{kind}{n}.png")
    write(tmp_path / "a.csv", "path,class,x0,y0,x1,y1", *(f"{p.name.lower()},{kind},{CORNERS}" for p, kind in photos))
    check(read(tmp_path, "csv", "a.csv"), photos, BOX)
    (tmp_path / "images/img_CAT0.png").write_bytes((tmp_path / "images/IMG_dog0.png").read_bytes())
    assert "its image may be" in fault(tmp_path, "csv", "a.csv")


def via(photos: list[tuple[Path, str]], shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    def entry(path: Path, kind: str) -> dict[str, Any]:
        its = {
            key: {kind: True} if value is bool else kind if value is str else value for key, value in attributes.items()
        }
        return {"filename": path.name, "regions": [{"shape_attributes": shape, "region_attributes": its}]}

    return {f"{path.name}99": entry(path, kind) for path, kind in photos}


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ({"name": "rect", "x": X0, "y": Y0, "width": X1 - X0, "height": Y1 - Y0}, {"what it is": str}),
        ({"name": "ellipse", "cx": 14, "cy": 13.5, "rx": 10, "ry": 7.5}, {"Type": str, "quality": "good"}),
        ({"name": "polygon", "all_points_x": [X0, X1, X0 + 5], "all_points_y": [Y0, Y0 + 2, Y1]}, {"class": bool}),
    ],
)
def test_via_and_its_project(put: Put, tmp_path: Path, shape: dict[str, Any], attributes: dict[str, Any]) -> None:
    photos = put()
    content = via(photos, shape, **attributes)
    for wrapped in (content, {"_via_settings": {}, "_via_img_metadata": content}):
        write(tmp_path / "via.json", json.dumps(wrapped))
        reading = read(tmp_path, "via", "via.json")
        assert check(reading, photos, BOX) == ()
        assert all(image.masked == (shape["name"] == "polygon") for image in reading.manifest.images)


def test_what_via_cannot_mean(put: Put, tmp_path: Path) -> None:
    photos = put()
    content = via(photos, {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9}, colour="red", size=str)
    write(tmp_path / "via.json", json.dumps(content))
    assert "which of the attributes colour, size is the class?" in fault(tmp_path, "via", "via.json")
    write(tmp_path / "via.json", json.dumps(via(photos, {"name": "polygon", "all_points_x": [1], "all_points_y": [2]})))
    assert "a polygon without three or more points; correct it" in fault(tmp_path, "via", "via.json")
    for text in ("[]", '{"a": 3}', "null"):
        write(tmp_path / "via.json", text)
        assert f"{tmp_path / 'via.json'}: no" in fault(tmp_path, "via", "via.json")


# --- Names and labels as tools leave them ---


@pytest.mark.parametrize("start", ["https://host/bucket/a%20set/{}.png?signature=1", "s3://bucket/a set/{}.png"])
def test_images_that_are_named_by_urls(put: Put, tmp_path: Path, start: str) -> None:
    photos = put("images/my {kind}{n}.png")
    names = [start.format(path.stem.replace(" ", "%20" if "%" in start else " ")) for path, _ in photos]
    content = json.loads(coco(photos))
    for entry, name in zip(content["images"], names, strict=True):
        del entry["file_name"]
        entry["coco_url"] = name  # LVIS has the URL alone
    write(tmp_path / "a.json", json.dumps(content))
    rows = [f'"{name}",{kind},{CORNERS}' for name, (_, kind) in zip(names, photos, strict=True)]
    write(tmp_path / "table.csv", "path,class,x0,y0,x1,y1", *rows)
    for form, file in (("coco", "a.json"), ("csv", "table.csv")):
        check(read(tmp_path, form, file), photos, BOX)


def test_cells_beyond_the_header_and_huge_ones(put: Put, tmp_path: Path) -> None:
    photos = put()
    rows = [f"{path.name},{kind},{'0' * 200_000}" for path, kind in photos]  # the mask of a whole image
    write(tmp_path / "table.csv", "path,class,pixels", *rows)
    check(read(tmp_path, "csv", "table.csv"), photos)
    write(tmp_path / "table.csv", "path,class", *(f"{path.name},{kind}, domestic" for path, kind in photos))
    what = "3 cells, but 2 columns; put a text that holds a separator in quotes, or name each column; correct it"
    assert fault(tmp_path, "csv", "table.csv") == f"{tmp_path}/table.csv line 2: {what}"


@pytest.mark.parametrize("form", ["coco", "csv"])
def test_names_that_differ_in_the_suffix_alone(put: Put, tmp_path: Path, form: str) -> None:
    photos = put()
    twin = tmp_path / "images/cat0.bmp"
    Image.open(photos[7][0]).save(twin)
    photos.append((twin, "dog"))
    write(tmp_path / "a.coco", coco(photos))
    write(tmp_path / "a.csv", "path,class", *(f"{path.name},{kind}" for path, kind in photos))
    said = fault(tmp_path, form, f"a.{form}")
    assert said.endswith("differ in the suffix alone; rename one")
    assert {"cat0.bmp", "cat0.png"} <= {*said.replace(":", " ").split()}


def test_images_that_a_label_says_to_be_empty(put: Put, tmp_path: Path) -> None:
    photos = put()
    content = json.loads(coco(photos))
    for entry in content["annotations"][5:]:  # camera traps: nothing is in the photograph
        del entry["bbox"]
    write(tmp_path / "a.json", json.dumps(content))
    reading = read(tmp_path, "coco", "a.json")
    assert [(image.label, image.boxes) for image in reading.manifest.images] == [("cat", (BOX,))] * 5 + [
        ("dog", None)
    ] * 5
    assert "5 images (dog0.png, dog1.png, dog2.png, ...): annotations without a box beside" in reading.remarks[0]


def test_frames_of_one_name_in_the_subsets_of_a_project(put: Put, tmp_path: Path) -> None:
    photos = put("images/{kind}/{n}.png") + put("test/{kind}/{n}.png")
    entries = []
    for path, kind in photos:  # of one name: 0.png, ...
        part = "test" if "test" in path.parts else "train"
        place = tmp_path / "all" / part / f"{kind[0]}{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        box = f'<box label="{kind}" xtl="{X0}" ytl="{Y0}" xbr="{X1}" ybr="{Y1}"/>'
        entries.append(f'<image name="{place.name}" subset="{part}" width="40" height="30">{box}</image>')
    write(tmp_path / "a.xml", f"<annotations>{''.join(entries)}</annotations>")
    reading = read(tmp_path, "cvat", "a.xml", images="all")
    assert all(image.split == "test" for image in reading.manifest.images if image.path.startswith("all/test"))
    assert [image.boxes for image in reading.manifest.images] == [(BOX,)] * 20


def test_a_file_beside_each_splits_folder_of_images(put: Put, tmp_path: Path) -> None:
    photos = []
    for split in ("train", "test"):
        its = put(f"{split}/images/{{number}}.png")
        photos += its
        write(tmp_path / split / "annotations.json", coco(its))
    check(read(tmp_path, "coco", "."), photos, BOX, split="test")


def test_lists_of_wsolevaluation_that_take_test_images_from_a_folder_val(put: Put, tmp_path: Path) -> None:
    parts = {
        "train": put("data/train/{kind}/{n}.png"),
        "val": put("data/val2/{number}.png"),
        "test": put("data/val/{number}.png"),
    }
    for part, photos in parts.items():  # ILSVRC
        ids = [path.relative_to(tmp_path / "data").as_posix() for path, _ in photos]
        numbers = [str(KINDS.index(kind)) for _, kind in photos]
        columns = {"image_ids": "", "class_labels": None, "image_sizes": "40,30", "localization": CORNERS}
        for file, text in columns.items():
            rows = [
                ",".join(filter(None, (key, n if text is None else text))) for key, n in zip(ids, numbers, strict=True)
            ]
            write(tmp_path / f"metadata/{part}/{file}.txt", *rows)
    reading = read(tmp_path, "wsol", "metadata", images="data")
    assert reading.summary().splitlines()[-1] == "2 classes: 10 train, 10 val, 10 test"
    assert "10 images (val/0.png, val/1.png, val/2.png, ...): in test by its list, though" in reading.remarks[0]


def test_lists_of_wsolevaluation_for_test_alone(put: Put, tmp_path: Path) -> None:
    for part in ("train", "test"):
        photos = put(f"{part}/{{kind}}/{{n}}.png")
    ids = [(path.relative_to(tmp_path).as_posix(), str(KINDS.index(kind))) for path, kind in photos]
    for file, text in {"image_ids": "", "class_labels": None, "image_sizes": "40,30", "localization": CORNERS}.items():
        rows = [",".join(filter(None, (key, number if text is None else text))) for key, number in ids]
        write(tmp_path / f"metadata/test/{file}.txt", *rows)
    reading = read(tmp_path, "wsol", "metadata", label_from="folder", val_fraction=0.2)
    assert reading.summary().splitlines()[-3:] == [
        "boxes: 10 test",
        "masks: none",
        "2 classes: 8 train, 2 val, 10 test",
    ]


def test_openimages_whose_masks_lie_beside_its_photographs(put: Put, tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        rows: dict[str, list[str]] = {"image_ids": [], "class_labels": [], "localization": []}
        for path, kind in put(f"data/{part}/{{kind}}/{{number}}.png"):
            key = path.relative_to(tmp_path / "data").with_suffix("").as_posix()
            rows["image_ids"].append(f"{key}.png")
            rows["class_labels"].append(f"{key}.png,{KINDS.index(kind)}")
            for name in () if part == "train" else ("m1_ab", "ignore"):
                Image.fromarray(np.eye(7, 9, dtype=np.uint8) * 255).save(tmp_path / f"data/{key}_{name}.png")
            rows["localization"] += [f"{key}.png,{key}_m1_ab.png,{key}_ignore.png", f"{key}.png,{key}_m1_ab.png,"]
        for file in [*rows][: 2 if part == "train" else 3]:
            write(tmp_path / f"metadata/{part}/{file}.txt", *rows[file])
    masks = MaskSource("data", list="metadata")
    reading = read(tmp_path, "wsol", "metadata", images="data", label_from="folder", masks=masks)
    assert {(image.split, bool(image.ignore_mask), len(image.more_masks)) for image in reading.manifest.images} == {
        ("train", False, 0), ("val", True, 1), ("test", True, 1),
    }  # fmt: skip
    assert "40 images (test/cat/0_ignore.png, " in " ".join(reading.remarks)
    what = f"{tmp_path}/metadata/val/localization.txt: lists masks, and no boxes: data.masks.list reads them"
    assert what in reading.remarks
