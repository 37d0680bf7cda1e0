"""Initial weights of classifiers: mixtures of the classes of the backbone's ImageNet classifier."""

import numpy as np
import torch

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.network.backbones import ImageNetClassifier
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.recipe import COMPLEMENTARY

PER_CLASS = 32  # the number of images of each class that are used
_BATCH = 32


@torch.inference_mode()
def start_classifiers(
    model: ACoL,
    imagenet: ImageNetClassifier,
    images: LabelledImages,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: str,
) -> None:
    """Set the weights of the `p` classifiers from the ImageNet classifier of the model's backbone.

    A class starts as the mean of ImageNet's classes, each weighted by its mean probability for the first `PER_CLASS`
    training images of the class: raccoons, for example, start as a mixture of coatis and pandas. A classifier that
    learns only a few classes may use the background to tell them apart. ImageNet's classifier has learnt a thousand
    classes, and uses the object (measured in docs/imagenette.md). The model is moved to `device`.
    """
    model.to(device)
    weight, bias = (values.to(device) for values in imagenet)
    training = model.training
    model.eval()
    # For each class, the mean probabilities of ImageNet's classes for its images.
    mixture = []
    for index in range(model.num_classes):
        pixels, _ = images.batch(np.flatnonzero(images.labels == index)[:PER_CLASS])
        probabilities = []
        for batch in pixels.split(_BATCH):
            with autocast(device, precision):
                features = model.backbone(preprocessing.view(batch.to(device)))
            probabilities.append((features.float().mean((2, 3)) @ weight.T + bias).softmax(1))
        mixture.append(torch.cat(probabilities).mean(0))
    model.train(training)

    # A row of weights is the mixture of ImageNet's rows; adversarial classifiers stay random.
    shares = torch.stack(mixture)  # (C, 1000)
    for letter, classifier in zip(model.recipe.letters, model.classifiers, strict=True):
        if letter == COMPLEMENTARY:
            classifier.load_state_dict({"weight": (shares @ weight)[:, :, None, None], "bias": shares @ bias})
