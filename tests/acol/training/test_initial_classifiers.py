"""Classifiers that start from a trunk's ImageNet classifier."""

import numpy as np
import pytest
import timm
import torch

from acol import ACoL
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.network.backbones import ImageNetClassifier, imagenet_classifier
from acol.network.weights import package_file, read_state, renamed_by_order
from acol.training.initial_classifiers import PER_CLASS, start_classifiers

LITE0 = "timm/tf_efficientnet_lite0"
CPU = torch.device("cpu")


def images_of(labels):
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 64, 64, 3), dtype=np.uint8)
    return LabelledImages(pixels, np.array(labels), [str(index) for index in range(len(labels))])


def test_a_class_starts_as_the_mean_of_what_its_images_are_known_as():
    torch.manual_seed(0)
    model = ACoL("timm/test_resnet", "pnp-0.9-0.8", num_classes=2)
    channels = model.backbone.channels
    known = ImageNetClassifier(torch.randn(5, channels), torch.randn(5))
    images, view = images_of([0, 1, 0, *[1] * (PER_CLASS + 3)]), Preprocessing(64, 64)
    fresh = model.classifiers[1].weight.clone()
    start_classifiers(model, known, images, view, CPU, "float32")
    assert model.training

    model.eval()
    pooled = model.backbone(view.view(images.batch(range(len(images)))[0])).mean((2, 3))
    likely = (pooled @ known.weight.T + known.bias).softmax(1)
    for label in (0, 1):
        shares = likely[[n for n, other in enumerate(images.labels) if other == label][:PER_CLASS]].mean(0)
        for complementary in (0, 2):
            classifier = model.classifiers[complementary]
            torch.testing.assert_close(classifier.weight[label, :, 0, 0], shares @ known.weight)
            torch.testing.assert_close(classifier.bias[label], shares @ known.bias)
    assert torch.equal(model.classifiers[1].weight, fresh)  # an n learns another thing


def test_the_classifier_of_the_packaged_weights_names_what_the_whole_model_does():
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(renamed_by_order(read_state(package_file("tf_efficientnet_lite0")).state, whole.state_dict()))
    known, trunk = imagenet_classifier(LITE0, "package"), ACoL(LITE0, "p", 2, "package").backbone.eval()
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = trunk(images).mean((2, 3)) @ known.weight.T + known.bias
        torch.testing.assert_close(scores, whole(images), rtol=1e-4, atol=1e-4)


def test_what_has_none_is_refused(tmp_path):
    other, norm = tmp_path / "other.pth", tmp_path / "norm.pth"
    torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), other)
    torch.save(timm.create_model("test_convnext", num_classes=1000).state_dict(), norm)
    with pytest.raises(InputError, match=r"weights .*other\.pth: of another architecture than the whole"):
        imagenet_classifier("timm/test_resnet", other)
    with pytest.raises(InputError, match="its classifier reads more than the mean of its features"):
        imagenet_classifier("timm/test_convnext", norm)
