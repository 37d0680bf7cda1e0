"""What tools put beside and into annotations, and sources that contradict each other: read, told or refused."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acol.errors import Faults
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder

SIZE = (40, 30)  # width, height
BOX = (4.0, 6.0, 24.0, 21.0)
X0, Y0, X1, Y1 = BOX
SPLITS = ("train", "train", "val", "test")  # of the images by number
Photos = Callable[..., list[Path]]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Draw four images of each class at places that a pattern names; return their paths relative to the folder."""
    rng = np.random.default_rng(0)

    def draw(pattern: str = "photos/{kind}{n}.png", **save: Any) -> list[Path]:
        paths = [
            tmp_path / pattern.format(kind=kind, n=n, split=SPLITS[n]) for kind in ("cat", "dog") for n in range(4)
        ]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path, **save)
        return [path.relative_to(tmp_path) for path in paths]

    return draw


def kind_of(path: Path | str) -> str:
    return "cat" if "cat" in Path(path).name else "dog"


def split_of(path: Path | str) -> str:
    return SPLITS[int(Path(path).stem[-1])]


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(root: Path, form: str, path: str, images: str = "photos", **options: Any) -> Reading:
    known = {key: options.pop(key) for key in ("names", "leave_out", "frame") if key in options}
    source = AnnotationSource(form, path, **known)
    return read_folder(root, images=images, annotations=source, **{"label_from": "annotation", **options})


def check(reading: Reading, boxes: tuple[float, ...] | None = BOX, *, given: bool = True) -> Reading:
    assert len(reading.manifest.images) == 8
    for image in reading.manifest.images:
        assert image.label.lower() == kind_of(image.path)
        assert boxes is None or image.boxes == (pytest.approx(boxes, abs=0.01),)
        assert not given or image.split == split_of(image.path)
    return reading


def one_fault(*arguments: Any, **options: Any) -> str:
    with pytest.raises(Faults) as error:
        read(*arguments, **options)
    assert all("\n" not in fault for fault in error.value.faults)
    return error.value.faults[0]


# --- CSV ---

WIDTH, HEIGHT = X1 - X0, Y1 - Y0


@pytest.mark.parametrize(
    ("header", "numbers"),
    [
        ("x,y,w,h", (X0, Y0, WIDTH, HEIGHT)),
        ("x,y,width,height", (X0, Y0, WIDTH, HEIGHT)),
        ("bbox_x,bbox_y,bbox_width,bbox_height,width,height", (X0, Y0, WIDTH, HEIGHT, *SIZE)),
        ("left,top,width,height", (X0, Y0, WIDTH, HEIGHT)),
        ("x1,y1,w,h", (X0, Y0, WIDTH, HEIGHT)),
        ("image_width,image_height,x_min,y_min,width,height", (*SIZE, X0, Y0, WIDTH, HEIGHT)),
        ("cx,cy,w,h", ((X0 + X1) / 2, (Y0 + Y1) / 2, WIDTH, HEIGHT)),
        ("bbox_x1,bbox_y1,bbox_x2,bbox_y2", BOX),
        ("xmin,ymin,xmax,ymax,width,height", (*BOX, *SIZE)),
        ("xmin,ymin,xmax,ymax,width,height", (*BOX, WIDTH, HEIGHT)),  # the box's own size once more
    ],
)
def test_columns_of_boxes(photos: Photos, tmp_path: Path, header: str, numbers: tuple[float, ...]) -> None:
    rows = [",".join(map(str, (path.name, kind_of(path), *numbers))) for path in photos()]
    write(tmp_path / "boxes.csv", [f"filename,class,{header}", *rows])
    assert check(read(tmp_path, "csv", "boxes.csv"), given=False).remarks == ()


