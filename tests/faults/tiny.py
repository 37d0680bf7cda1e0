"""A real training of a second or two: real images on disk, the pipeline's own `fit`."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from acol.data.transforms import Preprocessing
from acol.head import Head
from acol.ingest.folder import read_folder
from acol.training.settings import TrainingSettings
from pipeline import cli, train
from pipeline.train import Job

BACKBONE = "shufflenet_v2_x0_5"


def write_images(folder: Path) -> None:
    """Write class folders of small noisy images whose brightest channel is the class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3), ("test", 1)):
        for channel, name in enumerate(("red", "green", "blue")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                pixels[:, :, channel] += 100
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def job_on(images: Path, backbone: str = BACKBONE, lr: float = 0.001) -> Job:
    """Return the training of three epochs of four steps on these images."""
    manifest = read_folder(images, val_fraction=0.2, test_fraction=0.2, seed=0, unreadable="stop").manifest
    return Job(
        cell=f"{backbone}-pn-0.6",
        backbone=backbone,
        model=backbone,
        head=Head.parse("pn-0.6"),
        manifest=manifest,
        weights=None,
        classifier=None,
        weights_sha256=None,
        output_stride=16,
        preprocessing=Preprocessing(32, 40),
        settings=TrainingSettings(3, 6, lr, 0.005, "sgd", weight_decay=1e-4, warmup=0.25, seed=3),
        device=torch.device("cpu"),
        precision="float32",
        parameters={},
    )


def fit(images: Path, folder: Path, backbone: str = BACKBONE, lr: float = 0.001) -> None:
    """Train into `folder`, saving the state after every step."""
    torch.set_num_threads(1)
    train._SAVE_EVERY = 0
    train.fit(job_on(images, backbone, lr), folder / "model", folder / "timing.csv", folder / "runs", folder / "cache")


if __name__ == "__main__":
    cli.main(lambda: fit(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))()
