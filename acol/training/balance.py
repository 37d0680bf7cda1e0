"""Training on classes of unequal size: a weight for each class, or equally many images of each class in an epoch."""

import numpy as np

UNIFORM, BALANCED = "uniform", "balanced"


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the weight of each class (C,), N / (C * images of the class), so that the mean weight of the images is 1.

    This is "balanced" in scikit-learn. A class without images has weight 0, and does not count in C. `labels` (N,) are
    class indices in [0, classes).
    """
    images = np.bincount(labels, minlength=classes)
    present = images > 0
    return np.divide(len(labels), present.sum() * images, out=np.zeros(classes), where=present)


def epoch_order(labels: np.ndarray, sampler: str, seed: int, epoch: int) -> np.ndarray:
    """Return the indices (N,) of the images of an epoch, in their order.

    With the sampler "uniform" each image occurs once. With "balanced" all classes have the same number of images, up to
    one, and the images of a class occur equally often, up to once: those of a small class are repeated, and some of a
    large class are left out.
    """
    rng = np.random.default_rng((seed, epoch))
    if sampler == UNIFORM:
        return rng.permutation(len(labels))
    classes = rng.permutation(np.unique(labels))
    shares = [len(part) for part in np.array_split(np.arange(len(labels)), len(classes))]
    chosen = []
    for label, share in zip(classes, shares, strict=True):
        images = np.flatnonzero(labels == label)
        rounds = [rng.permutation(images) for _ in range(-(-share // len(images)))]
        chosen.append(np.concatenate(rounds)[:share])
    order: np.ndarray = rng.permutation(np.concatenate(chosen))
    return order
