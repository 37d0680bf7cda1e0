import math
from collections.abc import Callable
from pathlib import Path

import pytest

from acol.ingest.annotations import Annotation, box_fault, of_class, read_cub, read_voc, read_wsol, snap

NAN = float("nan")


def test_voc_counts_from_1_and_includes_the_last_pixel(tmp_path: Path, voc: Callable[..., Path]) -> None:
    # The pixel at the top left is (1, 1, 1, 1) in VOC and (0, 0, 1, 1) half-open; the whole 8 x 6 image (1, 1, 8, 6).
    file = voc("a.xml", ("cat", 1, 1, 1, 1), ("dog", 1, 1, 8, 6), ("cat", 3, 2, 5, 4))
    annotations, faults = read_voc(tmp_path)
    assert faults == []
    assert annotations == {
        "a": Annotation(
            source=str(file),
            boxes=((0, 0, 1, 1), (0, 0, 8, 6), (2, 1, 5, 4)),
            size=(8, 6),
            names=("cat", "dog", "cat"),
        )
    }
    assert of_class(annotations["a"], "Cat").boxes == ((0, 0, 1, 1), (2, 1, 5, 4))


def test_voc_files_are_keyed_by_their_path(tmp_path: Path, voc: Callable[..., Path]) -> None:
    for name in ("cat/1.xml", "dog/1.xml", "dog/-ß x.y.XML"):
        voc(name, ("x", 1, 1, 2, 2))
    (tmp_path / ".hidden.xml").touch()
    (tmp_path / "notes.txt").touch()
    annotations, faults = read_voc(tmp_path)
    assert sorted(annotations) == ["cat/1", "dog/-ß x.y", "dog/1"]
    assert faults == []


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_voc_size_that_is_no_size_declares_none(
    tmp_path: Path, voc: Callable[..., Path], size: tuple[int, int] | None
) -> None:
    voc("a.xml", ("cat", "1.5", 2, 5, 4), size=size)
    annotation = read_voc(tmp_path)[0]["a"]
    assert annotation.size is None
    assert annotation.boxes == ((0.5, 1, 5, 4),)


def test_the_parts_of_a_voc_object_are_not_objects(tmp_path: Path) -> None:
    box = "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    part = f"<part><name>head</name>{box.format(3)}</part>"
    text = f"<annotation><object><name>cat</name>{box.format(2)}{part}</object></annotation>"
    (tmp_path / "a.xml").write_text(text)
    assert read_voc(tmp_path)[0]["a"].boxes == ((1, 0, 4, 4),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "<annotation></annotation>",
        "<annotation><object><name>cat</name></object></annotation>",
        "<annotation><object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax></bndbox></object></annotation>",
        "<annotation><object><bndbox><xmin>a</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>",
        "<?xml version='1.0' encoding='klingon'?><annotation/>",
    ],
)
def test_every_broken_voc_file_is_named(tmp_path: Path, voc: Callable[..., Path], text: str) -> None:
    voc("good.xml", ("cat", 1, 1, 2, 2))
    for name in ("bad1.xml", "bad2.xml"):
        (tmp_path / name).write_text(text)
    annotations, faults = read_voc(tmp_path)
    assert [fault.split(": ")[0] for fault in faults] == [str(tmp_path / "bad1.xml"), str(tmp_path / "bad2.xml")]
    assert all("not a VOC annotation" in fault and "\n" not in fault for fault in faults)
    assert annotations["bad1"].boxes == ()
    assert annotations["good"].boxes


@pytest.mark.parametrize("number", ["inf", "1e999", "nan", "1_0", "٣"])
def test_a_voc_number_that_is_none_is_a_fault(tmp_path: Path, voc: Callable[..., Path], number: str) -> None:
    file = voc("a.xml", ("cat", 1, 1, 2, 2), size=(number, 6))
    (fault,) = read_voc(tmp_path)[1]
    assert fault.startswith(f"{file}: not a VOC annotation (")


def test_a_missing_voc_folder(tmp_path: Path) -> None:
    assert read_voc(tmp_path / "no") == ({}, [f"{tmp_path / 'no'}: no such folder of annotations; correct its path"])


