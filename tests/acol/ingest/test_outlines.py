"""Masks that annotations hold: COCO's polygons and run lengths, YOLO's polygons; and objects that do not count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Picture
from pycocotools import mask as coco

from acol.data.manifest import read_manifest, write_manifest
from acol.data.masks import decode_rle, encode_rle, true_mask
from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder

COCO = AnnotationSource("coco", "all.json")
TRIANGLE = [[1, 1, 6, 1, 1, 5]]
WIDTH, HEIGHT = 8, 6
Write = Callable[..., None]


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray):
    text = encode_rle(mask)
    assert text == coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    np.testing.assert_array_equal(decode_rle(text, mask.shape[::-1]), mask)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12) | st.text(max_size=5))
def test_other_text_is_refused(text: str):
    try:
        mask = decode_rle(text, (7, 5))
    except InputError:
        return
    np.testing.assert_array_equal(mask, coco.decode({"size": [5, 7], "counts": text}).astype(bool))


@pytest.fixture
def write(flat: Path) -> Write:
    """Write COCO's file with objects of cat/0.png: (category, keys of the annotation)."""

    def put(*objects: tuple[str, dict[str, Any]], size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        categories = {"cat": 1, "dog": 2}
        content = {
            "images": [{"id": 5, "file_name": "cat/0.png", "width": size[0], "height": size[1]}],
            "categories": [{"id": number, "name": name} for name, number in categories.items()],
            "annotations": [
                {"id": n, "image_id": 5, "category_id": categories[name], "bbox": [1, 1, 5, 4], **keys}
                for n, (name, keys) in enumerate(objects)
            ],
        }
        (flat / "all.json").write_text(json.dumps(content))

    return put


def mask_of(root: Path, source: AnnotationSource = COCO) -> np.ndarray | None:
    reading = read_folder(root, annotations=source)
    write_manifest(root / "manifest.json", reading.manifest)
    manifest = read_manifest(root / "manifest.json", root)
    assert manifest == reading.manifest
    image = next(image for image in manifest.images if image.path == "cat/0.png")
    assert not any(image.masked for image in manifest.for_training().images)
    return true_mask(image, root, manifest.mask_values, (WIDTH, HEIGHT)) if image.masked else None


def triangle() -> np.ndarray:
    return coco.decode(coco.frPyObjects(TRIANGLE, HEIGHT, WIDTH))[..., 0]


@pytest.mark.parametrize("form", ["polygons", "text", "lengths"])
def test_cocos_three_forms_are_one_mask(flat: Path, write: Write, form: str):
    text = encode_rle(triangle().astype(bool))
    flat_mask = triangle().T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat_mask])))
    lengths = np.diff([0, *changes, flat_mask.size]).tolist()
    size = [HEIGHT, WIDTH]
    of = {"polygons": TRIANGLE, "text": {"size": size, "counts": text}, "lengths": {"size": size, "counts": lengths}}
    write(("cat", {"segmentation": of[form]}))
    np.testing.assert_array_equal(mask_of(flat), triangle())


