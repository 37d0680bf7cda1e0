"""Boxes that were corrected in a labelling tool, in files as the tool writes them, are truth again."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import ExifTags, Image

from acol.data.masks import true_mask
from acol.errors import Faults
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder
from acol.localization.regions import Region
from acol.prediction.label_files import LOCAL, LabelSettings, PredictedImage, flat_names, write_labels

SIZE = (40, 30)  # width, height
BOX = (4.0, 6.0, 24.5, 21.25)
NAMES = [f"{kind}/{name}.png" for kind in ("cat", "dog") for name in ("a b", "Käse, alt", "c#1", "100%")]
Boxes = Mapping[str, Sequence[tuple[str, tuple[float, ...]]]]  # the objects of each image: class and box


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path)
    return tmp_path


def local(name: str) -> str:
    return f"/data/local-files/?d={quote(f'photos/{name}')}"


def upload(name: str) -> str:
    # As Django cleans names: spaces become underscores, other marks go. The folder is lost.
    clean = "".join(letter for letter in Path(name).name.replace(" ", "_") if letter.isalnum() or letter in "-_.")
    return "/data/upload/1/" + quote(f"1a2b3c4d-{Path(name).parent.name}{clean}")


def region(label: str, box: Sequence[float], size: tuple[int, int] = SIZE, **value: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = (100 * side / whole for side, whole in zip(box, (*size, *size), strict=True))
    value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [label], **value}
    facts = {"id": "Xy1", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "origin": "manual"}
    return {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "value": value, **facts}


def task(url: str, *results: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    annotations = [{"id": n, "was_cancelled": False, "result": result} for n, result in enumerate(results)]
    return {"id": 7, "data": {"image": url}, "annotations": annotations, "predictions": [], "drafts": [], **facts}


def write_json(root: Path, tasks: list[dict[str, Any]]) -> Path:
    (root / "truth.json").write_text(json.dumps(tasks), encoding="utf-8")
    return Path("truth.json")


def label_studio(root: Path, boxes: Boxes, url: Callable[[str], str] = local) -> Path:
    return write_json(root, [task(url(name), [region(*each) for each in its]) for name, its in boxes.items()])


def in_bucket(root: Path, boxes: Boxes) -> Path:
    return label_studio(root, boxes, lambda name: f"s3://bucket/of us/{name}")


def at_url(root: Path, boxes: Boxes) -> Path:
    return label_studio(root, boxes, lambda name: f"https://host:8080/x/{quote(name)}?token=a/b.jpg")


def json_min(root: Path, boxes: Boxes) -> Path:
    rows = []
    for n, (name, its) in enumerate(boxes.items()):
        marks = []
        for each in its:
            mark = region(*each)
            marks.append(mark["value"] | {"original_width": SIZE[0], "original_height": SIZE[1]})
        row = {"image": local(name), "id": n, "annotator": 1, "annotation_id": n, "lead_time": 3.5}
        rows.append(row | ({"label": marks} if marks else {}))
    return write_json(root, rows)


def cvat(root: Path, boxes: Boxes, **attributes: str) -> Path:
    top = ElementTree.Element("annotations")
    ElementTree.SubElement(top, "version").text = "1.1"
    for n, (name, its) in enumerate(boxes.items()):
        facts = {"id": str(n), "name": name, "width": str(SIZE[0]), "height": str(SIZE[1])}
        image = ElementTree.SubElement(top, "image", facts)
        for label, box in its:
            corners = {side: f"{value:.2f}" for side, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)}
            shape = {"label": label, "source": "manual", "occluded": "0", **corners, "z_order": "0", **attributes}
            ElementTree.SubElement(image, "box", shape)
    (root / "annotations.xml").write_bytes(ElementTree.tostring(top, encoding="utf-8", xml_declaration=True))
    return Path("annotations.xml")


def hf(root: Path, boxes: Boxes) -> Path:
    lines = []
    for name, its in boxes.items():
        bbox = [[box[0], box[1], box[2] - box[0], box[3] - box[1]] for _, box in its]
        lines.append({"file_name": name, "objects": {"bbox": bbox, "categories": [label for label, _ in its]}})
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (root / "photos/metadata.jsonl").write_text(text, encoding="utf-8")
    return Path("photos/metadata.jsonl")


WRITERS = [label_studio, in_bucket, at_url, json_min, cvat, hf]
FORMS = {cvat: "cvat", hf: "hf"}


def read(root: Path, path: Path, form: str, **options: Any) -> Reading:
    return read_folder(root, images="photos", annotations=AnnotationSource(form, str(path), **options))


def boxes_of(reading: Reading) -> dict[str, Any]:
    return {image.path.removeprefix("photos/"): image.boxes for image in reading.manifest.images}


@pytest.mark.parametrize("write", WRITERS)
def test_each_box_comes_back_whatever_the_names(photos: Path, write: Callable[..., Path]) -> None:
    path = write(photos, {name: [(Path(name).parent.name, BOX)] for name in NAMES})
    found = boxes_of(read(photos, path, FORMS.get(write, "label-studio")))
    assert set(found) == set(NAMES)
    for boxes in found.values():
        np.testing.assert_allclose(boxes, [BOX], atol=0.01)


@pytest.mark.parametrize("write", WRITERS)
def test_only_what_is_corrected_is_truth_and_objects_of_other_classes_do_not_count(
    photos: Path, write: Callable[..., Path]
) -> None:
    path = write(
        photos, {NAMES[0]: [("cat", BOX), ("dog", (1, 1, 9, 9)), ("Cat", (1, 2, 3, 4))], NAMES[4]: [("dog", BOX)]}
    )
    found = boxes_of(read(photos, path, FORMS.get(write, "label-studio")))
    np.testing.assert_allclose(found.pop(NAMES[0]), [BOX, (1, 2, 3, 4)], atol=0.01)
    np.testing.assert_allclose(found.pop(NAMES[4]), [BOX], atol=0.01)
    assert set(found.values()) == {None}


@pytest.mark.parametrize("write", WRITERS)
def test_images_without_an_object_are_counted(photos: Path, write: Callable[..., Path]) -> None:
    path = write(photos, {name: [("cat", BOX)] if "cat" in name else [] for name in NAMES[:6]})
    found = read(photos, path, FORMS.get(write, "label-studio"), without=("dog",))
    assert sum(boxes is not None for boxes in boxes_of(found).values()) == 4
    assert any(remark.startswith("2 images") and "no box is read" in remark for remark in found.remarks)


@pytest.mark.parametrize("form", ["label-studio", "cvat", "hf", "coco", "csv", "voc", "yolo"])
def test_drafts_that_nobody_changes_come_back(photos: Path, form: str) -> None:
    names = flat_names(NAMES)
    rows = [
        PredictedImage(
            name, names[name], SIZE, Path(name).parent.name, 0.9, (Region(BOX, 0.5, ()), Region((1, 2, 9, 9), 0.1, ()))
        )
        for name in NAMES
    ]
    write_labels(photos / "drafts", form, rows, LabelSettings(("cat", "dog"), url=f"{LOCAL}photos/"))
    if (tasks := photos / "drafts/tasks.json").exists():  # the tool makes annotations of predictions that are accepted
        accepted = [{**task, "annotations": task["predictions"]} for task in json.loads(tasks.read_text())]
        tasks.write_text(json.dumps(accepted))
    path = {
        "cvat": "annotations.xml",
        "coco": "annotations.coco.json",
        "csv": "boxes.csv",
        "label-studio": "tasks.json",
    }
    source = AnnotationSource(form, str(Path("drafts", path.get(form, ""))))
    for trainers in (photos / "drafts").glob("*.txt"):  # YOLO's lists of train and val, too short for splits here
        trainers.unlink()
    for boxes in boxes_of(read_folder(photos, images="photos", annotations=source)).values():
        np.testing.assert_allclose(boxes, [BOX, (1, 2, 9, 9)], atol=0.02)


def test_uploads_are_found_by_what_is_left_of_their_names(photos: Path) -> None:
    for name in NAMES:  # uploads have no folders, so names must differ
        path = photos / "photos" / name
        path.rename(path.with_name(path.parent.name + path.name))
    path = label_studio(photos, {name: [(Path(name).parent.name, BOX)] for name in NAMES}, upload)
    assert None not in boxes_of(read(photos, path, "label-studio")).values()


def test_what_is_not_finished_in_label_studio_is_no_truth_and_counted(photos: Path) -> None:
    box = [region("cat", BOX)]
    skipped = task(local(NAMES[1]), box)
    skipped["annotations"][0]["was_cancelled"] = True
    only_predicted = task(local(NAMES[2]), predictions=[{"model_version": "m", "score": 0.9, "result": box}])
    tasks = [task(local(NAMES[0]), box, box), skipped, only_predicted, task(local(NAMES[4]), [region("dog", BOX)])]
    reading = read(photos, write_json(photos, tasks), "label-studio")
    assert [name for name, boxes in boxes_of(reading).items() if boxes] == [NAMES[0], NAMES[4]]
    assert any(r.startswith("2 images") and "predictions are no truth" in r for r in reading.remarks)
    with pytest.raises(Faults, match=r"truth\.json: no task has a finished annotation, and predictions are no truth"):
        read(photos, write_json(photos, [only_predicted]), "label-studio")


def test_rotated_boxes_and_ellipses_count_by_the_box_around_them(photos: Path) -> None:
    # A quarter turn around the top left corner (20, 5) lays a box of 10 x 8 to the left of it, 8 wide and 10 high.
    turned = region("cat", (20, 5, 30, 13), rotation=90)
    ellipse = region("dog", (10, 5, 11, 6))
    ellipse["value"] = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["dog"]}
    reading = read(
        photos, write_json(photos, [task(local(NAMES[0]), [turned]), task(local(NAMES[4]), [ellipse])]), "label-studio"
    )
    np.testing.assert_allclose(boxes_of(reading)[NAMES[0]], [(12, 5, 20, 15)], atol=0.01)
    np.testing.assert_allclose(boxes_of(reading)[NAMES[4]], [(16, 9, 24, 21)], atol=0.01)
    assert any(r.startswith("2 images") and "the upright box around each counts" in r for r in reading.remarks)
    # CVAT turns around the centre.
    path = cvat(photos, {NAMES[0]: [("cat", (10, 10, 30, 20))], NAMES[4]: [("dog", (10, 10, 30, 20))]}, rotation="90")
    np.testing.assert_allclose(boxes_of(read(photos, path, "cvat"))[NAMES[0]], [(15, 5, 25, 25)], atol=0.01)


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (region("cat", BOX, rle=[0, 1], format="rle"), "a brush mask is not read"),
        ({**region("cat", BOX), "image_rotation": 90}, "its image is turned by 90 degrees in the tool"),
        (region("cat", BOX, size=(50, 30)), "annotated as 50 x 30 pixels, but the upright image is 40 x 30"),
        ({**region("cat", BOX), "value": {"x": "a", "y": 1, "width": 2, "rectanglelabels": ["cat"]}}, "not a task"),
        (region("cat", (2, 2, 60, 20)), "outside its image"),
    ],
)  # fmt: skip
def test_what_label_studio_cannot_mean_is_refused_in_a_line(photos: Path, result: dict[str, Any], what: str) -> None:
    with pytest.raises(Faults, match=what) as error:
        read(photos, write_json(photos, [task(local(NAMES[0]), [result])]), "label-studio")
    assert "truth.json" in str(error.value)


def test_labels_in_marks_of_their_own_and_marks_that_are_no_box(photos: Path) -> None:
    box, label, alone = (region("cat", BOX) for _ in range(3))
    alone["id"] = "other"
    label["value"]["labels"] = [label["value"].pop("rectanglelabels")[0]]
    del box["value"]["rectanglelabels"], alone["value"]["rectanglelabels"]
    point = {"id": "p", "value": {"x": 1, "y": 2, "keypointlabels": ["nose"]}, "type": "keypointlabels"}
    per_region = {**box, "value": {**box["value"], "choices": ["small"]}, "type": "choices"}
    tasks = [
        task(local(NAMES[0]), [box, label, per_region]),
        task(local(NAMES[1]), [point]),
        task(local(NAMES[2]), [alone]),
    ]
    reading = read(photos, write_json(photos, tasks), "label-studio")
    assert [name for name, boxes in boxes_of(reading).items() if boxes] == [NAMES[0]]
    assert any(r.startswith("2 images") and "marks without a label, or that are no box" in r for r in reading.remarks)


def test_two_annotators_who_differ_are_refused(photos: Path) -> None:
    tasks = [task(local(NAMES[0]), [region("cat", BOX)], [region("cat", (1, 1, 9, 9))])]
    with pytest.raises(Faults, match=r"task 7: photos/cat/a b has two annotations that differ; keep one"):
        read(photos, write_json(photos, tasks), "label-studio")


def test_choices_give_classes_and_polygons_masks(photos: Path) -> None:
    def of(kind: str) -> list[dict[str, Any]]:
        choice = {"value": {"choices": [kind]}, "type": "choices", "from_name": "choice", "to_name": "image"}
        outline = region(kind, BOX)
        outline["value"] = {"points": [[10, 20], [60, 20], [60, 70], [10, 70]], "closed": True, "polygonlabels": [kind]}
        return [choice, outline]

    tasks = [task(local(name), of(Path(name).parent.name)) for name in NAMES]
    source = AnnotationSource("label-studio", str(write_json(photos, tasks)))
    reading = read_folder(photos, images="photos", annotations=source, label_from="annotation")
    assert reading.manifest.classes == ("cat", "dog")
    for image in reading.manifest.images:
        assert image.label == Path(image.path).parent.name
        assert image.boxes == ((4.0, 6.0, 24.0, 21.0),)
        assert true_mask(image, photos, None, SIZE).sum() == 20 * 15


@pytest.mark.parametrize("form", ["label-studio", "cvat", "hf"])
def test_boxes_of_photographs_with_an_exif_turn_are_of_the_upright_image(photos: Path, form: str) -> None:
    # All three tools show, and count in, upright pixels: stored 30 x 40, seen 40 x 30.
    for name in NAMES:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        with Image.open(photos / "photos" / name) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(photos / "photos" / name, exif=exif)
    write = {"label-studio": label_studio, "cvat": cvat, "hf": hf}[form]
    reading = read(photos, write(photos, {name: [(Path(name).parent.name, BOX)] for name in NAMES}), form)
    assert {(image.width, image.height) for image in reading.manifest.images} == {SIZE}
    for boxes in boxes_of(reading).values():
        np.testing.assert_allclose(boxes, [BOX], atol=0.01)


def test_cvats_masks_marks_tags_and_other_shapes(photos: Path) -> None:
    def image(name: str, *shapes: str) -> str:
        return f'<image id="0" name="{name}" subset="Train" width="40" height="30">{"".join(shapes)}</image>'

    mask = '<mask label="cat" source="manual" occluded="0" rle="1, 2, 3" left="5" top="4" width="3" height="2"/>'
    box = '<box label="dog" occluded="{}" outside="{}" xtl="1" ytl="2" xbr="11" ybr="12">'
    box += '<attribute name="truncated">{}</attribute></box>'
    points = '<points label="dog" points="1,2;3,4"/>'
    (photos / "all.xml").write_text(
        "<annotations><version>1.1</version>"
        + image("cat/a b.png", '<tag label="cat"/>', mask)
        + image("dog/a b.png", box.format(1, 0, "false"), box.format(0, 1, "false"), box.format(0, 0, "true"), points)
        + "</annotations>"
    )
    reading = read(photos, Path("all.xml"), "cvat", leave_out=("truncated",))
    found = {image.path: image for image in reading.manifest.images}
    cat, dog = found["photos/cat/a b.png"], found["photos/dog/a b.png"]
    assert cat.boxes == ((5.0, 4.0, 8.0, 6.0),)
    assert np.argwhere(true_mask(cat, photos, None, SIZE)).tolist() == [[4, 6], [4, 7]]  # row by row: 0 1 1 / 0 0 0
    assert dog.boxes == ((1.0, 2.0, 11.0, 12.0),)
    said = "\n".join(reading.remarks)
    assert "outside of the image (outside)" in said
    assert "marks that are no box (lines, points" in said
    assert "objects marked as truncated do not count: 1" in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<annotations><track id='0'/></annotations>", "not in the format CVAT for images 1.1"),
        ("<annotations><image width='40' height='30'><box xtl='1'/></image></annotations>", "a box without ytl"),
        ("<annotations>", "not XML of CVAT"),
    ],
)  # fmt: skip
def test_what_is_not_cvats_is_refused(photos: Path, text: str, what: str) -> None:
    (photos / "a.xml").write_text(text)
    with pytest.raises(Faults, match=what):
        read(photos, Path("a.xml"), "cvat")


def test_numbers_of_hugging_faces_categories_are_named_by_a_setting(photos: Path) -> None:
    objects = [{"bbox": [4, 6, 20, 15], "category": 0}, {"bbox": [1, 1, 2, 2], "category": 1}]
    lines = [json.dumps({"file_name": Path(name).name, "objects": objects}) for name in NAMES]
    for kind in ("cat", "dog"):
        of_kind = [line for name, line in zip(NAMES, lines, strict=True) if name.startswith(kind)]
        (photos / "photos" / kind / "metadata.jsonl").write_text("\n".join(of_kind))
    (photos / "other").mkdir()
    (photos / "other/lines.jsonl").touch()
    with pytest.raises(Faults, match=r"other: no metadata\.jsonl in it"):
        read(photos, Path("other"), "hf")
    with pytest.raises(Faults, match=r"set data\.annotations\.names: "):
        read(photos, Path("photos"), "hf")
    found = boxes_of(read(photos, Path("photos"), "hf", names={"0": "cat", "1": "dog"}))
    assert found[NAMES[0]] == ((4.0, 6.0, 24.0, 21.0),)
    assert found[NAMES[4]] == ((1.0, 1.0, 3.0, 3.0),)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"objects": {}}', "line 1: no file_name of an image"),
        ('{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [1, 2]}}', "not as many categories"),
        ('{"file_name": "a.png", "objects": {"bbox": [[1, 2]], "categories": [1]}}', r"is not \[x, y, width, height\]"),
        ("[1", "not a line of JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_of_metadata_is_told(photos: Path, line: str, what: str) -> None:
    (photos / "photos/metadata.jsonl").write_text(line)
    with pytest.raises(Faults, match=what):
        read(photos, Path("photos/metadata.jsonl"), "hf")
