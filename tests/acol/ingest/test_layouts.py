"""The layouts and formats that people's images come in: each is read as it stands, and boxes are as they were drawn."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder

SIZE = (40, 30)  # width, height
BOX = (4.0, 6.0, 24.0, 21.0)
KINDS = ("cat", "dog")
Put = Callable[..., list[Path]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Draw images at the places that a pattern with {kind} and {n} names; return their paths relative to the folder."""
    rng = np.random.default_rng(0)

    def draw(pattern: str, count: int = 8) -> list[Path]:
        paths = [tmp_path / pattern.format(kind=kind, n=n) for kind in KINDS for n in range(count)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path)
        return [path.relative_to(tmp_path) for path in paths]

    return draw


def kind_of(path: Path) -> str:
    return next(kind for kind in KINDS if kind in path.name)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def voc_text(path: Path, *, filename: str | None = None, size: bool = True, name: str | None = None) -> str:
    x0, y0, x1, y1 = BOX
    shape = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>" if size else ""
    return (
        f"<annotation><folder>wrong</folder><filename>{filename or path.name}</filename>"
        f"<path>C:\\photos\\{path.name}</path>{shape}<object><name>{name or kind_of(path)}</name><bndbox>"
        f"<xmin>{x0 + 1:.1f}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        "</annotation>"
    )


def coco(paths: list[Path], base: str = "") -> dict[str, Any]:
    x0, y0, x1, y1 = BOX
    return {
        "images": [
            {"id": n, "file_name": path.relative_to(base).as_posix(), "width": SIZE[0], "height": SIZE[1]}
            for n, path in enumerate(paths)
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": {"cat": 7, "dog": 9}[kind_of(path)],
             "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for n, path in enumerate(paths)
        ],
    }  # fmt: skip


def check(root: Path, boxes: tuple[float, ...] | None = BOX, **options: Any) -> Any:
    reading = read_folder(root, **options)
    assert reading.manifest.classes == KINDS
    assert len(reading.manifest.images) == 16
    for image in reading.manifest.images:
        assert image.label == kind_of(Path(image.path))
        assert boxes is None or image.boxes == (pytest.approx(boxes, abs=0.01),)
    return reading


ANNOTATION: dict[str, Any] = {"label_from": "annotation"}


def test_class_folders(put: Put, tmp_path: Path) -> None:
    put("{kind}/{kind}{n}.png")
    check(tmp_path, None)


def test_splits_of_class_folders(put: Put, tmp_path: Path) -> None:
    put("train/{kind}/{kind}{n}.png", 5)
    put("test/{kind}/t{kind}{n}.png", 3)
    assert Counter(i.split for i in check(tmp_path, None).manifest.images)["test"] == 6


@pytest.mark.parametrize(
    "pattern",
    [
        "{kind}/{n}.jpg",
        "images/{n}-{kind}.jpg",
        "train2017/{kind}{n}.jpg",
        "Training/{kind}{n}.jpg",
        "masks/{kind}{n}.png",
    ],
)
def test_splits_and_parts_of_a_set_are_no_classes(put: Put, tmp_path: Path, pattern: str) -> None:
    put(pattern)
    put("val/{kind}{n}.jpg", 2)
    with pytest.raises(InputError, match=r"'val'.*: the name of a split or of a part of a data set"):
        read_folder(tmp_path)


def test_splits_that_were_unpacked_into_folders_of_their_own_name(put: Put, tmp_path: Path) -> None:
    put("seg_train/seg_train/{kind}/{kind}{n}.png", 5)
    put("seg_test/seg_test/{kind}/t{kind}{n}.png", 3)
    put("seg_pred/seg_pred/{kind}{n}.png", 1)
    reading = check(tmp_path, None)
    assert {i.path for i in reading.manifest.of("test")} == {
        f"seg_test/seg_test/{k}/t{k}{n}.png" for k in KINDS for n in range(3)
    }
    assert reading.layout == "the folders train and test, each with a folder for each class; val is drawn from train"
    assert "1 folder (seg_pred/): beside the folders that are read, and so left aside with 2 images" in reading.remarks


