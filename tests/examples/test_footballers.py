"""The drawn footballers: reproducible, with truthful boxes and masks; only the class's part tells of the class."""

from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acol.errors import InputError
from examples.footballers.draw import CLASSES, draw_footballers, footballer
from examples.footballers.player import kit_of

PER_CLASS = 80
SIZE = 64


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    return {label: [footballer(label, index, size=SIZE, seed=0) for index in range(PER_CLASS)] for label in CLASSES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footballers")
    draw_footballers(folder, per_class=6, size=SIZE, seed=3)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    draw_footballers(tmp_path, per_class=6, size=SIZE, seed=3)
    assert _contents(tmp_path) == _contents(folder)


def test_another_seed_gives_other_images(folder: Path, tmp_path: Path) -> None:
    draw_footballers(tmp_path, per_class=6, size=SIZE, seed=4)
    ours, others = _contents(tmp_path), _contents(folder)
    assert ours.keys() == others.keys()
    assert all(ours[name] != others[name] for name in ours if name.startswith("images"))


def test_a_larger_set_keeps_the_images_of_the_smaller(folder: Path, tmp_path: Path) -> None:
    draw_footballers(tmp_path, per_class=7, size=SIZE, seed=3)
    larger, smaller = _contents(tmp_path), _contents(folder)
    assert smaller.items() < larger.items()


def test_drawing_over_the_same_set_mends_it(folder: Path, tmp_path: Path) -> None:
    draw_footballers(tmp_path, per_class=6, size=SIZE, seed=3)
    cut = tmp_path / "images" / "mohawk" / "mohawk-0002.jpg"
    cut.write_bytes(b"")
    draw_footballers(tmp_path, per_class=6, size=SIZE, seed=3)
    assert _contents(tmp_path) == _contents(folder)


def test_images_of_another_drawing_are_refused(tmp_path: Path) -> None:
    draw_footballers(tmp_path, per_class=2, size=SIZE)
    before = _contents(tmp_path)
    with pytest.raises(InputError, match=r"hoops-0001\.jpg: not part of this drawing"):
        draw_footballers(tmp_path, per_class=1, size=SIZE)
    assert _contents(tmp_path) == before


def test_each_class_has_as_many_readable_images_with_masks_and_annotations(folder: Path) -> None:
    for label in CLASSES:
        images = sorted((folder / "images" / label).iterdir())
        assert len(images) == 6
        for image in images:
            with Image.open(image) as picture:
                picture.load()
                assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))
            with Image.open(folder / "masks" / label / f"{image.stem}.png") as mask:
                assert (mask.mode, mask.size) == ("L", (SIZE, SIZE))
                assert set(np.unique(np.asarray(mask))) == {0, 255}
            assert (folder / "annotations" / f"{image.stem}.xml").is_file()
    assert len(list((folder / "annotations").iterdir())) == 6 * len(CLASSES)


def test_the_annotation_is_tight_around_the_mask_in_one_based_inclusive_pixels(folder: Path) -> None:
    for path in sorted((folder / "annotations").iterdir()):
        root = ElementTree.parse(path).getroot()
        label = root.findtext("object/name")
        assert len(root.findall("object")) == 1
        assert (folder / "images" / str(label) / str(root.findtext("filename"))).is_file()
        assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == [str(SIZE), str(SIZE), "3"]
        with Image.open(folder / "masks" / str(label) / f"{path.stem}.png") as mask:
            x0, y0, x1, y1 = _box(np.asarray(mask))
        written = [int(str(root.findtext(f"object/bndbox/{corner}"))) for corner in ("xmin", "ymin", "xmax", "ymax")]
        assert written == [x0 + 1, y0 + 1, x1, y1]


def test_the_player_lies_whole_within_the_image_and_is_of_a_fair_size(drawn: dict) -> None:
    for images in drawn.values():
        for _, mask in images:
            x0, y0, x1, y1 = _box(mask)
            assert 0.3 * SIZE < max(x1 - x0, y1 - y0) < 0.95 * SIZE
            assert x0 >= 0
            assert y0 >= 0
            assert (mask > 0).mean() > 0.02


def test_something_is_drawn_where_the_mask_is(drawn: dict) -> None:
    # A player's rim is a dark outline against the scene: the image is steeper along the mask's rim than elsewhere.
    rim, elsewhere = [], []
    for image, mask in (pair for images in drawn.values() for pair in images):
        grey = image.mean(2)
        steep, changes = np.abs(np.diff(grey, axis=1)), np.diff((mask > 0).astype(int), axis=1) != 0
        rim.append(steep[changes].mean())
        elsewhere.append(steep[~changes].mean())
    assert np.mean(np.array(rim) > np.array(elsewhere)) > 0.9


def test_a_box_in_the_middle_finds_few_players(drawn: dict) -> None:
    boxes = np.array([_box(mask) for images in drawn.values() for _, mask in images]) / SIZE
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    best = 0.0
    for width in np.linspace(0.2, 1, 17):
        for height in np.linspace(0.2, 1, 17):
            across = np.minimum(boxes[:, 2], 0.5 + width / 2) - np.maximum(boxes[:, 0], 0.5 - width / 2)
            down = np.minimum(boxes[:, 3], 0.5 + height / 2) - np.maximum(boxes[:, 1], 0.5 - height / 2)
            common = across.clip(0) * down.clip(0)
            best = max(best, float(np.mean(common / (areas + width * height - common) >= 0.5)))
    assert best < 0.35


def test_the_scene_does_not_tell_the_class(drawn: dict) -> None:
    features, labels = [], []
    for number, images in enumerate(drawn.values()):
        for image, mask in images:
            scene = np.where(mask[..., None] > 0, np.nan, image.astype(float))
            top, bottom = np.nanmean(scene[:16], (0, 1)), np.nanmean(scene[-16:], (0, 1))
            left, right = np.nanmean(scene[:, :8], (0, 1)), np.nanmean(scene[:, -8:], (0, 1))
            features.append(np.concatenate([top, bottom, left, right]))
            labels.append(number)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    accuracy = cross_val_score(classifier, np.nan_to_num(np.array(features)), labels, cv=5).mean()
    # Chance is 0.25, and the standard deviation of chance over 320 images is 0.024.
    assert accuracy < 0.25 + 4 * 0.024


def test_only_the_parts_that_name_the_class_differ_between_players() -> None:
    own = {
        "mohawk": {"hair", "hair_style"},
        "stripes": {"pattern", "jersey", "trim", "sock", "socks", "sock_trim"},
        "hoops": {"sock", "socks", "sock_trim"},
        "keeper": set(),
    }
    for seed in range(50):
        kits = {label: asdict(kit_of(np.random.default_rng(seed), label)) for label in CLASSES}
        for label, kit in kits.items():
            different = {name for name, value in kit.items() if value != kits["keeper"][name]}
            assert different - {"label", "boots"} <= own[label]  # the keeper's boots are neon
        assert kits["hoops"]["boots"] == kits["stripes"]["boots"]


@pytest.mark.parametrize(
    ("arguments", "named"), [({"per_class": 0}, "per_class"), ({"size": 31}, "size"), ({"seed": -1}, "seed")]
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    arguments: dict[str, int], named: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{named} is "):
        draw_footballers(tmp_path / "new", **{"per_class": 1, **arguments})
    assert not (tmp_path / "new").exists()