def test_columns_that_are_not_read_where_no_box_is_are_told(photos: Photos, tmp_path: Path) -> None:
    lines = (f'{p.name},{kind_of(p)},"[1, 2, 3, 4]",7' for p in photos())
    write(tmp_path / "a.csv", ["image_id,label,bbox,x_from", *lines])
    (remark,) = check(read(tmp_path, "csv", "a.csv"), None, given=False).remarks
    assert remark.startswith(
        f"{tmp_path / 'a.csv'}: columns that are not read (if they hold boxes, name the corners x0,"
    )
    assert remark.endswith(": bbox, x_from")


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("path,class", "cat0.png,dog", "line 10: cat0 has the class 'dog', but 'cat' in"),
        ("path,class,split", "cat0.png,cat,test", "line 10: cat0 has the split 'test', but 'train' in"),
        (
            "path,class,width,height,x0,y0,x1,y1",
            "cat0.png,cat,80,60,1,1,9,9",
            "line 10: cat0 has the size (80, 60), but (40, 30) in",
        ),
    ],
)
def test_rows_that_contradict(photos: Photos, tmp_path: Path, header: str, row: str, said: str) -> None:
    rest = {2: "", 3: ",train", 8: ",40,30,4,6,24,21"}[len(header.split(","))]
    write(tmp_path / "a.csv", [header, *(f"{path.name},{kind_of(path)}{rest}" for path in photos()), row])
    fault = one_fault(tmp_path, "csv", "a.csv")
    assert said in fault
    assert "a.csv line 2; keep one of the two" in fault


def test_a_csv_for_each_split(photos: Photos, tmp_path: Path) -> None:
    paths = photos()
    for split in set(SPLITS):
        rows = [f"{path.name},{kind_of(path)}" for path in paths if split_of(path) == split]
        write(tmp_path / f"lists/{split}_labels.csv", ["path,class", *rows])
    write(tmp_path / "lists/sample_submission.csv", ["path,class", *(f"{path.name},cat" for path in paths)])
    (remark,) = check(read(tmp_path, "csv", "lists"), None).remarks
    assert "sample_submission.csv): a CSV file beside those of the splits: passed over" in remark
    write(tmp_path / "lists/test_labels.csv", ["path,class", "cat0.png,cat"])
    assert "cat0 has the split 'train', but 'test' in" in one_fault(tmp_path, "csv", "lists")


def test_columns_of_corners_that_hold_centres(photos: Photos, tmp_path: Path) -> None:
    paths = photos()
    rows = [f"{path.name},{kind_of(path)},{24 + n % 4},20,24,18" for n, path in enumerate(paths)]
    write(tmp_path / "a.csv", ["filename,class,x,y,w,h", *rows])
    with pytest.raises(Faults) as error:
        read(tmp_path, "csv", "a.csv")
    (fault,) = error.value.faults
    assert fault == (
        f"{tmp_path / 'a.csv'}: 8 of 8 boxes do not fit their images as a corner and a size, but all do as a centre and"
        " a size; write a corner and a size, or name the columns of a CSV file cx, cy, w, h (data.annotations.columns)"
    )
    columns = {"x": "cx", "y": "cy"}
    source = AnnotationSource("csv", "a.csv", columns=columns)
    reading = read_folder(tmp_path, images="photos", annotations=source, label_from="annotation")
    assert reading.manifest.images[0].boxes == ((12, 11, 36, 29),)


def test_a_box_twice_and_names_that_begin_with_a_dot_are_told(photos: Photos, tmp_path: Path) -> None:
    paths = photos()
    photos("photos/.old/{kind}{n}.png")
    (tmp_path / "photos/.notes").write_text("")
    for name in (".cat9.png", "._cat9.png"):
        (tmp_path / "photos" / name).write_bytes((tmp_path / paths[0]).read_bytes())
    rows = [f"{path.name},{kind_of(path)},4,6,24,21" for path in paths]
    write(tmp_path / "a.csv", ["path,class,x0,y0,x1,y1", *rows, *rows[:2]])
    assert read(tmp_path, "csv", "a.csv").remarks == (
        "9 images (.cat9.png, .old/cat0.png, .old/cat1.png, ...): hidden by a dot in front of a name, and so ignored",
        "2 images (cat0.png, cat1.png): the same box twice or more often; it is kept as often",
    )


# --- sizes, names of files ---


def test_a_declared_size_counts_in_csv(photos: Photos, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # the upright image is 30 x 40
    turned = (SIZE[1] - Y1, X0, SIZE[1] - Y0, X1)
    paths = photos(exif=exif)
    for size, boxes in ((SIZE, turned), (SIZE[::-1], BOX)):
        rows = [",".join(map(str, (path.name, *size, kind_of(path), *BOX))) for path in paths]
        write(tmp_path / "a.csv", ["filename,width,height,class,xmin,ymin,xmax,ymax", *rows])
        assert check(read(tmp_path, "csv", "a.csv"), boxes, given=False).remarks == ()
    write(
        tmp_path / "a.csv", ["filename,width,height,class,xmin,ymin,xmax,ymax", "cat0.png,80,60,cat,1,1,9,9", rows[-1]]
    )
    assert "annotated as 80 x 60 pixels, but the upright image is 30 x 40" in one_fault(tmp_path, "csv", "a.csv")


def voc(path: Path, name: str, filename: str) -> None:
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
    )
    item = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    write(path, [f"<annotation><filename>{filename}</filename>{item}</annotation>"])


