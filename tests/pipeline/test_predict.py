"""Which images the arguments of a prediction name, what computes, and at which threshold."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from acol.data.manifest import Image as Labelled
from acol.errors import Faults
from acol.localization.regions import TAU
from pipeline import cli, predict
from pipeline.params import load_params
from pipeline.predict import base_of, check, classes_of, find_images
from pipeline.sample import drawn

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images at several depths, beside files and a folder that are none."""
    for name in (
        "a.jpg",
        "b.txt",
        "deep/c.png",
        "deep/folder.png/f.txt",
        "deep/.thumbs/d.png",
        "deep/er/e.JPG",
        "odd [1].png",
        "empty/f.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["a.jpg"], ["a.jpg"]),
        (["deep"], ["deep/c.png", "deep/er/e.JPG"]),
        (["*.jpg"], ["a.jpg"]),
        (["**/*.png"], ["deep/c.png", "odd [1].png"]),
        (["deep/c.png", "deep", "./deep/c.png"], ["deep/c.png", "deep/er/e.JPG"]),
        (["odd [1].png"], ["odd [1].png"]),
        (["missing.jpg"], ["missing.jpg"]),
    ],
    ids=["file", "folder", "pattern", "deep pattern", "named twice", "a name like a pattern", "left to the reader"],
)
def test_files_folders_and_patterns_name_images(arguments, found, folder):
    assert [str(path) for path in find_images(arguments)] == found


def test_what_names_no_image_is_refused(folder):
    with pytest.raises(Faults) as refused:
        find_images(["empty", "*.bmp", "a.jpg"])
    assert refused.value.faults == (
        "empty: no image in this folder; name image files, folders or patterns",
        "*.bmp: no image matches this pattern; name image files, folders or patterns",
    )


def test_images_whose_masks_would_share_a_file_are_refused(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b/a.png", "a.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    check(paths, tmp_path / "new", ["coco", "yolo"])
    with pytest.raises(Faults) as refused:
        check(paths, tmp_path / "new", ["masks"])
    (fault,) = refused.value.faults
    assert fault.startswith(f"{paths[0]} and {paths[2]}: their masks would have one name")


@pytest.mark.parametrize(
    ("arguments", "base"),
    [(["deep"], "deep"), (["deep/er"], "deep/er"), (["deep", "a.jpg"], ""), (["deep/er/e.JPG"], "deep/er")],
)
def test_names_are_relative_to_the_folder_that_is_named(arguments, base, folder):
    # Not to the only class folder in it: other readers look below what the user named.
    assert base_of(arguments, find_images(arguments)) == Path.cwd() / base


def test_one_setting_says_what_computes(folder, monkeypatch, capsys):
    assert cli.device_name() == "auto"  # outside of a project
    Path("params.yaml").write_text(PARAMS.read_text().replace("device: auto", "device: gpu"))
    assert cli.device_name() == "gpu"
    monkeypatch.setattr(sys, "argv", ["predict", "a.jpg", "--out", "new"])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: device 'gpu'")


def test_a_checkpoint_alone_has_the_threshold_that_the_pipeline_starts_with():
    assert load_params(PARAMS).evaluate.tau == TAU


def test_a_sample_has_each_class_in_its_share_and_grows_with_its_number():
    images = [
        Labelled(f"{label}/{n}.png", label, "test", "0", 8, 8)
        for label, many in (("a", 30), ("b", 10))
        for n in range(many)
    ]
    few, more = drawn(images, 8, seed=1), drawn(images, 20, seed=1)
    assert Counter(image.label for image in few) == {"a": 6, "b": 2}
    assert Counter(image.label for image in more) == {"a": 15, "b": 5}
    assert {image.path for image in few} < {image.path for image in more}
    assert [image.path for image in few] == sorted(image.path for image in few)
    assert few != drawn(images, 8, seed=2)
    assert drawn(images, 40, seed=3) == sorted(images, key=lambda image: image.path)
    # A share of a quarter of an image comes in a quarter of the draws.
    single = sum(drawn(images, 1, seed)[0].label == "b" for seed in range(400))
    assert 70 < single < 130


def test_the_folder_of_an_image_may_be_its_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [Path("cat/1.jpg"), Path("dog/1.jpg"), Path("dogs/2.jpg")]
    assert classes_of(images[:2], ("cat", "dog")) == {images[0]: "cat", images[1]: "dog"}
    with pytest.raises(Faults, match="--class-folders: is no class of the model; did you mean dog"):
        classes_of(images, ("cat", "dog"))
