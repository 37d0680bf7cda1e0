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
from pipeline.predict import check_inputs, common_folder, folder_labels, image_paths, relative_names
from pipeline.sample import draw_sample

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
    ("arguments", "paths"),
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
def test_files_folders_and_patterns_name_images(arguments, paths, folder):
    assert [str(path) for path in image_paths(arguments)] == paths


def test_what_names_no_image_is_refused(folder):
    with pytest.raises(Faults) as refused:
        image_paths(["empty", "*.bmp", "a.jpg"])
    assert refused.value.faults == (
        "empty: no image in this folder; name image files, folders or patterns",
        "*.bmp: no image matches this pattern; name image files, folders or patterns",
    )


def test_images_whose_masks_would_share_a_file_are_refused(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b/a.png", "a.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    names = relative_names(paths, tmp_path)
    check_inputs(names, tmp_path / "new", ["coco", "yolo"])
    with pytest.raises(Faults) as refused:
        check_inputs(names, tmp_path / "new", ["masks"])
    (fault,) = refused.value.faults
    assert fault.startswith(f"{paths[0]} and {paths[2]}: their masks would have one name")


def test_names_that_no_file_of_labels_can_hold_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    names = relative_names([tmp_path / "a.png"], tmp_path)
    for name in ("b\n.png", "c\x01.png", "d\udce9.png", "日本\u3000é,.png"):
        path = (tmp_path / "a.png").rename(tmp_path / name)
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        names[path] = name
    check_inputs(names, tmp_path / "new", ["masks"])
    with pytest.raises(Faults) as refused:
        check_inputs(names, tmp_path / "new", ["voc"])
    problem = "its name is not UTF-8, or has a control character; rename it"
    assert [fault.partition(": ")[2] for fault in refused.value.faults] == [problem] * 3


@pytest.mark.parametrize("text", ["hello", 'acol_images_total 2\nacol_predictions_total{class="a"} 3\n'])
def test_a_file_that_is_no_counts_is_refused_before_anything_is_predicted(text, folder, monkeypatch, capsys):
    Image.new("RGB", (8, 8)).save("a.jpg")
    Path("counts.txt").write_text(text)
    monkeypatch.setattr(sys, "argv", ["predict", "a.jpg", "--out", "new", "--counts", "counts.txt"])
    with pytest.raises(SystemExit, match="2"):
        predict.main()
    assert capsys.readouterr().err.startswith("error: counts.txt: counts no images, or more of something; name")
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("arguments", "base"),
    [(["deep"], "deep"), (["deep/er"], "deep/er"), (["deep", "a.jpg"], ""), (["deep/er/e.JPG"], "deep/er")],
)
def test_names_are_relative_to_the_folder_that_is_named(arguments, base, folder):
    # Not to the only class folder in it: other readers look below what the user named.
    assert common_folder(arguments, image_paths(arguments)) == Path.cwd() / base


def test_one_setting_says_what_computes(folder, monkeypatch, capsys):
    assert cli.device_name() == "auto"  # outside of a project
    Path("params.yaml").write_text(PARAMS.read_text().replace("device: auto", "device: gpu"))
    assert cli.device_name() == "gpu"
    monkeypatch.setattr(sys, "argv", ["predict", "a.jpg", "--out", "new"])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: device 'gpu'")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["deep", "--out", "deep/new"], "--out deep/new: lies in deep, where its pictures would be read as images"),
        ([".", "--out", "new"], "--out new: lies in ."),
        (["", "--out", "new"], "an empty argument"),
    ],
)
def test_what_would_mix_images_and_results_is_refused(arguments, line, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["predict", *arguments])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_a_checkpoint_alone_has_the_threshold_that_the_pipeline_starts_with():
    assert load_params(PARAMS).evaluate.tau == TAU


def test_a_sample_has_each_class_in_its_share_and_grows_with_its_number():
    images = [
        Labelled(f"{label}/{n}.png", label, "test", "0", 8, 8)
        for label, many in (("a", 30), ("b", 10))
        for n in range(many)
    ]
    few, more = draw_sample(images, 8, seed=1), draw_sample(images, 20, seed=1)
    assert Counter(image.label for image in few) == {"a": 6, "b": 2}
    assert Counter(image.label for image in more) == {"a": 15, "b": 5}
    assert {image.path for image in few} < {image.path for image in more}
    assert [image.path for image in few] == sorted(image.path for image in few)
    assert few != draw_sample(images, 8, seed=2)
    assert draw_sample(images, 40, seed=3) == sorted(images, key=lambda image: image.path)
    # A share of a quarter of an image comes in a quarter of the draws.
    single = sum(draw_sample(images, 1, seed)[0].label == "b" for seed in range(400))
    assert 70 < single < 130


def test_the_folder_of_an_image_may_be_its_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [Path("cat/1.jpg"), Path("dog/1.jpg"), Path("dogs/2.jpg")]
    assert folder_labels(images[:2], ("cat", "dog")) == {images[0]: "cat", images[1]: "dog"}
    with pytest.raises(Faults, match="--class-folders: is no class of the model; did you mean dog"):
        folder_labels(images, ("cat", "dog"))