def test_a_file_name_that_fits_two_images_is_refused_and_the_nearer_folder_counts(
    photos: Photos, tmp_path: Path
) -> None:
    photos("photos/a/{kind}{n}.png")
    photos("photos/b/{kind}{n}.png")
    voc(tmp_path / "xml/7.xml", "cat", "cat0.png")
    both = f"its image may be {tmp_path / 'photos/a/cat0'} or {tmp_path / 'photos/b/cat0'}"
    assert both in one_fault(tmp_path, "voc", "xml")
    (tmp_path / "xml/7.xml").unlink()
    for place in "ab":
        for n in range(4):
            voc(tmp_path / f"xml/{place}/old/cat{n}.xml", "cat" if place == "a" else "dog", f"{n}.png")
    labels = {image.path: image.label for image in read(tmp_path, "voc", "xml").manifest.images}
    assert labels == {f"photos/{p}/cat{n}.png": {"a": "cat", "b": "dog"}[p] for p in "ab" for n in range(4)}


def test_two_annotations_of_one_image_are_refused(photos: Photos, tmp_path: Path) -> None:
    for path in photos():
        voc(tmp_path / f"xml/{path.stem}.xml", kind_of(path), path.name)
    voc(tmp_path / "xml/1.xml", "dog", "cat0.png")
    fault = one_fault(tmp_path, "voc", "xml")
    assert str(tmp_path / "xml/1.xml") in fault
    assert str(tmp_path / "xml/cat0.xml") in fault
    voc(tmp_path / "xml/cat1.xml", "cat", "cat2.png")
    (tmp_path / "xml/1.xml").unlink()
    (remark,) = check(read(tmp_path, "voc", "xml"), None, given=False).remarks
    assert remark == "1 annotation (cat1): named like one image, with the name of another one inside; the first counts"


# --- VOC's lists ---


@pytest.mark.parametrize("kind", ["VOC", "VOC by class", "Oxford Pets"])
def test_lists_of_voc_give_the_splits(photos: Photos, tmp_path: Path, kind: str) -> None:
    paths = photos()
    photos("photos/{kind}_of_nothing{n}.png")
    for path in paths:
        voc(tmp_path / f"annotations/xmls/{path.stem}.xml", kind_of(path), path.name)
        voc(tmp_path / f"annotations/xmls/{kind_of(path)}_of_nothing{path.stem[-1]}.xml", kind_of(path), "")
    stems = {split: [path.stem for path in paths if split_of(path) == split] for split in set(SPLITS)}
    main = tmp_path / "annotations/ImageSets/Main"
    if kind == "VOC":
        write(main / "trainval.txt", stems["train"] + stems["val"])
    for split in stems:
        if kind == "VOC":
            write(main / f"{split}.txt", stems[split])
        elif kind == "VOC by class":
            for name in ("cat", "dog"):
                write(main / f"{name}_{split}.txt", [f"{stem} {1 if name in stem else -1:2}" for stem in stems[split]])
        else:
            name = {"test": "test"}.get(split, "trainval")
            pets = [f"{stem} {1 + ('dog' in stem)} 1 1" for part in stems if (part == "test") == (name == "test")
                    for stem in stems[part]]  # fmt: skip
            write(tmp_path / f"annotations/{name}.txt", pets)
    (tmp_path / "annotations/xmls/dog0.xml").unlink()  # Oxford Pets' lists give its class all the same
    reading = read(tmp_path, "voc", "annotations/xmls")
    assert reading.remarks[0].endswith("in none of the lists of splits: left out")
    assert "8 images" in reading.remarks[0]
    for image in reading.manifest.images:
        assert image.split == split_of(image.path) or kind == "Oxford Pets"
        assert (image.split == "test") == (split_of(image.path) == "test")
    if kind == "Oxford Pets":
        assert {image.path: image.label for image in reading.manifest.images}["photos/dog0.png"] == "dog"
    else:
        assert len(reading.manifest.images) == 7
        write(main / "test.txt", ["cat0"])
        write(main / "train.txt", ["cat0"])
        assert "cat0 is in both; keep one of the two" in one_fault(tmp_path, "voc", "annotations/xmls")


