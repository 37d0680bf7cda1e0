"""What each classifier learns: `p` the true label, `n` any label but the true one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acol.errors import InputError
from acol.recipe import COMPLEMENTARY, Recipe


def complementary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits (N, C) on the true labels (N,), mean over N (Zhang et al. 2018, section 3.3).

    `target` is int64. Returns a scalar, at least 0.

    >>> f"{complementary_loss(torch.zeros(1, 4), torch.tensor([2])):.3f}"
    '1.386'
    """
    return F.cross_entropy(_wide(logits), target)


def adversarial_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits (N, C) to the uniform distribution over all labels but the true one, mean over N.

    Equals `logsumexp(x) - mean(x_j for j != y)`; its floor is ln(C - 1) (`acol.recipe.adversarial_floor`), not 0.
    Computed from log-probabilities, so that large logits neither overflow nor cancel.

    Raises `InputError` with fewer than two classes.

    >>> f"{adversarial_loss(torch.zeros(1, 4), torch.tensor([2])):.3f}"
    '1.386'
    """
    return _adversarial(logits, target).mean()


def image_losses(logits: Tensor, target: Tensor, recipe: Recipe) -> Tensor:
    """Return each classifier's loss of each image (K, N) for logits (K, N, C) and labels (N,)."""
    return torch.stack(
        [
            F.cross_entropy(_wide(x), target, reduction="none") if letter == COMPLEMENTARY else _adversarial(x, target)
            for letter, x in zip(recipe.letters, logits, strict=True)
        ]
    )


def classifier_losses(logits: Tensor, target: Tensor, recipe: Recipe, class_weights: Tensor | None = None) -> Tensor:
    """Return each classifier's loss (K,) for logits (K, N, C) and labels (N,); the total loss is their sum.

    With `class_weights` (C,) each image's loss is multiplied by the weight of its label before the mean over N.
    """
    if class_weights is not None:
        return (image_losses(logits, target, recipe) * class_weights[target]).mean(1)
    return torch.stack(
        [
            complementary_loss(x, target) if letter == COMPLEMENTARY else adversarial_loss(x, target)
            for letter, x in zip(recipe.letters, logits, strict=True)
        ]
    )


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _adversarial(logits: Tensor, target: Tensor) -> Tensor:
    """Each image's adversarial loss (N,)."""
    others = logits.shape[1] - 1
    if others < 1:
        raise InputError("recipe with an n classifier: needs at least 2 classes; use p classifiers only")
    log_probabilities = _wide(logits).log_softmax(1)
    own = F.one_hot(target, others + 1).bool()
    return -(log_probabilities.masked_fill(own, 0) / others).sum(1)
