import numpy as np
import torch

from acol import ACoL, ACoLOutput
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.localization.inference import run_split
from acol.localization.maps import mean_cams

PREPROCESSING = Preprocessing(64, 72)


def views(count, *sizes):
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int64) % 3
    return [
        LabelledImages(rng.integers(0, 255, (count, size, size, 3), dtype=np.uint8), labels, [str(n) for n in labels])
        for size in sizes
    ]


def run(model, images, batch_size=4):
    device = torch.device("cpu")
    return run_split(model, images, PREPROCESSING, device=device, precision="float32", batch_size=batch_size)


def test_is_what_the_model_says_of_each_image():
    model, (images,) = ACoL("resnet18", "pn-0.6", 3, output_stride=16).eval(), views(7, 64)
    outputs = run(model, [images])
    pixels, labels = images.batch(np.arange(7))
    with torch.inference_mode():
        known, predicted = (model(PREPROCESSING.view(pixels), target) for target in (labels, None))
    np.testing.assert_allclose(outputs.logits, known.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs.cams, known.cams, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(outputs.predicted_cams, predicted.cams, rtol=1e-3, atol=1e-4)


def test_the_batch_size_changes_nothing():
    model, (images,) = ACoL("resnet18", "pp-0.6", 3).eval(), views(5, 64)
    one, all_ = run(model, [images], 1), run(model, [images], 64)
    np.testing.assert_allclose(one.logits, all_.logits, rtol=1e-4, atol=1e-5)
    assert one.cams.shape == (2, 5, 2, 2)


def test_views_share_the_logits_of_the_first_and_average_the_maps():
    model, images = ACoL("resnet18", "pn-0.6", 3, output_stride=16).eval(), views(3, 64, 96)
    alone, both = run(model, images[:1]), run(model, images)
    assert np.array_equal(alone.logits, both.logits)
    assert both.cams.shape == (2, 3, 6, 6)  # of the larger view
    assert both.cams.min() == 0
    assert both.cams.max() == 1


def output(maps):
    nothing = torch.empty(0)
    return ACoLOutput(nothing, maps.view(1, 1, 1, *maps.shape), nothing, torch.tensor([0]))


def test_mean_by_hand():
    # (0, 4) upsampled to four columns is 0, 1, 3, 4; its mean with (8, 3, 3, 0) is (4, 2, 3, 2): normalised 1, 0, ½, 0.
    small, large = torch.tensor([[0.0, 4.0]]), torch.tensor([[8.0, 3.0, 3.0, 0.0]])
    expected = torch.tensor([[[[1.0, 0.0, 0.5, 0.0]]]])
    torch.testing.assert_close(mean_cams([output(small), output(large)]), expected)
