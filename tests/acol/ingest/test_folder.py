import os
import random
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from acol.data.manifest import SPLITS, Manifest, read_manifest, write_manifest
from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder

VOC = AnnotationSource("voc", "annotations")
WSOL = AnnotationSource("wsol", "metadata/test")
CUB = AnnotationSource("cub", ".")


def faults_of(root: Path, **options: object) -> tuple[str, ...]:
    """The faults, each a single line that ends in a remedy, with the root's path shortened to ROOT."""
    with pytest.raises(Faults) as error:
        read_folder(root, **options)
    assert all("\n" not in fault and "; " in fault for fault in error.value.faults)
    return tuple(fault.replace(str(root), "ROOT") for fault in error.value.faults)


def counts(manifest: Manifest) -> dict[str, int]:
    return {split: len(manifest.of(split)) for split in SPLITS}


def presplit(root: Path, *splits: str, images: int = 4, labels: tuple[str, ...] = ("cat", "dog")) -> Path:
    for split in splits:
        for label in labels:
            for number in range(images):
                (root / split / label).mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(zlib.crc32(f"{split}/{label}/{number}".encode())).integers(
                    0, 256, (6, 8, 3), np.uint8
                )
                Image.fromarray(pixels).save(root / split / label / f"{number}.png")
    return root


# --- Layouts ---


def test_flat_class_folders_are_split(flat: Path) -> None:
    # Of 6 images a class: val round(0.9) = 1, test round(1.5) = 2, train 3.
    reading = read_folder(flat)
    manifest, left_out = reading.manifest, reading.left_out
    assert manifest.root == flat
    assert manifest.classes == ("cat", "dog")
    held = Counter((image.label, image.split) for image in manifest.images)
    assert held == {(label, s): n for label in ("cat", "dog") for s, n in (("train", 3), ("val", 1), ("test", 2))}
    assert left_out == {}
    first = manifest.images[0]
    assert (first.path, first.label, first.width, first.height) == ("cat/0.png", "cat", 8, 6)
    assert first.boxes is first.mask is None


def test_the_images_folder_is_part_of_the_paths(flat: Path) -> None:
    manifest = read_folder(flat.parent, images=flat.name).manifest
    assert manifest.images[0].path == f"{flat.name}/cat/0.png"
    assert (manifest.root / manifest.images[0].path).is_file()


