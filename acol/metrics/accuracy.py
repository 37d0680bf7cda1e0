"""Classification scores: top-k accuracy, accuracy per class, and the confusion matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acol.errors import InputError
from acol.metrics.arrays import Array, as_array


@dataclass(frozen=True)
class Classification:
    """The classification scores of N images and C classes.

    Attributes:
        top1, top5: accuracies in [0, 1].
        per_class: (C,), the accuracy of each class in [0, 1]; NaN for a class without images.
        confusion: (C, C) int64, the number of images by true class (row) and predicted class (column).
        correct, top5_correct: (N,) bool.
    """

    top1: float
    top5: float
    per_class: Array
    confusion: Array
    correct: Array
    top5_correct: Array


def top_k_correct(scores: ArrayLike, labels: ArrayLike, k: int) -> Array:
    """Return whether the label of each image is among its k highest scores, as (N,) bool.

    Args:
        scores: (N, C), logits or probabilities. Of equal scores that of the lower class comes first.
        labels: (N,) whole numbers in [0, C).
        k: at least 1.

    Raises `InputError` for unequal lengths, labels outside [0, C), scores that are not finite, or no image.

    >>> top_k_correct([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], [1, 0], k=2)
    array([ True, False])
    """
    rows, target = as_array(scores), as_array(labels).astype(np.int64)
    if rows.ndim != 2 or target.shape != rows.shape[:1] or len(rows) == 0:
        raise InputError(
            f"labels: shape {target.shape} for scores of {rows.shape}; give (images,) and (images, classes)"
        )
    if target.min() < 0 or target.max() >= rows.shape[1]:
        raise InputError(f"labels: from {target.min()} to {target.max()} for {rows.shape[1]} classes; correct them")
    if not np.isfinite(rows).all():
        raise InputError("scores: hold a value that is not finite; check the loss of the training")
    # An answer is right if fewer than k classes come before the label.
    label_score = rows[np.arange(len(rows)), target][:, None]
    is_lower_class = np.arange(rows.shape[1]) < target[:, None]
    before = (rows > label_score) | ((rows == label_score) & is_lower_class)
    correct: Array = before.sum(axis=1) < k
    return correct


def classification(scores: ArrayLike, labels: ArrayLike) -> Classification:
    """Return the classification scores of N images. Arguments and errors are those of `top_k_correct`.

    >>> classification([[2.0, 1.0], [0.0, 1.0]], [0, 0]).top1
    0.5
    """
    correct, top5 = top_k_correct(scores, labels, 1), top_k_correct(scores, labels, 5)
    rows, target = as_array(scores), as_array(labels).astype(np.int64)
    classes = rows.shape[1]
    # Number the pairs of a true and a predicted class, and count how often each number occurs.
    pairs = target * classes + rows.argmax(axis=1)
    table = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    images = table.sum(axis=1)
    per_class = np.divide(table.diagonal(), images, out=np.full(len(table), np.nan), where=images > 0)
    return Classification(float(correct.mean()), float(top5.mean()), per_class, table, correct, top5)