def test_a_class_of_unreadable_images_is_told_by_its_own_folder(put: Put, tmp_path: Path) -> None:
    for folder in ("training", "testing"):
        put(f"{folder}/{{kind}}/{{kind}}{{n}}.png")
    for path in (tmp_path / "testing/cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(Faults) as error:
        read_folder(tmp_path, unreadable="leave_out")
    assert error.value.faults[0] == f"{tmp_path}/testing/cat: every image is unreadable; replace or remove them"


def test_a_split_without_class_folders_is_told(put: Put, tmp_path: Path) -> None:
    put("train/{kind}/{kind}{n}.png")
    put("test/{kind}{n}.png", 2)
    with pytest.raises(Faults, match="no folder 'test' with class folders in it"):
        read_folder(tmp_path)
    what = "a split without class folders, so its images have no labels, and it is left aside with 4 images"
    assert check(tmp_path, None, test_from="train").remarks == (f"1 folder (test/): {what}",)


@pytest.mark.parametrize("flat", ["test/images/{kind}{n}.png", "test/test/{kind}{n}.png"])
def test_a_split_with_a_folder_of_images_alone_has_no_classes(put: Put, tmp_path: Path, flat: str) -> None:
    put("train_mini/{kind}/images/{kind}{n}.png")  # Tiny ImageNet
    put("val/{kind}/v{kind}{n}.png", 2)
    put(flat, 2)
    reading = read_folder(tmp_path, test_from="val")
    assert reading.summary().splitlines()[-1].startswith("2 classes: ")
    assert len(reading.manifest.images) == 20
    assert any("1 folder (test/): a split without class folders" in remark for remark in reading.remarks)


def test_some_folders_are_the_classes(put: Put, tmp_path: Path) -> None:
    put("{kind}/{kind}{n}.png")
    put("masks/{kind}{n}.png", 3)
    reading = check(tmp_path, None, classes=list(KINDS))
    assert reading.remarks == ("1 folder (masks/): beside the folders that are read, and so left aside with 6 images",)
    with pytest.raises(Faults, match="no folder of the class 'owl'"):
        read_folder(tmp_path, classes=["cat", "owl"])


@pytest.mark.parametrize("tool", ["LabelImg", "CVAT", "Label Studio", "Roboflow"])
def test_voc_as_tools_write_it(put: Put, tmp_path: Path, tool: str) -> None:
    for number, path in enumerate(put("images/{kind}/{kind}_{n}.png")):
        name, options = path.stem, {}
        if tool == "CVAT":  # no size; numbers as file names
            name, options = f"{number:06d}", {"size": False}
        elif tool == "Label Studio":  # an upload's prefix
            name = f"{number:08x}-{path.stem}"
            options = {"filename": f"{name}.png"}
        elif tool == "Roboflow":  # the whole file name before .xml, and a path in the file's name
            name, options = path.name, {"filename": f"train\\{path.name}"}
        write(tmp_path / f"boxes/{name}.xml", voc_text(path, **options))
    check(tmp_path, images="images", annotations=AnnotationSource("voc", "boxes"))


def test_voc_flat_with_classes_from_the_boxes(put: Put, tmp_path: Path) -> None:
    for path in put("JPEGImages/{kind}_{n}.png"):
        write(tmp_path / f"Annotations/{path.stem}.xml", "\ufeff" + voc_text(path))
    check(tmp_path, images="JPEGImages", annotations=AnnotationSource("voc", "Annotations"), **ANNOTATION)


def test_voc_beside_the_images(put: Put, tmp_path: Path) -> None:
    for path in put("{kind}/{kind}_{n}.png"):
        write(tmp_path / path.with_suffix(".xml"), voc_text(path))
    check(tmp_path, annotations=AnnotationSource("voc", "."))


def test_voc_for_val_and_test_alone(put: Put, tmp_path: Path) -> None:
    put("images/train/{kind}/{kind}_{n}.png")
    for split in ("val", "test"):
        for path in put(f"images/{split}/{{kind}}/{split}_{{kind}}_{{n}}.png", 2):
            write(tmp_path / f"boxes/{path.stem}.xml", voc_text(path))
    images = read_folder(tmp_path, images="images", annotations=AnnotationSource("voc", "boxes")).manifest.images
    assert {image.split for image in images if image.boxes} == {"val", "test"}


def test_names_in_another_spelling(put: Put, tmp_path: Path) -> None:
    for path in put("images/big_{kind}/{kind}_{n}.png"):
        person = (
            "<object><name>person</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>"
        )
        text = voc_text(path, name=f"Big {kind_of(path).title()}").replace(
            "</annotation>", f"{person}</object></annotation>"
        )
        write(tmp_path / f"boxes/{path.stem}.xml", text)
    reading = read_folder(tmp_path, images="images", annotations=AnnotationSource("voc", "boxes"))
    assert all(image.boxes == (BOX,) for image in reading.manifest.images)
    assert "16 images (" in reading.remarks[0]
    assert "objects of several classes" in reading.remarks[0]


@pytest.mark.parametrize("options", [{}, ANNOTATION], ids=["classes by folder", "classes by box"])
def test_coco(put: Put, tmp_path: Path, options: dict[str, Any]) -> None:
    paths = put("images/{kind}/{kind}_{n}.png")
    write(tmp_path / "boxes.json", json.dumps(coco(paths, "images")))
    check(tmp_path, images="images", annotations=AnnotationSource("coco", "boxes.json"), **options)


def test_coco_of_roboflow_with_a_file_in_each_split(put: Put, tmp_path: Path) -> None:
    for split, count in (("train", 5), ("test", 3)):
        paths = put(f"{split}/{split}_{{kind}}{{n}}.png", count)
        write(tmp_path / split / "_annotations.coco.json", json.dumps(coco(paths, split)))
    reading = check(tmp_path, annotations=AnnotationSource("coco", "."), **ANNOTATION)
    assert all(image.path.startswith("test/") == (image.split == "test") for image in reading.manifest.images)


def test_yolo(put: Put, tmp_path: Path) -> None:
    width, height = SIZE
    x0, y0, x1, y1 = BOX
    for n, path in enumerate(put("images/{kind}_{n}.png")):
        kind = KINDS.index(kind_of(path))
        box = f"{(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}"
        polygon = " ".join(f"{x / width} {y / height}" for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
        write(tmp_path / f"labels/{path.stem}.txt", f"{kind} {polygon if n % 2 else box}\n")
    write(tmp_path / "data.yaml", "train: images\nnames: [cat, dog]\n")
    check(tmp_path, images="images", annotations=AnnotationSource("yolo", "labels"), **ANNOTATION)


@pytest.mark.parametrize(
    "header", ["path,class,x0,y0,x1,y1", "filename;label;xmin;ymin;xmax;ymax", "image,name,x1,y1,x2,y2"]
)
def test_csv_of_boxes(put: Put, tmp_path: Path, header: str) -> None:
    separator = ";" if ";" in header else ","
    rows = [separator.join(map(str, (path.name, kind_of(path), *BOX))) for path in put("photos/{kind}_{n}.png")]
    write(tmp_path / "boxes.csv", "\n".join([header, *rows]))
    check(tmp_path, images="photos", annotations=AnnotationSource("csv", "boxes.csv"), **ANNOTATION)


@pytest.mark.parametrize("form", ["coco", "csv"])
def test_names_that_end_in_a_number_and_have_no_suffix(put: Put, tmp_path: Path, form: str) -> None:
    paths = [path.with_suffix("") for path in put("photos/{kind}.{n}.png")]
    rows = [",".join(map(str, (path.name, kind_of(path), *BOX))) for path in paths]
    text = {"coco": json.dumps(coco(paths)), "csv": "\n".join(["path,class,x0,y0,x1,y1", *rows])}[form]
    write(tmp_path / f"boxes.{form}", text)
    check(tmp_path, images="photos", annotations=AnnotationSource(form, f"boxes.{form}"), **ANNOTATION)


def test_csv_as_a_list_of_labels_with_splits(put: Put, tmp_path: Path) -> None:
    paths = put("photos/{kind}_{n}.png")
    rows = [f"{path.name},{kind_of(path)},{'test' if n % 8 > 5 else 'train'}" for n, path in enumerate(paths)]
    write(tmp_path / "labels.csv", "\n".join(["path,label,split", *rows]))
    reading = check(tmp_path, None, images="photos", annotations=AnnotationSource("csv", "labels.csv"), **ANNOTATION)
    assert Counter(image.split for image in reading.manifest.images)["test"] == 4


def test_wsolevaluation_as_it_is_published(put: Put, tmp_path: Path) -> None:
    for n, path in enumerate(put("dataset/SET/{kind}/{kind}_{n}.png")):
        key, split = path.relative_to("dataset/SET").as_posix(), ("train", "train", "val", "test")[n % 4]
        rows = {"image_ids": key, "class_labels": f"{key},{KINDS.index(kind_of(path))}", "image_sizes": f"{key},40,30"}
        if split != "train":
            rows["localization"] = ",".join(map(str, (key, *BOX)))
        for name, row in rows.items():
            file = tmp_path / f"metadata/SET/{split}/{name}.txt"
            write(file, (file.read_text() if file.exists() else "") + f"{row}\n")
    images = read_folder(
        tmp_path, images="dataset/SET", annotations=AnnotationSource("wsol", "metadata/SET")
    ).manifest.images
    assert Counter(image.split for image in images) == {"train": 8, "val": 4, "test": 4}
    assert all((image.boxes == (BOX,)) == (image.split != "train") for image in images)


def bad_coco(change: Callable[[dict[str, Any]], object]) -> str:
    content = coco([Path(f"{kind}_{n}.png") for kind in KINDS for n in range(8)])
    change(content)
    return json.dumps(content)


BAD = {
    "truncated": ("coco", "a.json", bad_coco(lambda c: None)[:-40], "not JSON"),
    "image id": (
        "coco", "a.json", bad_coco(lambda c: c["annotations"][0].update(image_id=99)), "no image with the id 99",
    ),
    "category": ("coco", "a.json", bad_coco(lambda c: c["categories"][1].update(name="cat")), "'cat' occurs 2 times"),
    "no list": ("coco", "a.json", bad_coco(lambda c: c.update(images=3)), "no list of objects 'images'"),
    "three numbers": (
        "coco", "a.json", bad_coco(lambda c: c["annotations"][3].update(bbox=[1, 2, 3])), "is not [x, y,",
    ),
    "long number": (
        "coco", "a.json", bad_coco(lambda c: c["annotations"][3].update(bbox=[1, 10**400, 2, 3])), "is not [x, y,",
    ),
    "outside": (
        "coco", "a.json", bad_coco(lambda c: c["annotations"][3].update(bbox=[1, 2, 99, 3])), "outside its image",
    ),
    "class out of range": ("yolo", "l/cat_0.txt", "2 0.5 0.5 0.1 0.1", "no class 2; there are 2, from 0 on"),
    "two points": ("yolo", "l/cat_0.txt", "0 0.1 0.1 0.2", "is not CLASS X Y WIDTH HEIGHT, or CLASS and three or more"),
    "no header": ("csv", "a.csv", "cat_0.png,cat,1,2,3,4", "no header with the columns path,class"),
    "no number": (
        "csv", "a.csv", "path,class,x0,y0,x1,y1\ncat_0.png,cat,1,2,x,4", "line 2: the box '1, 2, x, 4' is not",
    ),
    "fractions": ("csv", "a.csv", "path,class,x0,y0,x1,y1\ncat_0.png,cat,.1,.2,.5,.4", "is in fractions of the image"),
    "split": (
        "csv", "a.csv", "path,class,split\ncat_0.png,cat,tset", "the split 'tset' is not one of train, val, test",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_annotations_are_told_in_one_line(put: Put, tmp_path: Path, case: str) -> None:
    form, file, text, said = BAD[case]
    put("images/{kind}_{n}.png")
    write(tmp_path / file, text)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    place = file.partition("/")[0]
    with pytest.raises(Faults) as error:
        read_folder(tmp_path, images="images", annotations=AnnotationSource(form, place), **ANNOTATION)
    (fault,) = [fault for fault in error.value.faults if said in fault]
    assert "\n" not in fault
    assert fault.startswith(str(tmp_path / place))


def test_faults_of_one_kind_are_counted(put: Put, tmp_path: Path) -> None:
    put("{kind}/{kind}{n}.png")
    for n in range(9):
        (tmp_path / f"cat/{n}.heic").touch()
    with pytest.raises(Faults) as error:
        read_folder(tmp_path)
    assert len(error.value.faults) == 9
    assert str(error.value).splitlines()[3:] == ["... and 6 more of this kind"]


SPELLINGS = [
    ("train_images", "test_images"), ("training_set", "test_set"), ("images_train", "images_val", "images_test"),
    ("Train Images", "Test Images"), ("seg_train", "seg_test"), ("trainset", "testset"), ("TrainData", "ValData"),
    ("img_train2014", "img_val2014"), ("birds-training", "birds-testing"), ("trainA", "testA"),
]  # fmt: skip


@pytest.mark.parametrize("folders", SPELLINGS, ids=" ".join)
def test_splits_in_the_words_of_names(put: Put, tmp_path: Path, folders: tuple[str, ...]) -> None:
    for folder in folders:
        put(f"flat/{folder}/{folder}{{kind}}{{n}}.png", 4)
        put(f"classes/{folder}/{{kind}}/{folder}{{n}}.png", 4)
    with pytest.raises(InputError, match=rf"'{folders[0]}'.*: the name of a split or of a part of a data set"):
        read_folder(tmp_path, images="flat")
    paths = sorted((tmp_path / "flat").rglob("*.png"))
    write(tmp_path / "labels.csv", "\n".join(["path,class", *(f"{path.name},{kind_of(path)}" for path in paths)]))
    given: dict[str, Any] = {} if "test" in "".join(folders).lower() else {"test_from": "train"}
    for options in ({"images": "flat", "annotations": AnnotationSource("csv", "labels.csv")} | ANNOTATION,
                    {"images": "classes"}):  # fmt: skip
        reading = read_folder(tmp_path, **options, **given)
        for image in reading.manifest.images:
            meant = next(s for s in ("train", "val", "test") if s in image.path.split("/")[1].lower())
            assert image.split == meant or (meant == "train" and image.split not in " ".join(folders).lower())
        assert any(f"{folders[0]}/: read as train" in line for line in reading.remarks)


@pytest.mark.parametrize("names", [("passenger train", "bicycle"), ("test tube", "dev_board"), ("trained", "invalid"),
                                   ("label_0", "label_1"), ("freight_train", "test tube")])  # fmt: skip
def test_classes_whose_names_have_a_word_of_splits(put: Put, tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        put(f"{name}/{{kind}}{{n}}.png")
    assert read_folder(tmp_path).manifest.classes == tuple(sorted(names))


def test_a_class_in_two_spellings_is_refused(put: Put, tmp_path: Path) -> None:
    pairs = [("Cat", "cat"), ("sea lion", "sea_lion"), ("caf\u00e9", "cafe\u0301")]
    for n, pair in enumerate(pairs):
        for name in (*pair, "tea"):
            put(f"{n}/{name}/{{kind}}{{n}}.png", 3)
        with pytest.raises(Faults) as error:
            read_folder(tmp_path / str(n))
        first, second = map(repr, sorted(pair))
        assert f"the classes {first} and {second} are one name in two spellings; join" in error.value.faults[0]
    with pytest.raises(Faults, match=r"data\.classes: the classes 'TEA' and 'tea' are one name"):
        read_folder(tmp_path / "0", classes=["cat", "tea", "TEA"])


def test_what_lies_beside_split_folders_is_told(put: Put, tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(f"{split}/{{kind}}/{split}{{n}}.png", 4)
    put("extra/{kind}/{n}.png", 3)
    put("unlabelled/{kind}{n}.png", 1)
    write(tmp_path / "README.md", "text")
    assert read_folder(tmp_path).remarks == (
        "2 folders (extra/, unlabelled/): beside the folders that are read, and so left aside with 8 images",
        "1 file (README.md): no image, and so ignored",
    )


@pytest.mark.parametrize("case", ["blank", "unlisted", "beside"])
def test_images_without_a_split_among_given_ones_are_refused(put: Put, tmp_path: Path, case: str) -> None:
    options: dict[str, Any] = {} if case == "unlisted" else dict(ANNOTATION)
    paths = put("images/{kind}/{kind}{n}.png", 6)
    splits = [("train", "test", "")[n % 3] for n in range(12)]
    if case == "beside":
        paths = [*paths, *put("images/train/t{kind}{n}.png", 3), *put("images/test/u{kind}{n}.png", 3)]
        splits = [""] * len(paths)
    rows = [f"{path.name},{kind_of(path)},{split}" for path, split in zip(paths, splits, strict=True)]
    rows = [row for row in rows if case != "unlisted" or not row.endswith(",")]
    write(tmp_path / "labels.csv", "\n".join(["path,class,split", *rows]))
    with pytest.raises(Faults, match=r"(4|12) images \(.*\): in no split, though (folders|annotations) give one"):
        read_folder(tmp_path, images="images", annotations=AnnotationSource("csv", "labels.csv"), **options)