def test_the_result_depends_on_nothing_but_the_files(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy")
    files = sorted(path.relative_to(flat) for path in flat.glob("*/*.png"))
    random.Random(1).shuffle(files)  # made in another order, so listed by the file system in another order
    for file in files:
        (copy / file).parent.mkdir(exist_ok=True)
        shutil.copy(flat / file, copy / file)
    assert read_folder(copy).manifest.digest() == read_folder(flat).manifest.digest()
    assert read_folder(copy, seed=1).manifest.digest() != read_folder(flat).manifest.digest()


def test_given_splits_are_kept(tmp_path: Path) -> None:
    manifest = read_folder(presplit(tmp_path, "train", "val", "test")).manifest
    assert counts(manifest) == {"train": 8, "val": 8, "test": 8}
    assert all(image.path.startswith(image.split) for image in manifest.images)


def test_a_missing_val_is_carved_out_of_train(tmp_path: Path) -> None:
    # A quarter of the 4 images a class.
    manifest = read_folder(presplit(tmp_path, "train", "test"), val_fraction=0.25).manifest
    assert counts(manifest) == {"train": 6, "val": 2, "test": 8}
    assert all(image.path.startswith("train/") for image in manifest.of("val"))


def test_one_image_a_class_is_enough_in_given_splits(tmp_path: Path) -> None:
    manifest = read_folder(presplit(tmp_path, "train", "val", "test", images=1)).manifest
    assert counts(manifest) == {"train": 2, "val": 2, "test": 2}


def test_two_training_images_a_class_are_enough_without_val(tmp_path: Path) -> None:
    manifest = read_folder(presplit(tmp_path, "train", "test", images=2)).manifest
    assert counts(manifest) == {"train": 2, "val": 2, "test": 4}


def test_a_class_may_be_called_train(draw: Callable[..., Path], tmp_path: Path) -> None:
    for label in ("train", "bus"):
        for number in range(3):
            draw(f"{label}/{number}.png")
    with pytest.raises(InputError, match="'train': the name of a split or of a part of a data set"):
        read_folder(tmp_path)
    assert read_folder(tmp_path, classes=["bus", "train"]).manifest.classes == ("bus", "train")


@pytest.mark.parametrize(("name", "meant"), [("valid", "val"), ("Validation", "val"), ("TEST", "test")])
def test_other_names_of_splits_are_known_but_two_of_one_split_are_not(tmp_path: Path, name: str, meant: str) -> None:
    root = presplit(tmp_path, *sorted({"train", "test", "val"} - {meant}), name)
    manifest = read_folder(root).manifest
    assert {image.path.split("/")[0] for image in manifest.of(meant)} == {name}
    presplit(tmp_path, meant)
    first, second = sorted((name, meant))
    assert f"ROOT/{first} and ROOT/{second}: both are {meant}; rename or join them" in faults_of(tmp_path)


def test_missing_train_or_test_folders(tmp_path: Path) -> None:
    alone = "ROOT: no folder 'test' with class folders in it; add it, or set data.test_from (--test-from) to "
    assert faults_of(presplit(tmp_path / "a", "train")) == (f"{alone}train, to draw it from there",)
    assert faults_of(presplit(tmp_path / "b", "test", "val")) == (
        "ROOT: no folder 'train'; add it, with a folder for each class",
    )
    both = presplit(tmp_path / "c", "train", "val")
    assert faults_of(both) == (f"{alone}val, to test on the images of val, or to train, to draw it from there",)
    tested = read_folder(both, test_from="val", val_fraction=0.25)
    assert counts(tested.manifest) == {"train": 6, "val": 2, "test": 8}
    assert {image.path.split("/")[0] for image in tested.manifest.of("test")} == {"val"}
    assert tested.layout.endswith("; val is the test split; val is drawn from train")
    drawn = read_folder(both, test_from="train", test_fraction=0.5)
    assert counts(drawn.manifest) == {"train": 4, "val": 8, "test": 4}
    assert drawn.layout.endswith("; test is drawn from train")
    assert counts(read_folder(tmp_path / "a", test_from="train", val_fraction=0.25).manifest)["train"] == 4


@pytest.mark.parametrize(
    ("splits", "test_from", "text"),
    [
        (("train", "test"), "val", "data.test_from is val, but there is a test split"),
        (("train",), "val", "data.test_from is val, but there is no val"),
        ((), "train", "data.test_from is train, but no splits are given"),
    ],
)
def test_a_needless_test_from_is_refused(
    tmp_path: Path, flat: Path, splits: tuple[str, ...], test_from: str, text: str
) -> None:
    root = presplit(tmp_path / "given", *splits) if splits else flat
    assert any(fault.startswith(f"ROOT: {text}") for fault in faults_of(root, test_from=test_from))


@pytest.mark.parametrize(
    "name", ["-rf.png", "a b.png", "Müller ✓.png", "new\nline.png", "per%cent$(x).png", "two.dots.PNG", "#1,2.png"]
)
def test_odd_names(flat: Path, draw: Callable[..., Path], name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    odd_class = f"-{name.removesuffix('.png')}"
    for number in range(2):
        draw(f"{odd_class}/{number}.png")
    draw(f"{odd_class}/{name}")
    manifest = read_folder(flat).manifest
    assert odd_class in manifest.classes
    assert f"{odd_class}/{name}" in [image.path for image in manifest.images]
    file = tmp_path_factory.mktemp("m") / "m.json"
    write_manifest(file, manifest)
    assert read_manifest(file, manifest.root) == manifest


def test_faults_of_odd_names_are_one_line(flat: Path) -> None:
    (flat / "cat" / "a\nb.png").touch()
    assert faults_of(flat)[0].startswith("'ROOT/cat/a\\nb.png': empty file")


def test_a_name_that_is_not_utf8_is_a_fault(flat: Path) -> None:
    shutil.copy(flat / "cat/0.png", os.fsencode(flat / "cat") + b"/\xff.png")
    assert faults_of(flat) == (r"'ROOT/cat/\udcff.png': its name is not UTF-8; rename it",)


def test_hidden_files_and_litter_are_ignored(flat: Path) -> None:
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0.png", "README.md"):
        (flat / name).touch()
    (flat / ".ipynb_checkpoints").mkdir()
    assert len(read_folder(flat).manifest.images) == 12


def test_names_that_differ_by_case_only_are_two_images(flat: Path, draw: Callable[..., Path]) -> None:
    draw("cat/A.png")
    draw("cat/a.png")
    assert len(read_folder(flat).manifest.images) == 14


def test_links_are_followed(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    linked = tmp_path_factory.mktemp("linked")
    (linked / "cat").symlink_to(flat / "cat")
    (linked / "dog").mkdir()
    for file in (flat / "dog").iterdir():
        (linked / "dog" / file.name).symlink_to(file)
    assert read_folder(linked).manifest.digest() == read_folder(flat).manifest.digest()
    (linked / "dog" / "gone.png").symlink_to("nowhere.png")
    assert faults_of(linked) == ("ROOT/dog/gone.png: a broken link or not a regular file; remove it",)


def test_the_layout_is_told_in_words(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read_folder(flat).layout == "a folder for each class; val and test are drawn here"
    two = presplit(tmp_path_factory.mktemp("two"), "train", "test")
    assert read_folder(two).layout == (
        "the folders train and test, each with a folder for each class; val is drawn from train"
    )
    three = presplit(tmp_path_factory.mktemp("three"), "train", "val", "test")
    assert read_folder(three).layout == "the folders train, val and test, each with a folder for each class"


def test_an_unknown_format_says_which_there_are(flat: Path) -> None:
    with pytest.raises(InputError, match=r"data\.annotations\.format: unknown format 'vok'; did you mean voc"):
        read_folder(flat, annotations=AnnotationSource("vok", "."))


# --- Faults of images and folders ---


def break_images(root: Path) -> dict[str, str]:
    """Add 3 unreadable images of cats; return each one's path and fault."""
    noise = np.random.default_rng(99).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cat/cut.jpg")
    (root / "cat/cut.jpg").write_bytes((root / "cat/cut.jpg").read_bytes()[:-1000])
    (root / "cat/none.jpg").touch()
    (root / "cat/page.jpg").write_text("<html>404</html>")
    return {"cat/cut.jpg": "truncated", "cat/none.jpg": "empty file (0 bytes)", "cat/page.jpg": "not an image"}


def test_unreadable_images_stop_by_default(flat: Path) -> None:
    broken = break_images(flat)
    faults = faults_of(flat)
    assert len(faults) == 3
    for fault, (path, reason) in zip(faults, broken.items(), strict=True):
        assert fault.startswith(f"ROOT/{path}: {reason}")


def test_unreadable_images_are_left_out_when_asked(flat: Path) -> None:
    before = read_folder(flat).manifest
    broken = break_images(flat)
    reading = read_folder(flat, unreadable="leave_out")
    manifest, left_out = reading.manifest, reading.left_out
    assert manifest == before
    assert list(left_out) == list(broken)
    assert all(reason.startswith(broken[path]) for path, reason in left_out.items())


def test_leaving_out_forgives_nothing_else(flat: Path) -> None:
    break_images(flat)
    (flat / "cat/photo.heic").touch()
    assert [fault.split(":")[0] for fault in faults_of(flat, unreadable="leave_out")] == ["ROOT/cat/photo.heic"]


def test_a_class_that_leaving_out_empties_is_a_fault(flat: Path) -> None:
    (flat / "owl").mkdir()
    (flat / "owl/0.png").touch()
    assert faults_of(flat, unreadable="leave_out") == ("ROOT/owl: every image is unreadable; replace or remove them",)


@pytest.mark.parametrize("name", ["photo.heic", "SCAN.NEF"])
def test_an_image_of_a_format_that_is_not_read_is_a_fault(flat: Path, name: str) -> None:
    (flat / "cat" / name).touch()
    (fault,) = faults_of(flat)
    assert fault.startswith(f"ROOT/cat/{name}: not an image (")


def test_frames_after_the_first_are_told(flat: Path) -> None:
    frames = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (6, 8, 3), np.uint8)) for n in range(3)]
    for name in ("a.gif", "b.tif", "c.webp"):
        frames[0].save(flat / "cat" / name, save_all=True, append_images=frames[1:])
    frames[1].save(flat / "cat/one.tif")
    frames[2].save(flat / "cat/camera.jpg", format="MPO", save_all=True, append_images=frames[:1])  # with a preview
    what = "several frames or pages; only the first is read"
    assert f"3 images (cat/a.gif, cat/b.tif, cat/c.webp): {what}" in read_folder(flat).remarks


def test_files_that_are_no_images_are_ignored_and_counted(flat: Path) -> None:
    for name in ("notes.txt", "clip.mp4", "0.json", "no extension"):
        (flat / "cat" / name).touch()
    for name in ("__MACOSX", "@eaDir", "lost+found"):
        (flat / name).mkdir()
    reading = read_folder(flat)
    assert len(reading.manifest.images) == 12
    assert reading.remarks == ("4 files (cat/0.json, cat/clip.mp4, cat/no extension, ...): no image, and so ignored",)
    for name in ("0.jpg_large", "download"):
        (flat / "cat" / name).write_bytes((flat / "cat/0.png").read_bytes())
    what = "an image without the suffix of one, and so ignored; rename it to read it"
    assert read_folder(flat).remarks[0] == f"2 files (cat/0.jpg_large, cat/download): {what}"


def test_masks_beside_their_images_are_no_images(flat: Path) -> None:
    shutil.copy(flat / "cat/0.png", flat / "cat/1_mask.png")
    (fault,) = faults_of(flat)[:1]
    assert fault == (
        "ROOT/cat: 1 image is the mask of others, such as 1_mask.png of 1.png; move masks into a folder of their own"
        " (data.masks), or rename what is none"
    )


def test_a_folder_in_a_class_folder(flat: Path) -> None:
    (flat / "cat/more.png").mkdir()
    way = "move its images up, remove it, or list the classes under data.classes to read it too"
    assert faults_of(flat) == (f"ROOT/cat/more.png: a folder inside a class folder; {way}",)


def test_an_image_outside_the_class_folders(flat: Path) -> None:
    shutil.copy(flat / "cat/0.png", flat / "stray.png")
    assert faults_of(flat) == ("ROOT/stray.png: an image outside the class folders; move it into one or remove it",)


def test_an_empty_class_folder(flat: Path) -> None:
    (flat / "owl").mkdir()
    assert faults_of(flat) == ("ROOT/owl: empty class folder; add images or remove it",)


def test_a_class_with_one_image(flat: Path, draw: Callable[..., Path]) -> None:
    draw("owl/0.png")
    (fault,) = faults_of(flat)
    assert fault.startswith("class 'owl': 1 image, but test, train, val need 3 different ones")


def test_a_class_missing_from_a_given_split(tmp_path: Path) -> None:
    presplit(tmp_path, "train", "val", "test")
    shutil.rmtree(tmp_path / "val/cat")
    shutil.rmtree(tmp_path / "train/dog")
    assert faults_of(tmp_path) == (
        "ROOT: class 'cat' has no image in val; add some or remove the class",
        "ROOT: class 'dog' has no image in train; add some, remove the class, or set data.images to the folder of test,"
        " to draw all splits from it",
    )


def test_an_empty_class_folder_in_a_given_split_is_one_fault(tmp_path: Path) -> None:
    presplit(tmp_path, "train", "val", "test")
    shutil.rmtree(tmp_path / "val/cat")
    (tmp_path / "val/cat").mkdir()
    assert faults_of(tmp_path) == ("ROOT/val/cat: empty class folder; add images or remove it",)


def test_one_class_or_none_at_all(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    shutil.rmtree(flat / "dog")
    assert faults_of(flat)[0].startswith("ROOT: only one class 'cat'; add a folder of images for each class,")
    assert faults_of(tmp_path_factory.mktemp("empty"))[0].startswith("ROOT: no class folders; add")


def test_folders_that_are_not_there_or_outside(flat: Path) -> None:
    for options in ({"images": "photos"}, {"masks": "masks"}):
        with pytest.raises(InputError, match="no such folder; correct the root or"):
            read_folder(flat, **options)
    with pytest.raises(InputError, match=r"images '\.\./x': outside the root folder"):
        read_folder(flat, images="../x")
    with pytest.raises(InputError, match="no such folder"):
        read_folder(flat / "nowhere")


def test_a_name_that_no_file_system_takes(flat: Path) -> None:
    with pytest.raises(InputError, match="no such folder; correct the root or 'images'"):
        read_folder(flat, images="x" * 300)


@pytest.mark.parametrize("parts", [(0.0, 0.1), (1.0, 0.1), (float("nan"), 0.1), (0.5, 0.5)])
def test_impossible_fractions_are_a_fault(flat: Path, parts: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="val_fraction {} and test_fraction {}: ".format(*parts)):
        read_folder(flat, val_fraction=parts[0], test_fraction=parts[1])


# --- Identical images ---


def test_copies_stay_in_one_split(flat: Path) -> None:
    for number in range(3):
        shutil.copy(flat / "cat/0.png", flat / f"cat/copy {number}.png")
    manifest = read_folder(flat).manifest
    twins = {image.split for image in manifest.images if image.sha256 == manifest.images[0].sha256}
    assert len(twins) == 1


def test_the_same_image_in_two_classes(flat: Path) -> None:
    shutil.copy(flat / "cat/0.png", flat / "dog/x.png")
    assert faults_of(flat) == (
        "ROOT/cat/0.png and ROOT/dog/x.png: the same image in the classes 'cat' and 'dog'; remove the wrong one",
    )


def test_the_same_image_in_two_given_splits(tmp_path: Path) -> None:
    presplit(tmp_path, "train", "test")
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "test/cat/x.png")
    assert faults_of(tmp_path) == (
        "ROOT/train/cat/0.png and ROOT/test/cat/x.png: the same image in train and test; remove one of them",
    )


# --- VOC ---


@pytest.fixture
def annotated(flat: Path, voc: Callable[..., Path]) -> Path:
    """The flat folder's images under images/, with a VOC file each, beside it, of the whole image."""
    (flat / "images").mkdir()
    for label in ("cat", "dog"):
        for number in range(6):
            (flat / label / f"{number}.png").rename(flat / label / f"{label}{number}.png")
            voc(f"annotations/{label}{number}.xml", (label, 1, 1, 8, 6))
        (flat / label).rename(flat / "images" / label)
    return flat


def test_voc_boxes_are_matched_by_file_name(annotated: Path, voc: Callable[..., Path]) -> None:
    voc("annotations/cat0.xml", ("Cat", 3, 2, 5, 4), ("dog", 1, 1, 2, 2), ("cat", 0, 0, 8, 6))
    manifest = read_folder(annotated, images="images", annotations=VOC).manifest
    boxes = {image.path: image.boxes for image in manifest.images}
    # The dog in the cat's picture does not count; xmin = ymin = 0 is taken to the border.
    assert boxes["images/cat/cat0.png"] == ((2, 1, 5, 4), (0, 0, 8, 6))
    assert boxes["images/dog/dog5.png"] == ((0, 0, 8, 6),)


def test_a_class_of_absence_has_no_objects(annotated: Path, voc: Callable[..., Path]) -> None:
    for number in range(6):
        voc(f"annotations/dog{number}.xml", ("fence", 1, 1, 4, 4))
    absent = replace(VOC, without=("dog",))
    for source in (absent, replace(absent, names="any")):
        images = read_folder(annotated, images="images", annotations=source).manifest.images
        assert {image.label for image in images if image.boxes} == {"cat"}
    assert faults_of(annotated, images="images", annotations=replace(VOC, without=("dog", "cow"))) == (
        "data.annotations.without: cow: no such class; correct it",
    )


def test_objects_that_are_named_unlike_the_classes_need_a_word_of_the_user(
    annotated: Path, voc: Callable[..., Path]
) -> None:
    for label in ("cat", "dog"):
        for number in range(6):
            voc(f"annotations/{label}{number}.xml", ("player", 1, 1, 4, 4), ("ball", 5, 5, 8, 6))
    faults = faults_of(annotated, images="images", annotations=VOC)
    assert faults[0] == (
        "class 'cat': no object in its images has this name, but they are 'player', 'ball'; if 'player' is this class,"
        " set data.annotations.names: {player: cat}, or if every object counts, names: any; or if the class has no"
        " objects, without: [cat]"
    )
    manifest = read_folder(annotated, images="images", annotations=replace(VOC, names="any")).manifest
    assert all(image.boxes == ((0, 0, 4, 4), (4, 4, 8, 6)) for image in manifest.images)
    mapped = replace(VOC, names={"Player": "cat", "ball": "dog"})
    boxes = {i.label: i.boxes for i in read_folder(annotated, images="images", annotations=mapped).manifest.images}
    assert boxes == {"cat": ((0, 0, 4, 4),), "dog": ((4, 4, 8, 6),)}


@pytest.mark.parametrize("name", ["a: b, c", "1", "\ufeff", "big dog"])
def test_the_proposed_names_are_yaml(name: str, annotated: Path, voc: Callable[..., Path]) -> None:
    for label in ("cat", "dog"):
        for number in range(6):
            voc(f"annotations/{label}{number}.xml", (name, 1, 1, 4, 4))
    fault = faults_of(annotated, images="images", annotations=VOC)[0]
    (proposed,) = re.findall("names: ({.+}), or if", fault)
    assert fault.isprintable()
    assert yaml.safe_load(proposed) == {name: "cat"}


def test_voc_files_in_class_folders_tell_equal_names_apart(flat: Path, voc: Callable[..., Path]) -> None:
    for label, right in (("cat", 4), ("dog", 8)):
        for number in range(6):
            voc(f"annotations/{label}/{number}.xml", (label, 1, 1, right, 6))
    manifest = read_folder(flat, annotations=VOC).manifest  # the folder of annotations is not a class
    assert manifest.classes == ("cat", "dog")
    assert {image.label: image.boxes for image in manifest.images} == {"cat": ((0, 0, 4, 6),), "dog": ((0, 0, 8, 6),)}


def test_voc_files_may_lie_beside_the_images(flat: Path, voc: Callable[..., Path]) -> None:
    for label in ("cat", "dog"):
        for number in range(6):
            voc(f"{label}/{number}.xml", (label, 1, 1, 8, 6))
    manifest = read_folder(flat, annotations=AnnotationSource("voc", ".")).manifest
    assert all(image.boxes == ((0, 0, 8, 6),) for image in manifest.images)


def test_a_voc_file_that_two_images_match(flat: Path, voc: Callable[..., Path]) -> None:
    for number in range(6):
        voc(f"annotations/{number}.xml", ("player", 1, 1, 8, 6))
    faults = faults_of(flat, annotations=replace(VOC, names="any"))
    assert len(faults) == 6
    assert faults[0] == "ROOT/cat/0.png and ROOT/dog/0.png: both match '0'; give each image its own name or folder"


def test_an_annotation_without_image_and_the_reverse(annotated: Path, voc: Callable[..., Path]) -> None:
    (annotated / "annotations/dog5.xml").unlink()
    voc("annotations/owl.xml", ("owl", 1, 1, 8, 6))
    (annotated / "annotations/pom.xml").write_text("<project/>")
    reading = read_folder(annotated, images="images", annotations=VOC)
    assert {*reading.remarks} >= {
        f"1 file ({annotated}/annotations/pom.xml): no annotation, and no image has this name: passed over",
        f"1 annotation (owl): no such image in {annotated}/images: passed over",
    }
    assert [image.path for image in reading.manifest.images if image.boxes is None] == ["images/dog/dog5.png"]


def test_annotations_of_other_images_are_a_wrong_path(annotated: Path) -> None:
    for file in (annotated / "annotations").glob("*.xml"):
        file.rename(file.with_name(f"{file.stem}_of_another_set.xml"))
    faults = faults_of(annotated, images="images", annotations=VOC)
    assert len(faults) == 12
    assert faults[0] == (
        "ROOT/annotations/cat0_of_another_set.xml: no image cat0_of_another_set in ROOT/images; add the image or remove"
        " the annotation"
    )


@pytest.mark.parametrize(
    ("corners", "fault"),
    [
        ((1, 1, 10, 6), "box (0, 0, 10, 6) is outside its image of 8 x 6 pixels"),
        ((-1, 1, 8, 6), "box (-2, 0, 8, 6) is outside its image of 8 x 6 pixels"),
        ((5, 1, 4, 6), "box (4, 0, 4, 6) is degenerate: it has no area"),
        ((5, 1, 2, 6), "box (4, 0, 2, 6) is degenerate: it has no area"),
        ((1, "nan", 8, 6), "box (0, nan, 8, 6) is not finite"),
        ((1, 1, "inf", 6), "box (0, 0, inf, 6) is not finite"),
    ],
)
def test_impossible_boxes(annotated: Path, voc: Callable[..., Path], corners: tuple[object, ...], fault: str) -> None:
    voc("annotations/cat0.xml", ("cat", 1, 1, 8, 6), ("cat", *corners))
    (found,) = faults_of(annotated, images="images", annotations=VOC)
    assert found == f"ROOT/annotations/cat0.xml: cat/cat0.png: {fault}; correct it"


def test_a_declared_size_that_disagrees(annotated: Path, voc: Callable[..., Path]) -> None:
    voc("annotations/cat0.xml", ("cat", 1, 1, 6, 8), size=(6, 8))
    (fault,) = faults_of(annotated, images="images", annotations=VOC)
    assert "annotated as 6 x 8 pixels, but the upright image is 8 x 6" in fault


def test_an_image_without_an_object_of_its_class(annotated: Path, voc: Callable[..., Path]) -> None:
    for number in range(5):
        voc(f"annotations/cat{number}.xml", ("dog", 1, 1, 8, 6))
    voc("annotations/dog0.xml")
    reading = read_folder(annotated, images="images", annotations=VOC)
    without = {Path(image.path).stem for image in reading.manifest.images if image.boxes is None}
    assert without == {"cat0", "cat1", "cat2", "cat3", "cat4", "dog0"}
    tested = {Path(image.path).stem for image in reading.manifest.of("test")} & without
    assert any(
        remark.startswith(f"{len(tested)} image") and "no part in box scores" in remark for remark in reading.remarks
    )


def test_an_image_left_out_takes_its_annotation_along(annotated: Path) -> None:
    (annotated / "images/cat/cat0.png").write_bytes(b"")
    reading = read_folder(annotated, images="images", annotations=VOC, unreadable="leave_out")
    manifest, left_out = reading.manifest, reading.left_out
    assert list(left_out) == ["images/cat/cat0.png"]
    assert len(manifest.images) == 11


def test_boxes_are_of_the_upright_image(annotated: Path, draw: Callable[..., Path], voc: Callable[..., Path]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored 8 x 6, shown 6 x 8
    draw("images/cat/cat0.png", exif=exif)
    voc("annotations/cat0.xml", ("cat", 1, 1, 6, 8), size=(6, 8))
    manifest = read_folder(annotated, images="images", annotations=VOC).manifest
    image = next(image for image in manifest.images if image.path == "images/cat/cat0.png")
    assert (image.width, image.height, image.boxes) == (6, 8, ((0, 0, 6, 8),))
    voc("annotations/cat0.xml", ("cat", 1, 1, 6, 8), size=(7, 8))
    (fault,) = faults_of(annotated, images="images", annotations=VOC)
    assert "annotated as 7 x 8 pixels, but the upright image is 6 x 8" in fault


# --- wsolevaluation ---


@pytest.fixture
def wsol(tmp_path: Path) -> Path:
    """Given train and test folders, and a box for each of the 8 test images: cats are class 1, dogs 0."""
    presplit(tmp_path, "train", "test")
    ids = [f"test/{label}/{number}.png" for label in ("cat", "dog") for number in range(4)]
    files = {
        "image_ids": ids,
        "class_labels": [f"{name},{int('cat' in name)}" for name in ids],
        "image_sizes": [f"{name},8,6" for name in ids],
        "localization": [f"{name},0,1,8,5" for name in ids],
    }
    (tmp_path / "metadata/test").mkdir(parents=True)
    for name, lines in files.items():
        (tmp_path / f"metadata/test/{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_wsol_boxes_of_the_test_split(wsol: Path) -> None:
    manifest = read_folder(wsol, annotations=WSOL).manifest
    assert all(image.boxes == ((0, 1, 8, 5),) for image in manifest.of("test"))
    assert all(image.boxes is None for split in ("train", "val") for image in manifest.of(split))


def test_wsol_coordinates_are_not_moved(wsol: Path) -> None:
    edit(wsol / "metadata/test/localization.txt", "test/cat/0.png,0,1,8,5", "test/cat/0.png,-1,1,9,5")
    (fault,) = faults_of(wsol, annotations=WSOL)
    assert "box (-1, 1, 9, 5) is outside its image of 8 x 6 pixels" in fault


def test_a_test_image_without_annotation_is_told(wsol: Path, draw: Callable[..., Path]) -> None:
    draw("test/cat/new.png")
    assert read_folder(wsol, annotations=WSOL).remarks == (
        "1 image (test/cat/new.png): no annotated object of the class; these test images have no part in box scores",
    )


def test_wsol_sizes_are_checked(wsol: Path) -> None:
    edit(wsol / "metadata/test/image_sizes.txt", "test/dog/1.png,8,6", "test/dog/1.png,6,8")
    (fault,) = faults_of(wsol, annotations=WSOL)
    assert "test/dog/1.png: annotated as 6 x 8 pixels, but the upright image is 8 x 6" in fault


@pytest.mark.parametrize(("number", "usual"), [("0", "'dog' is '0'"), ("7", "'cat' is '1'")])
def test_a_wsol_number_stands_for_one_folder(wsol: Path, number: str, usual: str) -> None:
    edit(wsol / "metadata/test/class_labels.txt", "test/cat/2.png,1", f"test/cat/2.png,{number}")
    assert faults_of(wsol, annotations=WSOL) == (
        f"ROOT/metadata/test: class '{number}' for images in 'cat' (1, e.g. test/cat/2.png), "
        f"but elsewhere {usual}; correct the labels or move the images",
    )


# --- CUB-200-2011 ---


@pytest.fixture
def cub(draw: Callable[..., Path], tmp_path: Path) -> Path:
    """2 classes of 5 images, of which the first 3 are train; x y width height = 1.0 2.0 7.0 4.0 of 8 x 6 pixels."""
    names = [f"{label}/{number}.png" for label in ("001.Auk", "002.Owl") for number in range(5)]
    for name in names:
        draw(f"images/{name}")
    rows = {
        "images": [f"{n} {name}" for n, name in enumerate(names, 1)],
        "classes": ["1 001.Auk", "2 002.Owl"],
        "image_class_labels": [f"{n} {1 + (n > 5)}" for n in range(1, 11)],
        "train_test_split": [f"{n} {int((n - 1) % 5 < 3)}" for n in range(1, 11)],
        "bounding_boxes": [f"{n} 1.0 2.0 7.0 4.0" for n in range(1, 11)],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_cub_keeps_its_split_and_val_comes_out_of_train(cub: Path) -> None:
    reading = read_folder(cub, images="images", annotations=CUB)
    assert reading.layout.endswith("; train and test are given by the annotations; val is drawn from train")
    manifest = reading.manifest
    assert counts(manifest) == {"train": 4, "val": 2, "test": 4}
    assert [image.path for image in manifest.of("test")] == [
        f"images/{label}/{number}.png" for label in ("001.Auk", "002.Owl") for number in (3, 4)
    ]
    assert all(image.boxes == ((1, 2, 8, 6),) for image in manifest.images)


def test_cub_faults(cub: Path, draw: Callable[..., Path]) -> None:
    edit(cub / "bounding_boxes.txt", "3 1.0 2.0 7.0 4.0", "3 1.0 2.0 9.0 4.0")
    edit(cub / "image_class_labels.txt", "7 2", "7 1")
    edit(cub / "images.txt", "5 001.Auk/4.png", "5 001.Auk/9.png")
    faults = faults_of(cub, images="images", annotations=CUB)
    assert faults == (
        "ROOT: class '001.Auk' for images in '002.Owl' (1, e.g. 002.Owl/1.png), but elsewhere '001.Auk' is "
        "'001.Auk'; correct the labels or move the images",
        "ROOT/bounding_boxes.txt: 001.Auk/2.png: box (1, 2, 10, 6) is outside its image of 8 x 6 pixels; correct it",
        "ROOT/images: 1 image (001.Auk/4.png): in no split, though annotations give one to others; give these one too,"
        " or remove them",
    )


def test_a_class_that_cub_has_in_train_only(cub: Path) -> None:
    for number in (9, 10):
        edit(cub / "train_test_split.txt", f"{number} 0", f"{number} 1")
    assert faults_of(cub, images="images", annotations=CUB) == (
        "ROOT/images: class '002.Owl' has no image in test; add some or remove the class",
    )


# --- Masks ---


def test_masks_are_optional_for_each_image_and_mirror_its_path(flat: Path) -> None:
    (flat / "masks/cat").mkdir(parents=True)
    Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(flat / "masks/cat/3.png")
    manifest = read_folder(flat, masks="masks").manifest
    masked = [image for image in manifest.images if image.mask]
    assert manifest.classes == ("cat", "dog")
    assert [(image.path, image.mask) for image in masked] == [("cat/3.png", "masks/cat/3.png")]
    assert masked[0].mask_sha256
    before = manifest.digest()
    Image.fromarray(np.eye(6, 8, 1, dtype=np.uint8)).save(flat / "masks/cat/3.png")
    assert read_folder(flat, masks="masks").manifest.digest() != before


def test_faults_of_masks(flat: Path) -> None:
    (flat / "masks/cat").mkdir(parents=True)
    Image.fromarray(np.eye(8, 6, dtype=np.uint8)).save(flat / "masks/cat/0.png")
    (flat / "masks/cat/3.png").touch()
    assert faults_of(flat, masks="masks") == (
        "ROOT/masks/cat/3.png: empty file (0 bytes); replace it or remove it",
        "ROOT/masks/cat/0.png: 6 x 8 pixels, but its image is 8 x 6; draw it again",
    )
    shutil.rmtree(flat / "masks")
    (flat / "masks").mkdir()
    (fault,) = faults_of(flat, masks="masks")
    assert fault.startswith("ROOT/masks: no masks (.apng, ")
    Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(flat / "masks/99.png")
    assert faults_of(flat, masks="masks") == (
        "ROOT/masks/99.png: no image 99 in ROOT; add the image or remove the mask",
    )


# --- All of it ---


def test_all_faults_are_listed_at_once(annotated: Path, draw: Callable[..., Path], voc: Callable[..., Path]) -> None:
    images = annotated / "images"
    broken = break_images(images)
    for path in broken:
        voc(f"annotations/{Path(path).stem}.xml", ("cat", 1, 1, 8, 6))
    (images / "empty").mkdir()
    (images / "cat/notes.txt").touch()
    draw("images/single/one.png")
    voc("annotations/one.xml", ("single", 1, 1, 8, 6))
    voc("annotations/cat0.xml", ("cat", 1, 1, 80, 6))
    voc("annotations/cat1.xml", ("cat", 1, 1, 8, 6), size=(80, 60))
    voc("annotations/nobody.xml", ("cat", 1, 1, 8, 6))
    (annotated / "annotations/cat2.xml").write_text("<annotation>")
    (annotated / "annotations/cat3.xml").unlink()
    (annotated / "masks/dog").mkdir(parents=True)
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(annotated / "masks/dog/dog0.png")
    faults = faults_of(annotated, images="images", annotations=VOC, masks="masks")
    expected = [
        "empty: empty class folder",
        "cat/cut.jpg: truncated",
        "cat/none.jpg: empty file",
        "cat/page.jpg: not an image",
        "cat2.xml: not a VOC annotation",
        "cat0.xml: cat/cat0.png: box (0, 0, 80, 6) is outside",
        "cat1.xml: cat/cat1.png: annotated as 80 x 60",
        "class 'single': 1 image",
        "masks/dog/dog0.png: 9 x 9 pixels",
    ]
    assert len(faults) == len(expected)
    for fault, text in zip(faults, expected, strict=True):
        assert text in fault


def test_imagenette(real: Callable[[str], Path], tmp_path: Path) -> None:
    def some(folder: str, names: list[str]) -> list[str]:
        """Of the many photographs for training, 40 of each class are enough."""
        return sorted(names)[40:] if Path(folder).parent.name == "train" else []

    root = shutil.copytree(real("imagenette-wsol"), tmp_path / "imagenette", ignore=some)
    reading = read_folder(root, annotations=WSOL)
    manifest, left_out = reading.manifest, reading.left_out
    assert left_out == {}
    assert len(manifest.classes) == 10
    held = Counter((image.label, image.split) for image in manifest.images)
    assert all([held[label, s] for s in SPLITS] == [34, 6, 50] for label in manifest.classes)
    assert sum(len(image.boxes or ()) for image in manifest.images) == 813
    assert all(image.boxes for image in manifest.of("test"))
    assert not any(image.boxes for image in manifest.of("train"))
    tench = next(image for image in manifest.images if image.path == "test/tench/ILSVRC2012_val_00000293.jpg")
    assert tench.boxes == ((78, 110, 224, 204), (106, 77, 223, 167))  # the first two lines of localization.txt


def test_raccoon_and_kangaroo_stop_at_the_truncated_photograph(real: Callable[[str], Path]) -> None:
    (fault,) = faults_of(real("raccoon-kangaroo"), images="images", annotations=VOC)
    assert fault.startswith("ROOT/images/kangaroo/kangaroo-00090.jpg: truncated or damaged (")


def test_raccoon_and_kangaroo_without_the_truncated_photograph(real: Callable[[str], Path]) -> None:
    root = real("raccoon-kangaroo")
    reading = read_folder(root, images="images", annotations=VOC, unreadable="leave_out")
    manifest, left_out = reading.manifest, reading.left_out
    assert list(left_out) == ["images/kangaroo/kangaroo-00090.jpg"]
    assert Counter(image.label for image in manifest.images) == {"kangaroo": 163, "raccoon": 200}
    # 163: val 24, test 41; 200: val 30, test 50
    assert counts(manifest) == {"train": 218, "val": 54, "test": 91}
    # 483 objects in all, of which the truncated photograph has 3
    assert sum(len(image.boxes or ()) for image in manifest.images) == 480
    where: dict[str, set[str]] = {}
    for image in manifest.images:
        where.setdefault(image.sha256, set()).add(image.split)
    assert len(where) == 358  # 5 photographs are there twice
    assert all(len(splits) == 1 for splits in where.values())


# --- what decoding lost ---


def test_images_that_decoding_left_dark_flat_or_clipped_are_told(flat: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 4096, (6, 8)).astype(np.uint16)).save(flat / "cat/0.png")  # 12 bits in 16
    Image.fromarray(rng.integers(0, 40, (6, 8, 3), np.uint8)).save(flat / "dog/0.png")
    clear = np.dstack([rng.integers(0, 256, (6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)])  # alpha 0
    Image.fromarray(clear).save(flat / "cat/1.png")
    Image.fromarray(rng.choice(np.array([0, 255], np.uint8), (6, 8, 3))).save(flat / "cat/2.png")
    remarks = read_folder(flat).remarks
    assert [remark.partition(";")[0] for remark in remarks] == [
        "2 images (cat/0.png, dog/0.png): nearly black, no value is above 40 of 255",
        "1 image (cat/1.png): one colour only",
        "1 image (cat/2.png): black and white only",
    ]
