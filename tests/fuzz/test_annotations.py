"""Damaged annotations: the folder reader names file and line, or returns boxes that lie in their images."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from acol.data.manifest import read_manifest, write_manifest
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from tests.fuzz.mutations import damaged, examples, result_or_clear_lines

Dataset = tuple[Path, AnnotationSource, dict[Path, str]]

SIZE = (8, 6)
VOC = """<?xml version="1.0"?>
<annotation><filename>0.png</filename><size><width>8</width><height>6</height><depth>3</depth></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>7</xmax><ymax>6</ymax></bndbox></object></annotation>
"""
TEXTS = tuple(
    text.encode()
    for text in (
        *("nan", "inf", "-inf", "1e999", "1e308", "-0.0", "5e-324", "1_0", "0x10", "٣", "-1", "9" * 5000, "", " ", ","),
        *("\n", "\r", "\x0b", "\x85", "\u2028", "\ufeff", "..", "/", "//", "./", "cat", "dog", "\0"),
        *("<object/>", "<size/>", "</bndbox>", "<bndbox>", "&amp;", "&#0;", "&b;", "<!--", "<![CDATA[", "<a>" * 5000),
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]>',
        "<?xml version='1.0' encoding='utf-16'?>",
    )
)
LAUGHS = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


def images(root: Path, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(root / name)


def write(folder: Path, rows: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def cats_and_dogs(root: Path) -> list[str]:
    """Draw three of each under images/; return their paths there."""
    names = [f"{label}/{label}{number}.png" for label in ("cat", "dog") for number in range(3)]
    images(root / "images", names)
    return names


def voc(root: Path) -> tuple[AnnotationSource, list[Path]]:
    names = cats_and_dogs(root)
    for name in names:
        file = root / "boxes" / f"{Path(name).stem}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(VOC.replace("<name>cat", f"<name>{name[:3]}"))
    return AnnotationSource("voc", "boxes"), [root / "boxes" / "cat0.xml", root / "boxes" / "dog2.xml"]


def wsol(root: Path) -> tuple[AnnotationSource, list[Path]]:
    names = [f"{s}/{label}/{n}.png" for s in ("train", "test") for label in ("cat", "dog") for n in range(2)]
    images(root / "images", names)
    tests = [name for name in names if name.startswith("test")]
    rows = {
        "image_ids": tests,
        "class_labels": [f"{name},{int('dog' in name)}" for name in tests],
        "image_sizes": [f"{name},8,6" for name in tests],
        "localization": [f"{name},0,1.5,8,6" for name in tests],
    }
    write(root / "metadata", rows)
    return AnnotationSource("wsol", "metadata"), [root / "metadata" / f"{name}.txt" for name in rows]


def cub(root: Path) -> tuple[AnnotationSource, list[Path]]:
    names = [f"{label}/{n}.png" for label in ("001.Auk", "002.Owl") for n in range(3)]
    images(root / "images", names)
    rows = {
        "images": [f"{n} {name}" for n, name in enumerate(names, 1)],
        "classes": ["1 001.Auk", "2 002.Owl"],
        "image_class_labels": [f"{n} {1 + (n > 3)}" for n in range(1, 7)],
        "train_test_split": [f"{n} {int(n % 3 > 0)}" for n in range(1, 7)],
        "bounding_boxes": [f"{n} 1.0 2.0 7.0 4.0" for n in range(1, 7)],
    }
    write(root, rows)
    return AnnotationSource("cub", "."), [root / f"{name}.txt" for name in rows]


def coco(root: Path) -> tuple[AnnotationSource, list[Path]]:
    names = cats_and_dogs(root)
    content = {
        "images": [{"id": n, "file_name": name, "width": 8, "height": 6} for n, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + (n > 2), "bbox": [0, 1.5, 8, 4]} for n in range(len(names))
        ],
    }
    (root / "boxes.json").write_text(json.dumps(content))
    return AnnotationSource("coco", "boxes.json"), [root / "boxes.json"]


def yolo(root: Path) -> tuple[AnnotationSource, list[Path]]:
    for name in cats_and_dogs(root):
        file = root / "labels" / f"{Path(name).stem}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{int('dog' in name)} 0.5 0.5 0.5 0.25\n{int('dog' in name)} 0 0 1 0 1 1\n")
    (root / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    return AnnotationSource("yolo", "labels"), [root / "labels" / "cat0.txt", root / "data.yaml"]


def table(root: Path) -> tuple[AnnotationSource, list[Path]]:
    names = cats_and_dogs(root)
    rows = [f"{name},{name[:3]},0,1.5,8,6" for name in names]
    (root / "boxes.csv").write_text("\n".join(["path,class,x0,y0,x1,y1", *rows]))
    return AnnotationSource("csv", "boxes.csv"), [root / "boxes.csv"]


def label_studio(root: Path) -> tuple[AnnotationSource, list[Path]]:
    value = {"x": 10.0, "y": 25.0, "width": 50.0, "height": 60.0, "rotation": 0}
    tasks = []
    for name in cats_and_dogs(root):
        shape = {"points": [[10, 10], [90, 10], [90, 90]], "polygonlabels": [name[:3]]}
        values = [value | {"rectanglelabels": [name[:3]]}, value | {"rotation": 9, "rectanglelabels": ["owl"]}, shape]
        marks = [{"original_width": 8, "original_height": 6, "value": its, "type": "t"} for its in values]
        annotations = [{"id": 1, "was_cancelled": False, "result": marks}]
        tasks.append({"id": 3, "data": {"image": f"/data/local-files/?d={name}"}, "annotations": annotations})
    (root / "tasks.json").write_text(json.dumps(tasks))
    return AnnotationSource("label-studio", "tasks.json"), [root / "tasks.json"]


def cvat(root: Path) -> tuple[AnnotationSource, list[Path]]:
    shapes = (
        '<box label="{0}" occluded="0" xtl="1" ytl="1" xbr="7" ybr="5"/><polygon label="{0}" points="1,1;5,1;5,5"/>'
        '<mask label="{0}" rle="1,2,1" left="1" top="1" width="2" height="2"/>'
        '<ellipse label="{0}" cx="3" cy="3" rx="2" ry="1"/>'
    )
    found = [f'<image name="{n}" width="8" height="6">{shapes.format(n[:3])}</image>' for n in cats_and_dogs(root)]
    (root / "cvat.xml").write_text(f"<annotations>{''.join(found)}</annotations>")
    return AnnotationSource("cvat", "cvat.xml"), [root / "cvat.xml"]


def hugging_face(root: Path) -> tuple[AnnotationSource, list[Path]]:
    lines = [{"file_name": n, "objects": {"bbox": [[1, 1, 4, 3]], "category": [n[:3]]}} for n in cats_and_dogs(root)]
    (root / "images/metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return AnnotationSource("hf", "images/metadata.jsonl"), [root / "images/metadata.jsonl"]


MAKERS = [voc, coco, yolo, table, wsol, cub, label_studio, cvat, hugging_face]


def check(root: Path, source: AnnotationSource) -> None:
    read = lambda: read_folder(root, images="images", annotations=source)  # noqa: E731
    result = result_or_clear_lines(read, str(root), "class ")
    if result is None:
        return
    manifest = result.manifest
    assert result.left_out == {}
    for image in manifest.images:
        for x0, y0, x1, y1 in image.boxes or ():
            assert 0 <= x0 < x1 <= SIZE[0]
            assert 0 <= y0 < y1 <= SIZE[1]
    write_manifest(root / "manifest.json", manifest)
    assert read_manifest(root / "manifest.json", root) == manifest


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The folder of a sound data set, its source, and the contents of its annotation files."""
    root = tmp_path_factory.mktemp("data")
    source, files = request.param(root)
    check(root, source)
    return root, source, {file: file.read_text() for file in files}


