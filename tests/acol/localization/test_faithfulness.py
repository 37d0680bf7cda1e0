import numpy as np
import pytest
import torch

from acol import ACoL
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.faithfulness import faithfulness
from acol.localization.inference import run_split

PREPROCESSING = Preprocessing(64, 72)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured():
    """A model that answers "bright" by how bright the image is, asked of images with one bright corner."""
    model = ACoL("resnet18", "p", 2, output_stride=16).eval()

    class Brightness(torch.nn.Module):
        channels = 1

        def forward(self, images):
            return torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 16)

    model.backbone = Brightness()
    model.classifiers[0] = torch.nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        model.classifiers[0].weight.copy_(torch.tensor([3.0, -3.0]).view(2, 1, 1, 1))
        model.classifiers[0].bias.copy_(torch.tensor([5.0, -5.0]))
    pixels = np.zeros((6, 64, 64, 3), np.uint8)
    pixels[:, :32, :32] = 255
    images = LabelledImages(pixels, np.zeros(6, np.int64), [str(n) for n in range(6)])
    outputs = run_split(model, [images], PREPROCESSING, device=CPU, precision="float32", batch_size=4)
    return model, images, outputs


def measure(measured, outputs, images=4, seed=0):
    model, view, _ = measured
    settings = {"device": CPU, "precision": "float32", "batch_size": 3, "images": images, "seed": seed}
    return faithfulness(model, view, outputs, PREPROCESSING, **settings)


def test_a_sample_is_measured_and_the_rest_is_not(measured):
    found = measure(measured, measured[2])
    assert set(found) == {"deletion", "insertion", "average_drop", "average_increase"}
    sampled = {name: np.isfinite(values) for name, values in found.items()}
    assert all(finite.sum() == 4 and (finite == sampled["deletion"]).all() for finite in sampled.values())
    assert np.isfinite(measure(measured, measured[2], images=100)["deletion"]).all()  # more than there are: all
    again = measure(measured, measured[2])
    assert all(np.array_equal(found[name], again[name], equal_nan=True) for name in found)


def test_a_map_of_what_the_model_looks_at_is_more_faithful_than_its_opposite(measured):
    outputs = measured[2]
    assert outputs.logits[0].argmax(axis=1).tolist() == [0] * 6
    right = measure(measured, outputs)
    inverted = type(outputs)(outputs.logits, outputs.cams, 1 - outputs.predicted_cams)
    wrong = measure(measured, inverted)
    sampled = np.isfinite(right["deletion"])
    assert (right["deletion"] < wrong["deletion"])[sampled].all()
    assert (right["insertion"] > wrong["insertion"])[sampled].all()
