"""Tiny networks and image folders, made as each test needs them, and the real images beside the repository."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acol import ACoL
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.network.distributed import ALONE
from acol.training.loop import Training
from acol.training.settings import TrainingSettings
from tests.toy import toy_model

REAL = Path(__file__).parents[2].parent / "shared" / "data"


def coloured(count, size, seed):
    """Images of noise whose brightest channel is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 120, (count, size, size, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, labels] += 100
    return LabelledImages(pixels, labels.astype(np.int64), [f"{seed}/{index}.png" for index in range(count)])


@pytest.fixture
def easy_images():
    """Make (count, size, seed) images of noise whose brightest channel is the class."""
    return coloured


@pytest.fixture
def tiny_training():
    """Make a training of a few steps on an easy task, always the same; of three layers if no backbone is named."""

    def make(recipe="pn-0.6", epochs=3, backbone=None, world=ALONE, method=None, cache=None, **settings):
        torch.manual_seed(7)
        settings = {"epochs": epochs, "batch_size": 6, "lr": 0.01, "classifier_lr": 0.02, "seed": 3} | settings
        settings = {"freeze": "none"} | settings
        # The tests' figures are those of plain SGD.
        settings = {"optimizer": "sgd", "weight_decay": 1e-4, "warmup": 0.25} | settings
        return Training(
            model=toy_model(recipe, 3) if backbone is None else ACoL(backbone, recipe, 3, output_stride=16),
            train=coloured(24, 40, 0),
            val=coloured(9, 32, 1),
            preprocessing=Preprocessing(32, 40),
            settings=TrainingSettings(**settings),
            device=torch.device("cpu"),
            precision="float32",
            cache=cache,
            world=world,
            method=method,
        )

    return make


@pytest.fixture
def real() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"the real data set {name} is not under {REAL}")
        return REAL / name

    return find


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that draws an image nobody else has, of (width, height), under tmp_path."""
    numbers = count()

    def draw(path: str, size: tuple[int, int] = (8, 6), **options: object) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(next(numbers)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, **options)
        return file

    return draw


@pytest.fixture
def flat(draw: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of 2 classes with 6 images each, cat/0.png ... dog/5.png, all 8 x 6 pixels."""
    for label in ("cat", "dog"):
        for number in range(6):
            draw(f"{label}/{number}.png")
    return tmp_path


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a Pascal VOC file of objects (name, xmin, ymin, xmax, ymax)."""

    def write(path: str, *objects: tuple[object, ...], size: tuple[int, int] | None = (8, 6)) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
        for name, *corners in objects:
            tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
            box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
            text += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
        file.write_text(f"<annotation>{text}</annotation>")
        return file

    return write
