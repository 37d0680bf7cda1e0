"""Start the classifiers from the trunk's own ImageNet classifier, mixed for the classes of the data."""

import numpy as np
import torch
from torch import Tensor

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.network.imagenet import ImageNetClassifier
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.recipe import COMPLEMENTARY

PER_CLASS = 32  # images of each class that are looked at
_BATCH = 32


def start_classifiers(
    model: ACoL,
    known: ImageNetClassifier,
    images: LabelledImages,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: str,
) -> None:
    """Let the `p` classifiers start from the ImageNet classifier of the model's backbone.

    A class starts as the mean of the `known` classes, each weighted by its mean probability on the class's first
    `PER_CLASS` training images: raccoons, for example, start as a mixture of ImageNet's coatis and pandas. A classifier
    that learns only a few classes may use the background to tell them apart. ImageNet's learnt a thousand classes and
    looks at the object (measured in docs/imagenette.md). The model is moved to `device`.
    """
    model.to(device)
    known = ImageNetClassifier(*(values.to(device) for values in known))
    mixture = torch.stack(
        [
            _known_as(known, model, images.batch(chosen)[0], preprocessing, precision)
            for chosen in (np.flatnonzero(images.labels == index)[:PER_CLASS] for index in range(model.num_classes))
        ]
    )
    weight, bias = (mixture @ known.weight)[:, :, None, None], mixture @ known.bias
    for letter, classifier in zip(model.recipe.letters, model.classifiers, strict=True):
        if letter == COMPLEMENTARY:
            classifier.load_state_dict({"weight": weight, "bias": bias})


@torch.inference_mode()
def _known_as(
    known: ImageNetClassifier, model: ACoL, pixels: Tensor, preprocessing: Preprocessing, precision: str
) -> Tensor:
    """Return the mean probability (M,) of each known class on images (n, 3, S, S) uint8."""
    training = model.training
    model.eval()
    probabilities = []
    for batch in pixels.split(_BATCH):
        with autocast(known.weight.device, precision):
            features = model.backbone(preprocessing.view(batch.to(known.weight.device)))
        probabilities.append((features.float().mean((2, 3)) @ known.weight.T + known.bias).softmax(1))
    model.train(training)
    return torch.cat(probabilities).mean(0)
