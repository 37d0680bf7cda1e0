"""What each classifier learns: `p` the true label, `n` any label but the true one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acol.errors import InputError
from acol.recipe import COMPLEMENTARY, Recipe


def complementary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy on the true labels, mean over N (Zhang et al. 2018, section 3.3): a scalar >= 0.

    Args:
        logits: (N, C) float.
        target: (N,) int64, the true labels in [0, C).

    >>> f"{complementary_loss(torch.zeros(1, 4), torch.tensor([2])):.3f}"
    '1.386'
    """
    return F.cross_entropy(_as_float32(logits), target)


def adversarial_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy to the uniform distribution over all labels but the true one, mean over N: a scalar.

    It equals `logsumexp(x) - mean(x_j for j != y)`. Its smallest value is ln(C - 1) (`acol.recipe.adversarial_floor`),
    not 0. It is computed from log-probabilities, so that large logits neither overflow nor cancel.

    Args:
        logits: (N, C) float, C at least 2.
        target: (N,) int64, the true labels in [0, C).

    Raises `InputError` for fewer than two classes.

    >>> f"{adversarial_loss(torch.zeros(1, 4), torch.tensor([2])):.3f}"
    '1.386'
    """
    return _adversarial(logits, target).mean()


def image_losses(logits: Tensor, target: Tensor, recipe: Recipe) -> Tensor:
    """Return the loss of each classifier for each image (K, N), from logits (K, N, C) and labels (N,)."""
    return torch.stack(
        [
            F.cross_entropy(_as_float32(x), target, reduction="none")
            if letter == COMPLEMENTARY
            else _adversarial(x, target)
            for letter, x in zip(recipe.letters, logits, strict=True)
        ]
    )


def classifier_losses(logits: Tensor, target: Tensor, recipe: Recipe, class_weights: Tensor | None = None) -> Tensor:
    """Return the loss of each classifier (K,), from logits (K, N, C) and labels (N,); the total loss is their sum.

    With `class_weights` (C,) the loss of each image is multiplied by the weight of its label before the mean over N.
    """
    if class_weights is not None:
        return (image_losses(logits, target, recipe) * class_weights[target]).mean(1)
    return torch.stack(
        [
            complementary_loss(x, target) if letter == COMPLEMENTARY else adversarial_loss(x, target)
            for letter, x in zip(recipe.letters, logits, strict=True)
        ]
    )


def _as_float32(logits: Tensor) -> Tensor:
    """Return the logits in float32 or wider, since bfloat16 is too coarse for a loss."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _adversarial(logits: Tensor, target: Tensor) -> Tensor:
    """Return the adversarial loss of each image (N,)."""
    others = logits.shape[1] - 1
    if others < 1:
        raise InputError("recipe with an n classifier: needs at least 2 classes; use p classifiers only")
    log_probabilities = _as_float32(logits).log_softmax(1)
    is_true_label = F.one_hot(target, others + 1).bool()
    return -(log_probabilities.masked_fill(is_true_label, 0) / others).sum(1)