# --- YOLO ---


def yolo(root: Path, paths: list[Path], labels: str, line: str) -> None:
    for path in paths:
        write(root / labels / path.with_suffix(".txt").name, [f"{int('dog' in path.name)} {line}"])
    write(root / "data.yaml", ["names: [cat, dog]"])


CENTRE = f"{(X0 + X1) / 2 / 40} {(Y0 + Y1) / 2 / 30} {WIDTH / 40} {HEIGHT / 30}"


def test_lists_and_read_me_files_beside_labels(photos: Photos, tmp_path: Path) -> None:
    paths = photos("images/{kind}{n}.png")
    yolo(tmp_path, paths, "labels", CENTRE)
    (tmp_path / "labels/cat0.txt").unlink()  # an image without an object has a split all the same
    write(tmp_path / "labels/README.dataset.txt", ["# animals > 2026", "https://example.org"])
    for split in set(SPLITS):
        write(tmp_path / f"{split}.txt", [f"data/images/{path.name}" for path in paths if split_of(path) == split])
    for path in paths:  # classes by folder, so that an image needs no object
        target = tmp_path / "photos" / kind_of(path) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).rename(target)
    reading = check(read(tmp_path, "yolo", "labels", label_from="folder"), None)
    assert sum(image.boxes is None for image in reading.manifest.images) == 1
    assert any("README.dataset.txt): no annotation, and no image has this name" in line for line in reading.remarks)


def test_folders_and_lists_that_a_yaml_file_names_are_splits(photos: Photos, tmp_path: Path) -> None:
    folders = {"train": "first", "val": "second", "test": "third"}
    paths = photos("images/{kind}{n}.png")
    yolo(tmp_path, paths, "labels", CENTRE)
    for path in paths[:-1]:
        target = tmp_path / "images" / folders[split_of(path)] / path.name
        target.parent.mkdir(exist_ok=True)
        (tmp_path / path).rename(target)
    write(tmp_path / "images/more.txt", ["./images/dog3.png"])
    write(
        tmp_path / "data.yaml",
        ["path: images", "train: ../images/first", "val: second", "test: [third, more.txt]", "names: [cat, dog]"],
    )
    check(read(tmp_path, "yolo", "labels", "images"))


@pytest.mark.parametrize(
    ("line", "yaml", "said"),
    [
        (f"{CENTRE} 0.2 0.3 2 0.3 0.4 1", "kpt_shape: [2, 3]", "8 boxes with key points"),
        (f"{CENTRE} 0.2 0.3 0.3 0.4", "kpt_shape: [2, 2]", "8 boxes with key points"),
        (f"{CENTRE} 0.2 0.3 0.3 0.4", "", "may be polygons, or boxes and key points"),
        (f"{CENTRE} 0.2 0.3 2 0.3 0.4 1", "", "may be polygons, or boxes and key points"),
        (f"{X0 / 40} 0.5 0.3 {Y0 / 30} {X1 / 40} 0.4 0.4 {Y1 / 30}", "", "8 oriented boxes"),
        (f"{CENTRE} 0.2 0.3 0.3", "kpt_shape: [2, 2]", "the count of its numbers is 7, not 4 of a box or 8"),
    ],
)
def test_lines_of_yolo_that_are_no_polygons(photos: Photos, tmp_path: Path, line: str, yaml: str, said: str) -> None:
    yolo(tmp_path, photos(), "labels", line)
    write(tmp_path / "data.yaml", ["names: [cat, dog]", yaml])
    if said.startswith("8"):
        reading = check(read(tmp_path, "yolo", "labels"), given=False)
        assert reading.remarks[0].startswith(said)
        assert not any(image.masked for image in reading.manifest.images)
    else:
        assert said in one_fault(tmp_path, "yolo", "labels")


