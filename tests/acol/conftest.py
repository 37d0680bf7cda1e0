import numpy as np
import pytest
import torch

from acol import ACoL
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.training import Training, TrainingSettings


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
    """Make a training of a few steps on an easy task, always the same."""

    def make(recipe="pn-0.6", epochs=3, backbone="shufflenet_v2_x0_5", **settings):
        torch.manual_seed(7)
        return Training(
            model=ACoL(backbone, recipe, 3, output_stride=16),
            train=coloured(24, 40, 0),
            val=coloured(9, 32, 1),
            preprocessing=Preprocessing(32, 40),
            settings=TrainingSettings(
                **{"epochs": epochs, "batch_size": 6, "lr": 0.01, "classifier_lr": 0.02, "seed": 3} | settings
            ),
            device=torch.device("cpu"),
            precision="float32",
        )

    return make
