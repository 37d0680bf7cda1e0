from collections.abc import Callable
from pathlib import Path

import pytest

from acol.ingest.annotations import Annotation, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.voc import read_voc


def test_voc_counts_from_1_and_includes_the_last_pixel(tmp_path: Path, voc: Callable[..., Path]) -> None:
    # The pixel at the top left is (1, 1, 1, 1) in VOC and (0, 0, 1, 1) half-open; the whole 8 x 6 image (1, 1, 8, 6).
    file = voc("a.xml", ("cat", 1, 1, 1, 1), ("dog", 1, 1, 8, 6), ("cat", 3, 2, 5, 4))
    annotations = read_voc(tmp_path, findings := Findings())
    assert findings.faults == []
    assert annotations == [
        Annotation(
            source=str(file),
            path="a",
            objects=(Object((0, 0, 1, 1), "cat"), Object((0, 0, 8, 6), "dog"), Object((2, 1, 5, 4), "cat")),
            size=(8, 6),
        )
    ]


def test_voc_files_are_keyed_by_their_path(tmp_path: Path, voc: Callable[..., Path]) -> None:
    for name in ("cat/1.xml", "dog/1.xml", "dog/-ß x.y.XML"):
        voc(name, ("x", 1, 1, 2, 2))
    (tmp_path / ".hidden.xml").touch()
    (tmp_path / "notes.txt").touch()
    annotations = read_voc(tmp_path, findings := Findings())
    assert sorted(annotation.path for annotation in annotations) == ["cat/1", "dog/-ß x.y", "dog/1"]
    assert findings.faults == []


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_voc_size_that_is_no_size_declares_none(
    tmp_path: Path, voc: Callable[..., Path], size: tuple[int, int] | None
) -> None:
    voc("a.xml", ("cat", "1.5", 2, 5, 4), size=size)
    (annotation,) = read_voc(tmp_path, Findings())
    assert annotation.size is None
    assert annotation.boxes == ((0.5, 1, 5, 4),)


def test_the_parts_of_a_voc_object_are_not_objects(tmp_path: Path) -> None:
    box = "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    part = f"<part><name>head</name>{box.format(3)}</part>"
    text = f"<annotation><object><name>cat</name>{box.format(2)}{part}</object></annotation>"
    (tmp_path / "a.xml").write_text(text)
    (annotation,) = read_voc(tmp_path, Findings())
    assert annotation.boxes == ((1, 0, 4, 4),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "<html></html>",
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
    findings = Findings()
    annotations = {annotation.path: annotation for annotation in read_voc(tmp_path, findings)}
    faults = [fault for name in ("bad1", "bad2") for fault in annotations[name].faults]
    assert findings.faults == []
    assert [fault.split(": ")[0] for fault in faults] == [str(tmp_path / "bad1.xml"), str(tmp_path / "bad2.xml")]
    assert all("not a VOC annotation" in fault and "\n" not in fault for fault in faults)
    assert annotations["bad1"].boxes == ()
    assert annotations["good"].boxes


@pytest.mark.parametrize("number", ["inf", "1e999", "nan", "1_0", "٣"])
def test_a_voc_number_that_is_none_is_a_fault(tmp_path: Path, voc: Callable[..., Path], number: str) -> None:
    file = voc("a.xml", ("cat", 1, 1, 2, 2), size=(number, 6))
    (annotation,) = read_voc(tmp_path, Findings())
    (fault,) = annotation.faults
    assert fault.startswith(f"{file}: not a VOC annotation (")


def test_a_missing_voc_folder(tmp_path: Path) -> None:
    assert read_voc(tmp_path / "no", findings := Findings()) == []
    assert findings.faults == [f"{tmp_path / 'no'}: no folder with XML files; correct its path"]
