"""`data.source: torchvision`, on folders as torchvision leaves them after its download."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acol.data.manifest import SPLITS
from acol.data.masks import true_mask
from acol.errors import InputError
from acol.ingest.folder import Reading
from pipeline.params import Data
from pipeline.split import split
from pipeline.strict_yaml import parse_settings

SIZE = (40, 30)
PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def draw(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(path)


def read(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.chdir(root)
    changes = {"source": "torchvision", "name": name, "path": "sets"}
    return split(changes)


def counts(reading: Reading) -> dict[str, Counter[str]]:
    return {part: Counter(image.label for image in reading.manifest.of(part)) for part in SPLITS}


def test_pets_have_their_splits_and_trimaps(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "sets/oxford-iiit-pet"
    for part, numbers in (("trainval", range(1, 7)), ("test", range(7, 10))):
        lines = []
        for number, kind in enumerate(("Abyssinian", "basset_hound"), 1):
            for n in numbers:
                draw(base / f"images/{kind}_{n}.jpg", rng)
                trimap = np.full((SIZE[1], SIZE[0]), 2, np.uint8)
                trimap[5:25, 5:35], trimap[8:22, 8:32] = 3, 1
                (base / "annotations/trimaps").mkdir(parents=True, exist_ok=True)
                Image.fromarray(trimap).save(base / f"annotations/trimaps/{kind}_{n}.png")
                lines.append(f"{kind}_{n} {number} {number} 1\n")
        (base / f"annotations/{part}.txt").write_text("".join(lines))
    reading = read("OxfordIIITPet", tmp_path, monkeypatch)
    assert counts(reading) == {
        part: {"Abyssinian": count, "Basset Hound": count} for part, count in zip(SPLITS, (5, 1, 3), strict=True)
    }
    image = reading.manifest.of("test")[0]
    mask = true_mask(image, reading.manifest.root, reading.manifest.mask_values, SIZE)
    assert {value: int((mask == value).sum()) for value in (1, 255)} == {1: 14 * 24, 255: 20 * 30 - 14 * 24}


def test_a_set_without_splits_is_divided_here(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("Forest", "River"):
        for n in range(8):
            draw(tmp_path / f"sets/eurosat/2750/{kind}/{kind}_{n}.jpg", rng)
    assert counts(read("EuroSAT", tmp_path, monkeypatch))["test"] == {"Forest": 2, "River": 2}


def test_imagenettes_validation_is_its_test(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val"):
        for wnid in ("n01440764", "n03028079"):
            for n in range(4):
                draw(tmp_path / f"sets/imagenette2/{part}/{wnid}/{wnid}_{part}_{n}.JPEG", rng)
    # torchvision looks for its fixed list of classes; two of the ten are enough to read
    assert counts(read("Imagenette", tmp_path, monkeypatch))["test"] == {"tench": 4, "church": 4}


def test_a_missing_set_that_cannot_be_downloaded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.dtd.download_and_extract_archive", refuse)
    with pytest.raises(InputError, match=r"^DTD: not whole in sets, and torchvision cannot download it \(no network\)"):
        read("DTD", tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"data\.name: no data set Dtd of image files; choose one of DTD, "):
        read("Dtd", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"source": "torchvision"}, "source torchvision and name belong together"),
        ({"name": "DTD"}, "source torchvision and name belong together"),
        ({"source": "torchvision", "name": "DTD", "images": "x"}, "source torchvision knows images"),
        ({"source": "folder", "path": "~/photos"}, "expands neither ~ nor variables; write /"),
        ({"source": "folder", "path": "$HOME/photos"}, "expands neither ~ nor variables; write /"),
    ],
)
def test_settings_of_the_source_that_contradict_each_other(changes: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        parse_settings(Data, {"path": "photos"} | changes)