def test_names_of_yolo_in_any_yaml_and_in_two_files(photos: Photos, tmp_path: Path) -> None:
    yolo(tmp_path, photos(), "labels", CENTRE)
    (tmp_path / "data.yaml").rename(tmp_path / "animals.yml")
    write(tmp_path / "hyp.yaml", ["lr0: 0.01"])
    write(tmp_path / "mkdocs.yml", ["a: !!python/name:b", "c: [", "d"])
    write(tmp_path / "labels/classes.txt", ["Cat", "dog"])
    check(read(tmp_path, "yolo", "labels"), given=False)
    around = read_folder(tmp_path, annotations=AnnotationSource("yolo", "labels"), label_from="annotation")
    assert around.remarks == ("2 files (hyp.yaml, mkdocs.yml): no image, and so ignored",)  # what gave names is none
    write(tmp_path / "labels/classes.txt", ["dog", "cat"])
    assert one_fault(tmp_path, "yolo", "labels") == (
        f"{tmp_path / 'labels/classes.txt'} and {tmp_path / 'animals.yml'}: one names a class 'dog', the other one"
        " 'cat'; correct or remove one of the two"
    )


# --- COCO ---


def coco(paths: list[Path], *, names: tuple[str, str] = ("cat", "dog"), **keys: Any) -> dict[str, Any]:
    box = [X0, Y0, WIDTH, HEIGHT]
    return {
        "images": [{"id": n, "file_name": path.name, "width": 40.0, "height": 30} for n, path in enumerate(paths)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": int("dog" in path.name), "bbox": box, **keys}
            for n, path in enumerate(paths)
        ],
    }


def test_files_beside_instances(photos: Photos, tmp_path: Path) -> None:
    paths = photos()
    folder = tmp_path / "annotations"
    folder.mkdir()
    for split in set(SPLITS):
        its = [path for path in paths if split_of(path) == split]
        content = coco(its)
        (folder / f"instances_{split}2017.json").write_text(json.dumps(content))
        points = {**content, "annotations": content["annotations"][:1]}
        (folder / f"person_keypoints_{split}2017.json").write_text(json.dumps(points))
        captions = {"images": content["images"], "annotations": [{"id": 1, "image_id": 0, "caption": "A cat."}]}
        (folder / f"captions_{split}2017.json").write_text(json.dumps(captions))
    (remark,) = check(read(tmp_path, "coco", "annotations")).remarks
    assert remark.startswith("3 JSON files (")
    (folder / "instances_test2017.json").write_text(json.dumps(coco(paths[3:4], names=("dog", "cat"))))
    fault = one_fault(tmp_path, "coco", "annotations")
    assert "captions" not in fault
    assert "instances_train2017.json" in fault or "instances_test2017.json" in fault
    assert "the category 0 is 'dog' in one and 'cat' in the other one" in fault


def test_a_bbox_of_corners_with_nothing_beside_it(photos: Photos, tmp_path: Path) -> None:
    content = coco(photos())
    for entry in content["annotations"]:
        entry["bbox"] = [20, 15, 38, 28]
    (tmp_path / "a.json").write_text(json.dumps(content))
    what = "8 of 8 boxes do not fit their images as a corner and a size, but all do as two corners; write"
    assert one_fault(tmp_path, "coco", "a.json").startswith(f"{tmp_path / 'a.json'}: {what}")


@pytest.mark.parametrize("cvat", [False, True])
def test_brush_masks_of_cvat_are_objects(photos: Photos, tmp_path: Path, cvat: bool) -> None:
    run = {"size": [30, 40], "counts": [0, 600, 600]}
    keys: dict[str, Any] = {"segmentation": run, "iscrowd": 1} | ({"attributes": {"occluded": False}} if cvat else {})
    content = coco(photos(), **keys)
    if cvat:  # a polygon beside them
        content["annotations"][0] |= {"segmentation": [[1, 1, 20, 1, 1, 20]], "iscrowd": 0}
    (tmp_path / "a.json").write_text(json.dumps(content))
    reading = check(read(tmp_path, "coco", "a.json"), given=False)
    assert all(image.masked for image in reading.manifest.images)
    assert f"{8 - cvat} masks marked iscrowd count as objects" in reading.remarks[0]


def test_settings_without_effect_are_told(photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco(photos())))
    settings = {"names": {"kat": "cat", "dog": "dog"}, "leave_out": ("occluded",), "frame": "stored"}
    assert check(read(tmp_path, "coco", "a.json", classes=["cat"], **settings), given=False).remarks == (
        "data.classes: without effect: annotations give the classes",
        "data.annotations.names: 'kat' without effect: no object has this name",
        "data.annotations.leave_out: 'occluded' without effect: no object is marked so",
        "data.annotations.frame: 'stored' without effect: no annotated image has an EXIF orientation",
    )
