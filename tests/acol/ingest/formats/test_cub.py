from collections.abc import Callable
from pathlib import Path

from acol.ingest.annotations import Annotation, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.tables import read_cub

CUB = {
    "images": "1 001.Albatross/a b.jpg\n2 002.Auk/c.jpg\n",
    "classes": "1 001.Albatross\n2 002.Auk\n",
    "image_class_labels": "1 1\n2 2\n",
    "train_test_split": "1 0\n2 1\n",
    "bounding_boxes": "1 60.0 27.0 325.0 304.0\n2 139.5 30.0 153.0 264.0\n",
}


def test_cub_boxes_are_corner_and_extent(tmp_path: Path, write: Callable[..., Path]) -> None:
    source = str(write(CUB) / "bounding_boxes.txt")
    # 60 + 325 = 385, 27 + 304 = 331; 139.5 + 153 = 292.5, 30 + 264 = 294
    one, two = "001.Albatross/a b.jpg", "002.Auk/c.jpg"
    assert (read_cub(tmp_path, findings := Findings()), findings.faults) == (
        [
            Annotation(source, one, (Object((60, 27, 385, 331)),), label="001.Albatross", split="test"),
            Annotation(source, two, (Object((139.5, 30, 292.5, 294)),), label="002.Auk", split="train"),
        ],
        [],
    )


def test_cub_faults_are_all_listed(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(
        CUB,
        image_class_labels="1 1\n2 7\n",
        train_test_split="1 0\n2 2\n",
        bounding_boxes="1 60.0 27.0 325.0 304.0\n1 60.0 27.0 325.0 304.0\n3 1 1 1 1\n",
    )
    annotations = read_cub(tmp_path, findings := Findings())
    assert findings.faults == [
        f"{tmp_path}/train_test_split.txt line 2: '2 2' is not ID 0|1; correct it",
        f"{tmp_path}/bounding_boxes.txt: 1 occurs twice; keep one line",
        f"{tmp_path}/train_test_split.txt: 2 is missing; add its line",
        f"{tmp_path}/bounding_boxes.txt: 3 is not in images.txt; add it there",
        f"{tmp_path}/bounding_boxes.txt: 2 is missing; add its line",
        f"{tmp_path}/classes.txt: no class 7, which image_class_labels.txt uses; add it",
    ]
    assert [(each.path, each.boxes) for each in annotations][1:] == [("002.Auk/c.jpg", ())]


def test_an_image_that_cub_lists_twice(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(CUB, images="1 001.Albatross/a b.jpg\n2 001.Albatross//a b.jpg\n")
    read_cub(tmp_path, findings := Findings())
    assert findings.faults == [f"{tmp_path}/images.txt: 001.Albatross/a b.jpg occurs twice; keep one line"]


def test_an_empty_table_is_a_fault(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(CUB, bounding_boxes="\n")
    read_cub(tmp_path, findings := Findings())
    assert findings.faults == [f"{tmp_path}/bounding_boxes.txt: empty; add lines of the form ID X Y WIDTH HEIGHT"]


def test_a_file_that_is_not_text(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(CUB)
    (tmp_path / "classes.txt").write_bytes(b"1 \xff\n")
    read_cub(tmp_path, findings := Findings())
    assert f"{tmp_path}/classes.txt: not UTF-8 text; save it as UTF-8" in findings.faults
