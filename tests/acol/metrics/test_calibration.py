import numpy as np
import pytest
from scipy.special import softmax

from acol.errors import InputError
from acol.metrics import calibration_error, fit_temperature

RNG = np.random.default_rng(0)


def test_calibration_error_equals_a_loop_over_the_bins():
    confidence = np.append(RNG.random(500), [0.0, 1.0, 1 / 15])
    correct = np.append(RNG.random(500) < 0.6, [False, True, True])
    total = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        inside |= (confidence == 0) if k == 0 else False
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, correct) == pytest.approx(total)
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    with pytest.raises(InputError, match="probabilities"):
        calibration_error([], [])


def test_the_temperature_undoes_a_scale():
    logits = RNG.normal(0, 2, (20_000, 4))
    labels = np.array([RNG.choice(4, p=p) for p in softmax(logits, axis=1)])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    before, after = (softmax(3 * logits / t, axis=1) for t in (1, fit_temperature(3 * logits, labels)))
    errors = [calibration_error(p.max(1), p.argmax(1) == labels) for p in (before, after)]
    assert errors[1] < 0.02 < 0.1 < errors[0]


def test_few_images_keep_the_temperature_in_range():
    assert fit_temperature(np.empty((0, 3)), []) == 1
    assert 0.05 <= fit_temperature([[9.0, 0.0]], [0]) < 1  # surer is better without end
    assert 19 < fit_temperature([[9.0, 0.0]], [1]) <= 20