def check_with(dataset: Dataset, file: Path, content: bytes) -> None:
    root, source, whole = dataset
    file.write_bytes(content)
    try:
        check(root, source)
    finally:
        file.write_text(whole[file])


@examples(120)
@given(data=st.data())
def test_damaged(dataset: Dataset, data: st.DataObject) -> None:
    file, text = data.draw(st.sampled_from(list(dataset[2].items())))
    check_with(dataset, file, data.draw(damaged(text.encode(), TEXTS)))


@examples(80)
@given(at=st.integers(0, 80), word=st.sampled_from([*TEXTS, b"3", b"0.5", b"7.5", b"8", b"-0.5"]), data=st.data())
def test_a_word_replaced(dataset: Dataset, at: int, word: bytes, data: st.DataObject) -> None:
    file, text = data.draw(st.sampled_from(list(dataset[2].items())))
    words = re.findall(r"[^\s<>,]+|[\s<>,]", text)
    words[at % len(words)] = word.decode()
    check_with(dataset, file, "".join(words).encode())


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE a [<!ENTITY e0 "laugh">{LAUGHS}]><annotation>&e11;</annotation>',
        f'<!DOCTYPE a [<!ENTITY e0 "{"x" * 100_000}">]><annotation>{"&e0;" * 100_000}</annotation>',
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><annotation/>",
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><object>&e;</object></annotation>',
        "<a>" * 200_000,
    ],
    ids=["billion laughs", "quadratic", "external", "entity", "deep"],
)
def test_xml_bombs_are_one_fault(tmp_path: Path, text: str) -> None:
    source, files = voc(tmp_path)
    files[0].write_text(text)
    check(tmp_path, source)
