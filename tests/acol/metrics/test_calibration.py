from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest

from acol.errors import InputError
from acol.metrics import Calibration, calibration_error, fit_calibration

RNG = np.random.default_rng(0)


def test_calibration_error_equals_a_loop_over_the_bins():
    confidence = RNG.random(500)
    correct = RNG.random(500) < confidence**2
    edges = np.arange(16) / 15
    total = 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    interval = calibration_error(confidence, correct)
    assert interval.value == pytest.approx(total)
    assert interval.low < total < interval.high
    with pytest.raises(InputError, match="give one for each"):
        calibration_error([], [])


def test_few_right_answers_leave_the_error_open():
    for sure in (1.0, 0.7):
        interval = calibration_error([sure] * 8, [True] * 8)
        assert interval.value == pytest.approx(1 - sure)
        # As few as 68 % may be right.
        assert interval.low == pytest.approx(0 if sure == 1 else 0.0, abs=1e-9)
        assert interval.high >= abs(sure - binomtest(8, 8).proportion_ci(method="wilson").low)


def test_many_images_undo_a_scale():
    logits = RNG.normal(size=(8000, 4)) * 2
    labels = [RNG.choice(4, p=softmax(row)) for row in logits]
    found = fit_calibration(3 * logits, labels)
    assert found.temperature == pytest.approx(3, rel=0.07)
    assert (found.images, found.calibrated) == (8000, True)
    given = found.bounded(softmax(3 * logits / found.temperature, axis=1))
    before, after = (
        calibration_error(p.max(1), p.argmax(1) == labels).value for p in (softmax(3 * logits, axis=1), given)
    )
    assert before > 0.1 > 0.02 > after


@pytest.mark.parametrize("images", [1, 8, 20, 50])
def test_images_that_are_all_right_support_no_more_than_wilsons_lower_end(images):
    logits = RNG.normal(size=(images, 3)) + 30 * np.eye(3)[np.arange(images) % 3]
    found = fit_calibration(logits, np.arange(images) % 3)
    lowest = binomtest(images, images).proportion_ci(method="wilson").low
    assert found.most == pytest.approx(lowest)
    assert not found.calibrated or images == 50
    sure = found.bounded(softmax(np.array([[1e3, 0, 0], [0.0, 0.2, 0.1]]) / found.temperature, axis=1))
    assert sure.max() == pytest.approx(max(lowest, 1 / 3 + 1e-3 * 2 / 3))
    np.testing.assert_allclose(sure.sum(axis=1), 1)
    assert sure.argmax(axis=1).tolist() == [0, 1]


def test_wrong_answers_lower_it_and_the_order_stays():
    logits = 20 * np.eye(4)[[0, 1, 2, 3] * 5]
    found = fit_calibration(logits, [3] * 20)
    assert found.most < 0.5
    assert found.bounded(softmax(logits, axis=1)).argmax(1).tolist() == [0, 1, 2, 3] * 5
    assert fit_calibration(np.empty((0, 3)), []) == Calibration()


@pytest.mark.parametrize(("images", "error"), [(8, 0.0), (20, 0.0), (50, 0.01), (200, 0.01)])
def test_probabilities_claim_no_more_than_is_true(images, error):
    """Of a model that is right in 90 %, whose logits are three times too large, over drawn validation sets."""
    rng = np.random.default_rng(images)
    truth = rng.integers(0, 3, 4000)
    x = rng.normal(size=(4000, 3)) + 2.6 * np.eye(3)[truth]
    right = x.argmax(1) == truth
    claimed = []
    for _ in range(40):
        drawn = rng.integers(0, 4000, images)
        found = fit_calibration(9 * x[drawn], truth[drawn])
        given = found.bounded(softmax(9 * x / found.temperature, axis=1)).max(1)
        surest = given >= np.quantile(given, 0.8)
        claimed.append((given.mean() - right.mean(), given[surest].mean() - right[surest].mean(), found.calibrated))
    over, over_surest, calibrated = np.mean(claimed, axis=0)
    assert over < error
    assert over_surest < error
    assert calibrated == 0 if images < 50 else images == 50 or calibrated > 0.5
