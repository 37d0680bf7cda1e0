from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_class_weight

from acol.data.manifest import uneven
from acol.losses import classifier_losses
from acol.recipe import Recipe
from acol.training.balance import class_weights, epoch_order

UNEVEN = np.array([0] * 15 + [1] * 6 + [2] * 3)
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(LABELS)
def test_weights_are_those_of_scikit_learn(labels):
    present = np.unique(labels)
    expected = np.zeros(6)
    expected[present] = compute_class_weight("balanced", classes=present, y=labels)
    weights = class_weights(labels, 6)
    np.testing.assert_allclose(weights, expected)
    assert weights[labels].mean() == pytest.approx(1)


@given(LABELS, st.integers(0, 9), st.integers(1, 9))
def test_orders_hold_each_image_once_or_each_class_as_often(labels, seed, epoch):
    uniform = epoch_order(labels, "uniform", seed, epoch)
    assert sorted(uniform) == list(range(len(labels)))
    balanced = epoch_order(labels, "balanced", seed, epoch)
    assert len(balanced) == len(labels)
    classes = Counter(labels[balanced].tolist())
    counts = [classes[label] for label in np.unique(labels).tolist()]
    assert max(counts) - min(counts) <= 1
    for label in np.unique(labels):
        images = [Counter(balanced.tolist())[image] for image in np.flatnonzero(labels == label).tolist()]
        assert max(images) - min(images) <= 1
    np.testing.assert_array_equal(balanced, epoch_order(labels, "balanced", seed, epoch))


def test_epochs_have_orders_of_their_own():
    orders = [epoch_order(UNEVEN, "balanced", seed, epoch).tolist() for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("text", ["p", "pn-0.5"])
def test_weights_multiply_each_images_loss(text):
    recipe, rng = Recipe.parse(text), np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((len(recipe), 4, 3)))
    target, weights = torch.tensor([0, 0, 1, 2]), torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    alone = [classifier_losses(logits[:, [i]], target[[i]], recipe) for i in range(4)]
    expected = sum(weights[label] * loss for label, loss in zip(target, alone, strict=True)) / 4
    torch.testing.assert_close(classifier_losses(logits, target, recipe, weights), expected)


@pytest.mark.parametrize(("counts", "is_uneven"), [([], False), ([3, 2], False), ([31, 20], True), ([0, 5], True)])
def test_uneven_is_more_than_half_as_many_again(counts, is_uneven):
    assert uneven(counts) == is_uneven


@pytest.mark.parametrize("settings", [{"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_balance_changes_a_training_on_uneven_classes_alone(tiny_training, settings):
    def weights(labels=None, **settings):
        training = tiny_training(epochs=1, recipe="pn-0.6")
        if labels is not None:
            object.__setattr__(training.train, "labels", labels)
        training = type(training)(
            model=training.model,
            train=training.train,
            val=training.val,
            preprocessing=training.preprocessing,
            settings=type(training.settings)(**{**vars(training.settings), **settings}),
            device=training.device,
            precision=training.precision,
        )
        list(training.epochs())
        return training.model.classifiers[0].weight.detach()

    assert not torch.equal(weights(UNEVEN), weights(UNEVEN, **settings))
    assert torch.equal(weights(UNEVEN, **settings), weights(UNEVEN, **settings))
    if "class_weights" in settings:  # an even set's weights are all 1
        torch.testing.assert_close(weights(), weights(**settings))


def test_balanced_accuracy_chooses_the_epoch_where_validation_is_uneven(tiny_training):
    training = tiny_training(epochs=3, recipe="p")
    assert training.best_by == "accuracy"
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    object.__setattr__(training.val, "labels", labels)
    training.__post_init__()
    assert training.best_by == "balanced accuracy"
    results = list(training.epochs())
    with torch.inference_mode():
        logits = training.model.eval()(training.preprocessing.view(training.val.batch(np.arange(9))[0])).logits[0]
    last = results[-1].val.balanced_accuracy
    assert last == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert results[-1].row()["val_balanced_accuracy"] == last
    assert training.best.val.balanced_accuracy == max(result.val.balanced_accuracy for result in results)