WSOL = {
    "image_ids": "test/cat/a, b.jpg\ntest/dog/c.jpg\n",
    "class_labels": "test/cat/a, b.jpg,3\ntest/dog/c.jpg,0\n",
    "image_sizes": "test/cat/a, b.jpg,8,6\ntest/dog/c.jpg,10,20\n",
    "localization": "test/cat/a, b.jpg,0,0,8,6\ntest/dog/c.jpg,1.5,2,3,4\ntest/dog/c.jpg,5,6,7,8\n",
}


def write(folder: Path, files: dict[str, str], **changes: str) -> Path:
    for name, text in {**files, **changes}.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
    return folder


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_wsol_coordinates_stand_unchanged(tmp_path: Path, newline: str) -> None:
    write(tmp_path, {name: text.replace("\n", newline) for name, text in WSOL.items()})
    source = str(tmp_path / "localization.txt")
    assert read_wsol(tmp_path) == (
        {
            "test/cat/a, b.jpg": Annotation(source, ((0, 0, 8, 6),), (8, 6), label="3"),
            "test/dog/c.jpg": Annotation(source, ((1.5, 2, 3, 4), (5, 6, 7, 8)), (10, 20), label="0"),
        },
        [],
    )


def test_wsol_faults_are_all_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        WSOL,
        class_labels="test/cat/a, b.jpg,three\ntest/dog/c.jpg,0\n",
        image_sizes="test/cat/a, b.jpg,8,6\ntest/dog/c.jpg,10,20\ntest/dog/c.jpg,10,20\n",
        localization="test/dog/c.jpg,1.5,2,3\ntest/cat/a, b.jpg,0,0,8,6\ntest/owl/x.jpg,0,0,1,1\n",
    )
    annotations, faults = read_wsol(tmp_path)
    form = "is not ID,X0,Y0,X1,Y1; correct it"
    assert faults == [
        f"{tmp_path}/class_labels.txt line 1: 'test/cat/a, b.jpg,three' is not ID,NUMBER; correct it",
        f"{tmp_path}/localization.txt line 1: 'test/dog/c.jpg,1.5,2,3' {form}",
        f"{tmp_path}/image_sizes.txt: test/dog/c.jpg occurs twice; keep one line",
        f"{tmp_path}/class_labels.txt: test/cat/a, b.jpg is missing; add its line",
        f"{tmp_path}/localization.txt: test/owl/x.jpg is not in image_ids.txt; add it there",
        f"{tmp_path}/localization.txt: test/dog/c.jpg is missing; add its line",
    ]
    assert annotations["test/dog/c.jpg"].boxes == ()


def test_each_missing_wsol_file_is_one_fault(tmp_path: Path) -> None:
    _, faults = read_wsol(tmp_path)
    assert len(faults) == 4
    assert all("cannot be read (No such file or directory)" in fault for fault in faults)


CUB = {
    "images": "1 001.Albatross/a b.jpg\n2 002.Auk/c.jpg\n",
    "classes": "1 001.Albatross\n2 002.Auk\n",
    "image_class_labels": "1 1\n2 2\n",
    "train_test_split": "1 0\n2 1\n",
    "bounding_boxes": "1 60.0 27.0 325.0 304.0\n2 139.5 30.0 153.0 264.0\n",
}


def test_cub_boxes_are_corner_and_extent(tmp_path: Path) -> None:
    source = str(write(tmp_path, CUB) / "bounding_boxes.txt")
    # 60 + 325 = 385, 27 + 304 = 331; 139.5 + 153 = 292.5, 30 + 264 = 294
    assert read_cub(tmp_path) == (
        {
            "001.Albatross/a b.jpg": Annotation(source, ((60, 27, 385, 331),), label="001.Albatross", split="test"),
            "002.Auk/c.jpg": Annotation(source, ((139.5, 30, 292.5, 294),), label="002.Auk", split="train"),
        },
        [],
    )