def test_objects_of_the_class_count_together_crowds_are_ignored_and_others_are_not_there(flat: Path, write: Write):
    corner = [[6, 4, 8, 4, 8, 6]]
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[:, 7] = crowd[0, 0] = True
    write(
        ("cat", {"segmentation": TRIANGLE}),
        ("cat", {"segmentation": corner}),
        ("dog", {"segmentation": [[0, 0, 8, 0, 8, 6, 0, 6]], "bbox": [0, 0, 8, 5]}),
        ("cat", {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": encode_rle(crowd)}}),
    )
    both = triangle() | coco.decode(coco.frPyObjects(corner, HEIGHT, WIDTH))[..., 0]
    np.testing.assert_array_equal(mask_of(flat), np.where(both, 1, np.where(crowd, 255, 0)))
    image = read_folder(flat, annotations=COCO).manifest.images[0]
    assert image.boxes == ((1, 1, 6, 5), (1, 1, 6, 5))


def test_an_image_with_an_object_without_an_outline_has_no_mask(flat: Path, write: Write):
    for other in ({}, {"segmentation": []}, {"segmentation": [[1, 1, 6, 1, 6, 5, 1, 5]]}):  # the last is the box alone
        write(("cat", {"segmentation": TRIANGLE}), ("cat", other))
        assert mask_of(flat) is None


def test_files_of_masks_come_before_outlines_which_is_told(flat: Path, write: Write):
    write(("cat", {"segmentation": TRIANGLE}))
    (flat / "masks/cat").mkdir(parents=True)
    Picture.fromarray(255 * (triangle() == 0).astype(np.uint8)).save(flat / "masks/cat/0.png")
    reading = read_folder(flat, annotations=COCO, masks="masks")
    what = "outlines in the annotations without effect: the files in data.masks count"
    assert f"1 image (cat/0.png): {what}" in reading.remarks
    assert reading.manifest.images[0].mask == "masks/cat/0.png"


def test_yolos_polygons_are_masks(flat: Path):
    (flat / "labels/cat").mkdir(parents=True)
    points = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in ((1, 1), (6, 1), (1, 5)))
    (flat / "labels/cat/0.txt").write_text(f"0 {points}\n")
    (flat / "labels/data.yaml").write_text("names: [cat, dog]\n")
    np.testing.assert_array_equal(mask_of(flat, AnnotationSource("yolo", "labels")), triangle())


def test_a_point_of_yolo_beyond_all_numbers_leaves_its_image(flat: Path):
    (flat / "labels/cat").mkdir(parents=True)
    (flat / "labels/cat/0.txt").write_text("0 0 0 1e308 0 1 1\n")
    (flat / "labels/data.yaml").write_text("names: [cat, dog]\n")
    with pytest.raises(Faults, match="a polygon that leaves its image"):
        read_folder(flat, annotations=AnnotationSource("yolo", "labels"))


def test_faults_of_outlines_are_told_together(flat: Path, write: Write):
    wrong = [
        ([[1, 1, 5, 5]], "its polygon has 4 numbers, not x and y of three or more points"),
        ([[1, 1, 5, 5, 2]], "its polygon has 5 numbers"),
        ([[1, 1, 5, "b", 2, 2]], "is not a list of numbers"),
        ([[1, 1, 5, 1, float("inf"), 2]], "is not a list of numbers"),
        ("abc", "its segmentation 'abc' is neither polygons nor an RLE"),
        ({"size": [6], "counts": "a"}, "its RLE has the size [6], not [height, width]"),
        ({"size": [6, 8], "counts": 3}, "its RLE has the counts 3"),
    ]
    write(*(("cat", {"segmentation": segmentation}) for segmentation, _ in wrong))
    with pytest.raises(Faults) as error:
        read_folder(flat, annotations=COCO)
    for fault, (_, text) in zip(error.value.faults, wrong, strict=True):
        assert text in fault
    for segmentation, text in (
        (
            {"size": [7, 8], "counts": encode_rle(np.ones((7, 8), bool))},
            "an RLE of 8 x 7 pixels, but its image is 8 x 6",
        ),
        ({"size": [6, 8], "counts": "13"}, "its RLE covers"),
        ({"size": [6, 8], "counts": [-3, 51]}, "its RLE is not a list of lengths"),
        ([[1, 1, 50, 1, 1, 5]], "a polygon that leaves its image"),
    ):
        write(("cat", {"segmentation": segmentation}))
        with pytest.raises(Faults) as error:
            read_folder(flat, annotations=COCO)
        (fault,) = error.value.faults
        assert text in fault
        assert fault.startswith(f"{flat / 'all.json'}: cat/0.png: ")


def boxes_of(reading: Reading) -> object:
    return next(image.boxes for image in reading.manifest.images if image.path == "cat/0.png")


def test_difficult_objects_do_not_count_unless_one_says_so(flat: Path):
    item = (
        "<object><name>cat</name>{}<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>3</ymax></bndbox></object>"
    )
    marks = ("", "<difficult>1</difficult><occluded>0</occluded>", "<difficult>0</difficult><occluded>1</occluded>")
    objects = "".join(item.format(mark, n + 2) for n, mark in enumerate(marks))
    (flat / "xml/cat").mkdir(parents=True)
    (flat / "xml/cat/0.xml").write_text(f"<annotation>{objects}</annotation>")
    usual = read_folder(flat, annotations=AnnotationSource("voc", "xml"))
    assert boxes_of(usual) == ((0, 0, 2, 3), (0, 0, 4, 3))
    assert "objects marked as difficult do not count: 1" in usual.remarks
    for marks, count in (((), 3), (("occluded",), 2), (("difficult", "occluded"), 1)):
        reading = read_folder(flat, annotations=AnnotationSource("voc", "xml", leave_out=marks))
        assert len(boxes_of(reading)) == count


def test_openimages_rows_are_fractions_with_marks(flat: Path):
    (flat / "boxes.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
        "0,verified,/m/cat,1,0.125,0.5,0,0.5,0,0,0,0,0\n0,verified,/m/cat,1,0,1,0,1,0,0,1,0,0\n"
    )
    for name in ("cat", "dog"):  # OpenImages' ids are names without a folder
        (flat / name / "0.png").rename(flat / name / f"{'0' if name == 'cat' else 'other'}.png")
    for file in (flat / "dog").glob("*.png"):
        file.rename(flat / "dog" / f"d{file.name}")
    names = {"/m/cat": "cat"}
    reading = read_folder(flat, annotations=AnnotationSource("csv", "boxes.csv", names, leave_out=("group_of",)))
    assert boxes_of(reading) == ((1, 0, 4, 3),)
