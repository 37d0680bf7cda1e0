import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acol import Recipe
from acol.errors import InputError
from acol.losses import adversarial_loss, classifier_losses, complementary_loss
from acol.recipe import adversarial_floor


def test_by_hand():
    # logits (ln 1, ln 2, ln 5): probabilities 1/8, 2/8, 5/8.
    logits = torch.tensor([[math.log(1), math.log(2), math.log(5)]])
    target = torch.tensor([2])
    assert complementary_loss(logits, target).item() == pytest.approx(math.log(8 / 5))
    # the other labels' mean logit is (ln 1 + ln 2) / 2; logsumexp is ln 8
    assert adversarial_loss(logits, target).item() == pytest.approx(math.log(8) - math.log(2) / 2)


@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_is_the_designs_formula(classes, count, seed, scale):
    rng = np.random.default_rng(seed)
    x, y = scale * rng.standard_normal((count, classes)), rng.integers(classes, size=count)
    others = [[value for j, value in enumerate(row) if j != t] for row, t in zip(x, y, strict=True)]
    expected = np.mean([np.logaddexp.reduce(row) - np.mean(other) for row, other in zip(x, others, strict=True)])
    assert adversarial_loss(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(expected, rel=1e-9)


def test_floor_is_reached_when_all_others_share_the_probability():
    logits = torch.tensor([[-100.0, 3.0, 3.0, 3.0]])
    assert adversarial_loss(logits, torch.tensor([0])).item() == pytest.approx(adversarial_floor(4))
    assert adversarial_floor(4) == pytest.approx(math.log(3))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 1e30, 1e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_any_scale_with_finite_gradients(scale, dtype):
    logits = (scale * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 1.0]])).to(dtype).requires_grad_()
    for loss in (complementary_loss, adversarial_loss):
        value = loss(logits, torch.tensor([0, 1]))
        (gradient,) = torch.autograd.grad(value, logits)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_gradient_pushes_the_true_label_down():
    logits = torch.zeros(1, 4, requires_grad=True)
    adversarial_loss(logits, torch.tensor([1])).backward()
    # d/dx_j = softmax_j - target_j with target (1/3, 0, 1/3, 1/3): 1/4 - 1/3 for the others, 1/4 for the true one
    torch.testing.assert_close(logits.grad, torch.tensor([[-1 / 12, 1 / 4, -1 / 12, -1 / 12]]))


def test_one_class_has_no_others():
    with pytest.raises(InputError, match="at least 2 classes"):
        adversarial_loss(torch.zeros(1, 1), torch.tensor([0]))


def test_each_classifier_gets_its_letters_loss():
    logits, target = torch.randn(3, 5, 4), torch.randint(4, (5,))
    losses = classifier_losses(logits, target, Recipe.parse("pnp-0.9-0.7"))
    torch.testing.assert_close(
        losses,
        torch.stack(
            [
                complementary_loss(logits[0], target),
                adversarial_loss(logits[1], target),
                complementary_loss(logits[2], target),
            ]
        ),
    )
