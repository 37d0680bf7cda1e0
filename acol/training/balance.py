"""Training on classes of unequal size: a weight for each class, or as many images of each class in an epoch."""

import numpy as np

from acol.data.loading import Array

UNIFORM, BALANCED = "uniform", "balanced"


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return a weight for each class (C,): N / (C * images of the class), so that the images' mean weight is 1.

    This is scikit-learn's "balanced". A class without images has weight 0. `labels` (N,) are class indices in [0, C).
    """
    images = np.bincount(labels, minlength=classes)
    present = images > 0
    return np.divide(len(labels), present.sum() * images, out=np.zeros(classes), where=present)


def epoch_order(labels: np.ndarray, sampler: str, seed: int, epoch: int) -> Array:
    """Return the indices (N,) of the images that an epoch goes through, in its order.

    With "uniform" each image comes once. With "balanced" each class comes equally often (up to one image), and the
    images of a class equally often (up to once): those of a small class are repeated, some of a large one left out.
    """
    rng = np.random.default_rng((seed, epoch))
    if sampler == UNIFORM:
        return rng.permutation(len(labels))
    classes = rng.permutation(np.unique(labels))
    shares = [len(part) for part in np.array_split(np.arange(len(labels)), len(classes))]
    drawn = []
    for label, share in zip(classes, shares, strict=True):
        images = np.flatnonzero(labels == label)
        rounds = [rng.permutation(images) for _ in range(-(-share // len(images)))]
        drawn.append(np.concatenate(rounds)[:share])
    order: Array = rng.permutation(np.concatenate(drawn))
    return order
