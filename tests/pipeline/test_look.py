"""`acol look` says what `split` reads, and prints settings with which it does."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from acol.ingest.decoding import decode_image
from acol.ingest.folder import read_folder
from pipeline import look, split
from pipeline.params import Data
from pipeline.strict_yaml import parse_settings

VOC = (
    "<annotation><object><name>{}</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    "</object></annotation>"
)


def images(root: Path, pattern: str, count: int = 6) -> list[tuple[str, Path]]:
    rng = np.random.default_rng(len(pattern))
    found = []
    for kind in ("cat", "dog"):
        for n in range(count):
            path = root / pattern.format(kind=kind, n=n)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(path)
            found.append((kind, path))
    return found


def class_folders(root: Path) -> None:
    images(root, "{kind}/{n}.png")


def voc_flat(root: Path) -> None:
    for kind, path in images(root, "images/{kind}{n}.png"):
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/{path.stem}.xml").write_text(VOC.format(kind))


def voc_beside(root: Path) -> None:
    for kind, path in images(root, "{kind}/{kind}{n}.png"):
        path.with_suffix(".xml").write_text(VOC.format(kind))


def yolo(root: Path) -> None:
    (root / "labels").mkdir(parents=True)
    for kind, path in images(root, "images/{kind}{n}.png"):
        (root / f"labels/{path.stem}.txt").write_text(f"{int(kind == 'dog')} .5 .5 .5 .5\n")
    (root / "data.yaml").write_text("names: [cat, dog]\n")


def coco(root: Path) -> None:
    found = images(root, "train/{kind}{n}.png")
    content = {
        "images": [{"id": n, "file_name": path.name} for n, (_, path) in enumerate(found)],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        "annotations": [
            {"image_id": n, "category_id": int(kind == "dog"), "bbox": [1, 1, 8, 8]}
            for n, (kind, _) in enumerate(found)
        ],
    }
    (root / "train/_annotations.coco.json").write_text(json.dumps(content))


def labels_csv(root: Path) -> None:
    rows = [f"{path.name},{kind}" for kind, path in images(root, "photos/{kind}{n}.png")]
    (root / "labels.csv").write_text("\n".join(["image,label", *rows]))


def label_studio(root: Path) -> None:
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    tasks = []
    for kind, path in images(root, "photos/{kind}{n}.png"):
        result = [{"original_width": 12, "original_height": 12, "value": value | {"rectanglelabels": [kind]}}]
        annotations = [{"was_cancelled": False, "result": result}]
        tasks.append({"data": {"image": f"/data/local-files/?d=photos/{path.name}"}, "annotations": annotations})
    (root / "export.json").write_text(json.dumps(tasks))


def cvat(root: Path) -> None:
    box = '<box label="{}" occluded="0" xtl="2" ytl="2" xbr="9" ybr="9"/>'
    found = [
        f'<image name="{path.name}" width="12" height="12">{box.format(kind)}</image>'
        for kind, path in images(root, "photos/{kind}{n}.png")
    ]
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{''.join(found)}</annotations>")


def hugging_face(root: Path) -> None:
    lines = [
        json.dumps({"file_name": path.name, "objects": {"bbox": [[2, 2, 7, 7]], "categories": [kind]}})
        for kind, path in images(root, "photos/{kind}{n}.png")
    ]
    (root / "photos/metadata.jsonl").write_text("\n".join(lines))


def labelme(root: Path) -> None:
    for kind, path in images(root, "photos/{kind}{n}.png"):
        shape = {"label": kind, "shape_type": "rectangle", "points": [[1, 1], [9, 9]]}
        path.with_suffix(".json").write_text(json.dumps({"imagePath": path.name, "shapes": [shape]}))


def lists(root: Path) -> None:
    found = images(root, "images/{kind}/{n}.png")
    (root / "meta").mkdir()
    for part, numbers in (("train", "0123"), ("test", "45")):
        rows = [f"{kind}/{path.stem}" for kind, path in found if path.stem in numbers]
        (root / f"meta/{part}.txt").write_text("\n".join(rows))


def linked(root: Path) -> None:
    images(root.parent / "elsewhere", "{kind}/{n}.png")
    root.mkdir()
    (root / "images").symlink_to(root.parent / "elsewhere")
    (root / "images/loop").symlink_to(root)


def train_and_val(root: Path) -> None:
    for part in ("train_set", "val_set"):
        images(root, f"{part}/{{kind}}/{part}{{n}}.png")


def masked(root: Path) -> None:
    for kind, path in images(root, "photos/{kind}/{kind}{n}.png"):
        mask = np.zeros((12, 12), np.uint8)
        mask[2:7, 3:8] = 255
        (root / "extra/masks" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / "extra/masks" / kind / path.name)


def masks_of_splits(root: Path) -> None:
    for part in ("train", "test"):
        for kind, path in images(root, f"{part}/images/{{kind}}/{{n}}{part}.png"):
            target = root / part / "masks" / kind / f"{path.stem}.bmp"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(12, dtype=np.uint8)).save(target)


def deep(root: Path) -> None:
    images(root, "download/v2/{kind}/{n}.png")
    (root / "download/v2/README.md").write_text("text")


def one_json_of_several(root: Path) -> None:
    coco(root)
    (root / "train/_annotations.coco.json").rename(root / "instances.json")
    (root / "captions.json").write_text('{"images": [], "annotations": [{"caption": "a cat"}]}')
    (root / "info.json").write_text("{}")


def flat_splits_with_labels(root: Path) -> None:
    found = [entry for part in ("train", "test") for entry in images(root, f"{part}_images/{part}_{{kind}}{{n}}.png")]
    (root / "labels.csv").write_text("\n".join(["image,label", *(f"{path.name},{kind}" for kind, path in found)]))


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (linked, {"images": "images"}),
        (train_and_val, {"test_from": "val"}),
        (masked, {"images": "photos", "masks": "extra/masks"}),
        (deep, {"images": "download/v2"}),
        (one_json_of_several, {"annotations": {"format": "coco", "path": "instances.json"}}),
        (flat_splits_with_labels, {"label_from": "annotation"}),
        (masks_of_splits, {"masks": "."}),
    ],
)
def test_layouts_that_it_finds(make, wanted, tmp_path, monkeypatch, capsys):
    make(tmp_path / "set")
    decoded: list[Path] = []
    monkeypatch.setattr("pipeline.look.decode_image", lambda path: decoded.append(path) or decode_image(path))
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path / "set")])
    monkeypatch.chdir(tmp_path)
    look.main()
    said, _, settings = capsys.readouterr().out.partition("\n\n")
    section = yaml.safe_load(settings)["data"]
    assert {key: section[key] for key in wanted} == wanted
    assert len(decoded) == len(set(decoded))
    again = split.read(section)  # what the stage reads by these settings
    assert again.summary() == said
    if make is deep:  # `acol train` draws the same without them
        drawn = read_folder(tmp_path / "set/download/v2").manifest.images
        assert [image.split for image in drawn] == [image.split for image in again.manifest.images]


@pytest.mark.parametrize(
    ("make", "form", "label_from"),
    [
        (class_folders, None, "folder"),
        (voc_flat, "voc", "annotation"),
        (voc_beside, "voc", "folder"),
        (yolo, "yolo", "annotation"),
        (coco, "coco", "annotation"),
        (labels_csv, "csv", "annotation"),
        (label_studio, "label-studio", "annotation"),
        (cvat, "cvat", "annotation"),
        (hugging_face, "hf", "annotation"),
        (labelme, "labelme", "annotation"),
        (lists, "lists", "folder"),
    ],
)
def test_the_settings_that_it_prints_are_those_that_fit(make, form, label_from, tmp_path, monkeypatch, capsys):
    make(tmp_path / "set")
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path / "set")])
    look.main()
    said, _, settings = capsys.readouterr().out.partition("\n\n")
    assert "2 classes: " in said
    data = parse_settings(Data, yaml.safe_load(settings)["data"])
    assert data.label_from == label_from
    assert (data.annotations.format if data.annotations else None) == form


def test_boxes_with_other_names_leave_the_classes_to_the_folders_unless_acol_yaml_says_more(
    tmp_path, monkeypatch, capsys
):
    for kind, path in images(tmp_path, "{kind}/{kind}{n}.png"):
        (tmp_path / "my boxes").mkdir(exist_ok=True)
        (tmp_path / f"my boxes/{path.stem}.xml").write_text(VOC.format(f"small {kind}"))
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    look.main()
    said = capsys.readouterr()
    assert "2 classes: " in said.out
    assert "boxes: none" in said.out
    assert "not used: voc annotations in my boxes: class 'cat': no object in its images has this name" in said.err
    assert "1 folder (my boxes/): text and no image" in said.err
    (tmp_path / "acol.yaml").write_text("annotations: {format: voc, path: my boxes, names: any}")
    look.main()
    said = capsys.readouterr()
    assert "boxes: 6 train, 2 val, 4 test" in said.out
    assert yaml.safe_load(said.out.partition("\n\n")[2]) == {"data": {"source": "folder", "path": str(tmp_path)}}
    assert not said.err


def test_images_that_the_settings_pass_over_are_told(tmp_path, monkeypatch, capsys):
    images(tmp_path, "test_images/{n}{kind}.png", 2)
    rows = [f"{path.name},{kind}" for kind, path in images(tmp_path, "train_images/{kind}{n}.png")]
    (tmp_path / "train.csv").write_text("\n".join(["image_id,label", *rows]))
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    look.main()
    said = capsys.readouterr()
    assert yaml.safe_load(said.out.partition("\n\n")[2])["data"]["images"] == "train_images"
    assert "4 images (test_images/0cat.png, test_images/0dog.png, test_images/1cat.png, ...): outside of" in said.err


@pytest.mark.parametrize("parts", [("fold1", "fold2"), ("birds", "mammals"), ("imagesTr", "imagesTs")])
def test_of_several_folders_that_could_be_meant_none_is_guessed(parts, tmp_path, monkeypatch, capsys):
    for part in parts:
        images(tmp_path, f"{part}/{{kind}}/{part}{{n}}.png")
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        look.main()
    said = capsys.readouterr()
    assert f"error: {tmp_path}: 2 folders ({parts[0]}, {parts[1]}): each holds folders of images; give one" in said.err
    assert not said.out


def test_a_folder_that_nothing_fits_tells_why(tmp_path, monkeypatch, capsys):
    images(tmp_path, "train/{kind}{n}.png")
    images(tmp_path, "test/{kind}{n}.png", 2)
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        look.main()
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith(f"error: {tmp_path}: 'test', 'train': the name of a split")
    for folder in (tmp_path / "nowhere", Path(__file__).parent):
        monkeypatch.setattr("sys.argv", ["look", str(folder)])
        with pytest.raises(SystemExit, match="2"):
            look.main()


def test_the_nearest_try_tells_why_a_source_is_not_used(tmp_path, monkeypatch, capsys):
    for kind, path in images(tmp_path, "images/{kind}_{n}.png"):
        target = tmp_path / f"annotations/xmls/{path.stem}.xml"
        target.parent.mkdir(parents=True, exist_ok=True)
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        target.write_text(f"<annotation><object><name>a {kind}</name><bndbox>{box}</bndbox></object></annotation>")
    lists = {"trainval": range(5), "test": range(5, 6)}
    for name, numbers in lists.items():
        rows = [f"{kind}_{n} {place} 1 1" for place, kind in enumerate(("cat", "dog"), 1) for n in numbers]
        (tmp_path / f"annotations/{name}.txt").write_text("\n".join(rows))
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        look.main()
    assert "not used: voc annotations in annotations/xmls: class 'cat': no object in its images has this name" in (
        capsys.readouterr().err
    )


def test_a_split_alone_is_no_data_set(tmp_path, monkeypatch, capsys):
    images(tmp_path, "train/{kind}/{n}.png")
    images(tmp_path, "test/{kind}/a{n}.png", 2)
    for path in (tmp_path / "test/dog").iterdir():
        path.rename(tmp_path / "test/cat" / f"dog{path.name}")
    (tmp_path / "test/dog").rmdir()
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        look.main()
    assert "class 'dog' has no image in test; add some or remove the class" in capsys.readouterr().err


def test_a_folder_without_images_tells_what_is_there(tmp_path, monkeypatch, capsys):
    for name in ("a.dcm", "b.dcm", "c.zip"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        look.main()
    assert "in it or below it, but 2 .dcm, 1 .zip; unpack or convert these, or give another" in capsys.readouterr().err


@pytest.mark.parametrize("kinds", [("with_mask", "without_mask"), ("with mask", "without mask", "nothing")])
def test_classes_that_are_named_after_masks(kinds, tmp_path, monkeypatch, capsys):
    for number, kind in enumerate(kinds):
        images(tmp_path, f"data/{kind}/{number}{{kind}}{{n}}.png", 6)
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    look.main()
    said = capsys.readouterr()
    assert all(any(line.startswith(kind) for line in said.out.splitlines()) for kind in kinds)
    assert f"{len(kinds)} classes: " in said.out
    assert "masks: none" in said.out
    assert "not used" not in said.err


def test_files_of_unknown_annotations_are_told(tmp_path, monkeypatch, capsys):
    voc_flat(tmp_path)
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/notes.txt").write_text("")
    for number in range(5):
        (tmp_path / "outlines").mkdir(exist_ok=True)
        (tmp_path / f"outlines/{number}.mat").write_bytes(b"x")
    monkeypatch.setattr("sys.argv", ["look", str(tmp_path)])
    look.main()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "recognised" in line]
    files = "outlines/0.mat, outlines/1.mat, outlines/2.mat, ..."
    assert line == f"warning: 5 files ({files}): not recognised as annotations, and so not read"


def said_of(root: Path, monkeypatch, capsys, status: int = 0) -> tuple[dict, list[str]]:
    monkeypatch.setattr("sys.argv", ["look", str(root)])
    if status:
        with pytest.raises(SystemExit, match=str(status)):
            look.main()
    else:
        look.main()
    said = capsys.readouterr()
    return yaml.safe_load(said.out.partition("\n\n")[2] or "data:")["data"], said.err.splitlines()


def test_files_of_unknown_annotations_at_the_top_are_told_whatever_becomes_of_the_folder(tmp_path, monkeypatch, capsys):
    for kind, path in images(tmp_path, "images/{kind}/{kind}{n}.png"):
        path.with_suffix(".txt").write_text(kind)
    (tmp_path / "export.ndjson").write_text("{}")
    _, lines = said_of(tmp_path, monkeypatch, capsys)
    what = "1 file (export.ndjson): not recognised as annotations, and so not read"
    assert lines[-2:] == [f"warning: {what}", lines[-1]]
    for path in [*tmp_path.glob("images/*/*.png")]:
        path.rename(tmp_path / "images" / path.name)
    _, lines = said_of(tmp_path, monkeypatch, capsys, 2)
    assert f"warning: {what}; if they are, export them in a format that docs/data.md names" in lines


def test_annotations_give_classes_to_the_images_of_a_flat_split(tmp_path, monkeypatch, capsys):
    """ImageNet's localization challenge: a folder a class in train, none in val, and test without classes."""
    parts = {"train": "train/{kind}/{kind}_{n}.png", "val": "val/val_{kind}{n}.png"}
    for part, pattern in parts.items():
        rows = [f"{path.stem},{kind} 2 2 9 9" for kind, path in images(tmp_path / "Data/CLS-LOC", pattern)]
        (tmp_path / f"LOC_{part}_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
    images(tmp_path / "Data/CLS-LOC", "test/{kind}test{n}.png", 2)
    settings, lines = said_of(tmp_path, monkeypatch, capsys)
    assert (settings["label_from"], settings["test_from"]) == ("annotation", "val")
    assert len(split.read(settings).manifest.images) == 24
    assert any(line.startswith("warning: 4 images (") and "no class: left out" in line for line in lines)


def test_the_folder_that_holds_all_others_tells_what_is_wrong(tmp_path, monkeypatch, capsys):
    for _, path in images(tmp_path, "archive/{kind}/{kind}{n}.png"):
        Image.fromarray(np.eye(12, dtype=np.uint8)).save(path.with_name(f"{path.stem}_mask.png"))
    _, lines = said_of(tmp_path, monkeypatch, capsys, 2)
    assert lines[-2].startswith(f"error: {tmp_path}/archive/cat: 6 images are masks of others, such as cat0_mask.png")


def test_voc_files_without_a_suffix_are_recognised(tmp_path, monkeypatch, capsys):
    for kind, path in images(tmp_path, "Images/n1-{kind}/{kind}_{n}.png"):
        target = tmp_path / "Annotation" / path.parent.name / path.stem
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(VOC.format(kind))
    settings, _ = said_of(tmp_path, monkeypatch, capsys)
    assert settings["annotations"] == {"format": "voc", "path": "Annotation"}


def test_masks_in_a_folder_of_labels(tmp_path, monkeypatch, capsys):
    masked(tmp_path)
    (tmp_path / "extra/masks").rename(tmp_path / "labels")
    (tmp_path / "extra").rmdir()
    assert said_of(tmp_path, monkeypatch, capsys)[0]["masks"] == "labels"


def test_two_columns_of_which_one_names_the_images(tmp_path, monkeypatch, capsys):
    rows = [f"{kind},{path.stem}" for kind, path in images(tmp_path, "train/{kind}{n}.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["breed,id", *rows]))
    images(tmp_path, "test/{kind}{n}.png", 2)
    settings, _ = said_of(tmp_path, monkeypatch, capsys)
    columns = {"id": "path", "breed": "class"}
    assert settings["annotations"] == {"format": "csv", "path": "labels.csv", "columns": columns}
    assert settings["images"] == "train"


def test_lists_of_masks_of_wsolevaluation(tmp_path, monkeypatch, capsys):
    for part in ("train", "test"):
        rows: dict[str, list[str]] = {"image_ids": [], "class_labels": [], "localization": []}
        for kind, path in images(tmp_path / "data", f"{part}/{{kind}}/{{n}}{part}.png", 3):
            key, mask = path.relative_to(tmp_path / "data"), path.with_name(f"{path.stem}_m.png")
            Image.fromarray(np.eye(9, dtype=np.uint8)).save(mask)
            rows["image_ids"].append(str(key))
            rows["class_labels"].append(f"{key},{int(kind == 'dog')}")
            rows["localization"].append(f"{key},{mask.relative_to(tmp_path / 'data')},")
        (tmp_path / "metadata" / part).mkdir(parents=True)
        for file in [*rows][: 2 if part == "train" else 3]:
            (tmp_path / f"metadata/{part}/{file}.txt").write_text("\n".join(rows[file]))
    settings, _ = said_of(tmp_path, monkeypatch, capsys)
    assert settings["masks"] == {"path": "data", "list": "metadata"}
    assert sum(image.masked for image in split.read(settings).manifest.images) == 6