def test_cub_faults_are_all_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        CUB,
        image_class_labels="1 1\n2 7\n",
        train_test_split="1 0\n2 2\n",
        bounding_boxes="1 60.0 27.0 325.0 304.0\n1 60.0 27.0 325.0 304.0\n3 1 1 1 1\n",
    )
    annotations, faults = read_cub(tmp_path)
    assert faults == [
        f"{tmp_path}/train_test_split.txt line 2: '2 2' is not ID 0|1; correct it",
        f"{tmp_path}/bounding_boxes.txt: 1 occurs twice; keep one line",
        f"{tmp_path}/train_test_split.txt: 2 is missing; add its line",
        f"{tmp_path}/bounding_boxes.txt: 3 is not in images.txt; add it there",
        f"{tmp_path}/bounding_boxes.txt: 2 is missing; add its line",
        f"{tmp_path}/classes.txt: no class 7, which image_class_labels.txt uses; add it",
    ]
    assert annotations["002.Auk/c.jpg"].boxes == ()


def test_an_image_that_cub_lists_twice(tmp_path: Path) -> None:
    write(tmp_path, CUB, images="1 001.Albatross/a b.jpg\n2 001.Albatross//a b.jpg\n")
    assert read_cub(tmp_path)[1] == [f"{tmp_path}/images.txt: 001.Albatross/a b.jpg occurs twice; keep one line"]


def test_a_path_that_wsol_spells_in_two_ways_is_one(tmp_path: Path) -> None:
    write(tmp_path, {name: text.replace("test/cat", "test//cat", 1) for name, text in WSOL.items()})
    annotations, faults = read_wsol(tmp_path)
    assert annotations["test/cat/a, b.jpg"].boxes
    assert faults == []
    write(tmp_path, WSOL, image_ids="test/cat/a, b.jpg\ntest//cat/a, b.jpg\ntest/dog/c.jpg\n")
    assert read_wsol(tmp_path)[1] == [f"{tmp_path}/image_ids.txt: test/cat/a, b.jpg occurs twice; keep one line"]


def test_an_empty_table_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, CUB, bounding_boxes="\n")
    assert read_cub(tmp_path)[1] == [f"{tmp_path}/bounding_boxes.txt: empty; add a line ID X Y WIDTH HEIGHT for each"]


def test_digits_of_other_scripts_and_underscores_are_no_numbers(tmp_path: Path) -> None:
    write(tmp_path, WSOL, image_sizes="test/cat/a, b.jpg,8,٦\ntest/dog/c.jpg,1_0,20\n")
    assert [fault.split(" is not ")[1] for fault in read_wsol(tmp_path)[1]] == ["ID,WIDTH,HEIGHT; correct it"] * 2


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    write(tmp_path, CUB)
    (tmp_path / "classes.txt").write_bytes(b"1 \xff\n")
    assert f"{tmp_path}/classes.txt: not UTF-8 text; save it as UTF-8" in read_cub(tmp_path)[1]


@pytest.mark.parametrize(
    ("box", "snapped"),
    [
        ((0, 0, 8, 6), (0, 0, 8, 6)),
        ((-1, -1, 9, 7), (0, 0, 8, 6)),  # VOC's xmin = 0, and an xmax one past the last pixel
        ((-0.5, 0, 8.5, 6), (0, 0, 8, 6)),
        ((-1.5, -2, 9.5, 8), (-1.5, -2, 9.5, 8)),  # further out: left for `box_fault`
        ((8.5, 0, 8, 6), (8.5, 0, 8, 6)),
    ],
)
def test_snap_moves_at_most_a_pixel(box: tuple[float, ...], snapped: tuple[float, ...]) -> None:
    assert snap(box, (8, 6)) == snapped


def test_snap_leaves_what_is_not_a_number() -> None:
    assert all(math.isnan(value) for value in snap((NAN, NAN, NAN, NAN), (8, 6)))


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((0, 0, 8, 6), None),
        ((7.5, 5.5, 8, 6), None),
        ((0, 0, 8.01, 6), "outside its image of 8 x 6 pixels"),
        ((0, 0, 8, 7), "outside"),
        ((-0.1, 0, 8, 6), "outside"),
        ((0, -1, 8, 6), "outside"),
        ((4, 0, 4, 6), "degenerate"),
        ((0, 5, 8, 4), "degenerate"),
        ((NAN, 0, 8, 6), "not finite"),
        ((0, 0, 8, float("inf")), "not finite"),
    ],
)
def test_what_is_wrong_with_a_box(box: tuple[float, ...], fault: str | None) -> None:
    found = box_fault(box, (8, 6))
    assert found is None if fault is None else fault in (found or "")
