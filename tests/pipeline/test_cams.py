"""Which images are shown, what is read of a cell's results, and that a cell's folder is whole or untouched."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from acol.data.manifest import Image, Manifest, write_manifest
from acol.errors import InputError
from acol.figures.panels import CellPrediction
from acol.recipe import Recipe
from pipeline import cams, places
from pipeline.pictures import choose_sample, prediction, read_curve, worst_failures
from pipeline.results import Results, read_images, read_results

HOSTILE = "-dog $x$ 名.png"
NAMES = {"cat/a.png": "cat", "cat/b.png": "cat", f"NA/{HOSTILE}": "NA", "NA/007.png": "NA"}


def images_csv(rows: list[dict[str, object]]) -> pd.DataFrame:
    blank = {"probability": 0.5, "correct": 1, "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0, "iou": np.nan}
    return pd.DataFrame([blank | row for row in rows])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the stages before `cams` leave, for the cell resnet18-pn-0.6 and four test images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = Path("photos")
    for path in NAMES:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(root / path)
    images = [Image(path, label, "test", "0" * 64, 30, 20, ((2, 2, 20, 15),)) for path, label in NAMES.items()]
    train = Image("cat/train.png", "cat", "train", "0" * 64, 30, 20)
    write_manifest(places.MANIFEST, Manifest(root, ("NA", "cat"), (*images, train)))
    results, models = Path("results/resnet18-pn-0.6"), Path("models/resnet18-pn-0.6")
    for folder in (results, models):
        folder.mkdir(parents=True)
    rows = [{"path": path, "label": label, "predicted": label, "iou": 0.7} for path, label in NAMES.items()]
    rows[1] |= {"predicted": "NA", "correct": 0, "probability": 0.9}
    (results / "details.json").write_text("{}")
    images_csv(rows).to_csv(results / "images.csv", index=False)
    maps = rng.random((4, 2, 5, 5)).astype(np.float16)
    np.savez(results / "maps.npz", paths=np.array(list(NAMES)), cams=maps, map=maps[:, 0], predicted_map=maps[::-1, 0])
    history: dict[str, list[float]] = {
        "epoch": [1, 2],
        "train_loss": [3, 2],
        "train_loss_1": [1, 1],
        "train_loss_2": [2, 1],
    }
    history |= {key.replace("train", "val"): value for key, value in history.items() if key != "epoch"}
    history |= {"train_accuracy": [0.5, 0.6], "val_accuracy": [0.5, 0.6]}
    pd.DataFrame(history).to_csv(models / "history.csv", index=False)
    summary = {"letters": "pn", "num_classes": 2, "best_epoch": 2}
    (models / "summary.json").write_text(json.dumps(summary))
    return tmp_path


# --- which images ------------------------------------------------------------------------------------------------

many = st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from("abcde"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=50)
@given(images=many, count=st.integers(0, 50), seed=st.integers(0, 5))
def test_a_sample_sees_every_class_in_turn(images: dict[str, str], count: int, seed: int) -> None:
    chosen = choose_sample(list(images.items()), count, seed)
    assert len(chosen) == len(set(chosen)) == min(count, len(images))
    seen = {label: sum(images[path] == label for path in chosen) for label in set(images.values())}
    held = {label: list(images.values()).count(label) for label in seen}
    for label, number in seen.items():  # no class is ahead of one that still had images to give, by more than one
        assert all(number <= seen[other] + 1 for other in seen if seen[other] < held[other]), label
    assert chosen == choose_sample(list(reversed(images.items())), count, seed)


def test_another_seed_chooses_other_images() -> None:
    images = [(f"{number}.png", "ab"[number % 2]) for number in range(100)]
    assert choose_sample(images, 4, 0) != choose_sample(images, 4, 1)


def test_another_image_moves_at_most_one_choice() -> None:
    images = [(f"{number}.png", "ab"[number % 2]) for number in range(100)]
    before, after = (set(choose_sample(some, 10, 0)) for some in (images, [*images, ("new.png", "a")]))
    assert len(before - after) <= 1


def test_worst_failures_are_confident_errors_then_bad_boxes() -> None:
    images = images_csv(
        [
            {"path": "right", "iou": 0.8},
            {"path": "missed", "iou": 0.3},
            {"path": "worse missed", "iou": 0.1},
            {"path": "unsure", "correct": 0, "probability": 0.4, "iou": 0.0},
            {"path": "sure", "correct": 0, "probability": 0.9, "iou": 0.9},
            {"path": "also sure", "correct": 0, "probability": 0.9},
        ]
    )
    order = ["also sure", "sure", "unsure", "worse missed", "missed"]
    assert worst_failures(images, 10) == order
    assert worst_failures(images, 2) == order[:2]


def test_without_boxes_only_wrong_classes_are_failures() -> None:
    images = images_csv([{"path": "a"}, {"path": "b", "correct": 0}])
    assert worst_failures(images, 5) == ["b"]


# --- reading -----------------------------------------------------------------------------------------------------


def test_names_that_look_like_values_stay_names(project: Path) -> None:
    images = read_images(Path("results/resnet18-pn-0.6/images.csv"))
    assert list(images["path"]) == list(NAMES)
    assert list(images["label"]) == ["cat", "cat", "NA", "NA"]
    first = next(iter(NAMES))
    answer = prediction(read_results(Path("results/resnet18-pn-0.6"), [first]), first)
    assert answer == CellPrediction("cat", 0.5, (1, 1, 9, 9), 0.7)


def test_no_boxes_are_no_boxes(tmp_path: Path) -> None:
    row = {"path": "a", "label": "nan", "predicted": "nan", **dict.fromkeys(("x0", "y0", "x1", "y1"))}
    images_csv([row]).to_csv(tmp_path / "images.csv", index=False)
    answers = read_images(tmp_path / "images.csv").set_index("path").to_dict("index")
    assert prediction(Results(answers, {}, {}, {}), "a") == CellPrediction("nan", 0.5)


def test_maps_are_found_by_path(project: Path) -> None:
    results = read_results(Path("results/resnet18-pn-0.6"), ["NA/007.png"])
    maps = np.load("results/resnet18-pn-0.6/maps.npz")
    assert list(results.true_cams) == ["NA/007.png"]
    assert (results.true_cams["NA/007.png"] == maps["cams"][3]).all()
    assert (results.maps["NA/007.png"] == maps["map"][3]).all()
    assert (results.predicted_maps["NA/007.png"] == maps["predicted_map"][3]).all()


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 cut off", b"\x80\x04."])
def test_a_broken_file_is_named(project: Path, broken: bytes) -> None:
    folder = Path("results/resnet18-pn-0.6")
    (folder / "maps.npz").write_bytes(broken)
    with pytest.raises(InputError, match=r"maps\.npz") as caught:
        read_results(folder)
    assert "\n" not in str(caught.value)


def test_maps_of_another_split_are_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"no map of 'other\.png'"):
        read_results(Path("results/resnet18-pn-0.6"), ["other.png"])


def test_a_missing_file_is_named(project: Path) -> None:
    Path("models/resnet18-pn-0.6/history.csv").unlink()
    with pytest.raises(InputError, match=r"history\.csv: missing"):
        read_curve(Path("models/resnet18-pn-0.6"), Path("results/resnet18-pn-0.6"))


# --- writing -----------------------------------------------------------------------------------------------------


def test_the_stage_draws_its_cell(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = SimpleNamespace(name="resnet18-pn-0.6", recipe=Recipe.parse("pn-0.6"))
    params = SimpleNamespace(
        cams=SimpleNamespace(sample=2, failures=3, seed=0), data=SimpleNamespace(root=Path("photos"))
    )
    monkeypatch.setattr("pipeline.cli.cell_arguments", lambda _: (params, cell))
    cams.main()
    folder = Path("cams/resnet18-pn-0.6")
    names = ["curves.png", "failure-01.png", "overview.png", "sample-01.png", "sample-02.png"]
    names += ["view-01.png", "view-02.png"]
    assert sorted(file.name for file in folder.iterdir()) == names  # there is but one failure
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    cams.main()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first
    assert not any(Path("cams").glob(".*"))


def test_the_stage_stops_with_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = SimpleNamespace(name="resnet18-p", recipe=Recipe.parse("p"))
    params = SimpleNamespace(
        cams=SimpleNamespace(sample=2, failures=3, seed=0), data=SimpleNamespace(root=Path("photos"))
    )
    monkeypatch.setattr("pipeline.cli.cell_arguments", lambda _: (params, cell))
    monkeypatch.setattr(sys, "argv", ["cams"])
    with pytest.raises(SystemExit, match="2"):
        cams.main()
    assert capsys.readouterr().err.splitlines() == [
        "error: results/resnet18-p/images.csv: missing; run the stage that writes it (dvc repro)"
    ]
    assert not Path("cams").exists()
