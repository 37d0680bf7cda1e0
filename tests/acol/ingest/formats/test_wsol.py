from collections.abc import Callable
from pathlib import Path

import pytest

from acol.ingest.annotations import Annotation, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.tables import read_wsol

WSOL = {
    "image_ids": "test/cat/a, b.jpg\ntest/dog/c.jpg\n",
    "class_labels": "test/cat/a, b.jpg,3\ntest/dog/c.jpg,0\n",
    "image_sizes": "test/cat/a, b.jpg,8,6\ntest/dog/c.jpg,10,20\n",
    "localization": "test/cat/a, b.jpg,0,0,8,6\ntest/dog/c.jpg,1.5,2,3,4\ntest/dog/c.jpg,5,6,7,8\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_wsol_coordinates_stand_unchanged(tmp_path: Path, write: Callable[..., Path], newline: str) -> None:
    write({name: text.replace("\n", newline) for name, text in WSOL.items()})
    source = str(tmp_path / "localization.txt")
    assert (read_wsol(tmp_path, findings := Findings()), findings.faults) == (
        [
            Annotation(source, "test/cat/a, b.jpg", (Object((0, 0, 8, 6)),), (8, 6), label="3"),
            Annotation(source, "test/dog/c.jpg", (Object((1.5, 2, 3, 4)), Object((5, 6, 7, 8))), (10, 20), label="0"),
        ],
        [],
    )


def test_wsol_faults_are_all_listed(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(
        WSOL,
        class_labels="test/cat/a, b.jpg,three\ntest/dog/c.jpg,0\n",
        image_sizes="test/cat/a, b.jpg,8,6\ntest/dog/c.jpg,10,20\ntest/dog/c.jpg,10,20\n",
        localization="test/dog/c.jpg,1.5,2,3\ntest/cat/a, b.jpg,0,0,8,6\ntest/owl/x.jpg,0,0,1,1\n",
    )
    annotations = read_wsol(tmp_path, findings := Findings())
    form = "is not ID,X0,Y0,X1,Y1; correct it"
    assert findings.faults == [
        f"{tmp_path}/class_labels.txt line 1: 'test/cat/a, b.jpg,three' is not ID,NUMBER; correct it",
        f"{tmp_path}/image_sizes.txt: test/dog/c.jpg occurs twice; keep one line",
        f"{tmp_path}/localization.txt line 1: 'test/dog/c.jpg,1.5,2,3' {form}",
        f"{tmp_path}/class_labels.txt: test/cat/a, b.jpg is missing; add its line",
        f"{tmp_path}/localization.txt: test/owl/x.jpg is not in image_ids.txt; add it there",
        f"{tmp_path}/localization.txt: test/dog/c.jpg is missing; add its line",
    ]
    assert [(each.path, each.boxes) for each in annotations][1:] == [("test/dog/c.jpg", ())]


def test_each_missing_wsol_file_is_one_fault(tmp_path: Path) -> None:
    read_wsol(tmp_path, findings := Findings())
    faults = findings.faults
    assert len(faults) == 4
    assert all("cannot be read (No such file or directory)" in fault for fault in faults)


def test_a_path_that_wsol_spells_in_two_ways_is_one(tmp_path: Path, write: Callable[..., Path]) -> None:
    write({name: text.replace("test/cat", "test//cat", 1) for name, text in WSOL.items()})
    annotations = read_wsol(tmp_path, findings := Findings())
    assert annotations[0].path == "test/cat/a, b.jpg"
    assert annotations[0].boxes
    assert findings.faults == []
    write(WSOL, image_ids="test/cat/a, b.jpg\ntest//cat/a, b.jpg\ntest/dog/c.jpg\n")
    read_wsol(tmp_path, findings := Findings())
    assert findings.faults == [f"{tmp_path}/image_ids.txt: test/cat/a, b.jpg occurs twice; keep one line"]


def test_digits_of_other_scripts_and_underscores_are_no_numbers(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(WSOL, image_sizes="test/cat/a, b.jpg,8,٦\ntest/dog/c.jpg,1_0,20\n")
    read_wsol(tmp_path, findings := Findings())
    assert [fault.split(" is not ")[1] for fault in findings.faults] == ["ID,WIDTH,HEIGHT; correct it"] * 2
