import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from acol.errors import InputError
from acol.metrics import max_interval, mean_interval
from acol.metrics.intervals import balanced_interval
from acol.metrics.scored import resampled_weights

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("right", "count"), [(45, 50), (60, 60), (0, 7), (1, 3)])
def test_a_proportion_has_wilsons_interval(right, count):
    values = np.arange(count) < right
    ours, theirs = mean_interval(values), binomtest(right, count).proportion_ci(method="wilson")
    assert ours.value == pytest.approx(right / count)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_another_mean_has_the_bootstraps_as_scipy_does():
    values = RNG.exponential(size=60)
    ours = mean_interval(values, resamples=8000)
    theirs = bootstrap((values,), np.mean, method="bca", n_resamples=8000, rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)


@pytest.mark.parametrize("value", [0, 0.3, 1, 2.5, -4])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_equal_values_leave_a_doubt(value, count):
    interval = mean_interval(np.full(count, value))
    assert interval.low <= interval.value <= interval.high
    assert interval.high - interval.low > abs(value) / (count + 1)
    if 0 <= value <= 1:
        theirs = binomtest(count, count).proportion_ci(method="wilson").low
        assert mean_interval(np.ones(count)).low == pytest.approx(theirs)


def test_the_mean_accuracy_of_even_classes_has_wilsons_interval():
    found = balanced_interval([True] * 9 + [False], [0, 1] * 5)
    wanted = binomtest(9, 10).proportion_ci(method="wilson")
    assert found.value == 0.9
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.01)


@pytest.mark.parametrize("truth", [(0.98, 0.5), (0.98, 0.95), (0.6, 0.9)])
def test_the_interval_of_uneven_classes_holds_their_mean_accuracy(truth):
    rng, counts = np.random.default_rng(0), (100, 10)
    labels = np.repeat([0, 1], counts)
    found = [balanced_interval(rng.random(110) < np.take(truth, labels), labels) for _ in range(400)]
    assert np.mean([each.low <= np.mean(truth) <= each.high for each in found]) > 0.92
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found)


def test_the_interval_of_a_maximum_equals_a_loop_over_resamples():
    rng = np.random.default_rng(4)
    curves = rng.random((40, 12))
    interval = max_interval(curves, resamples=300, seed=9)
    draws = np.random.default_rng(9).integers(0, 40, (300, 40))
    scores = [np.mean([(curves[d] >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)]) for d in draws]
    right = [curves >= iou for iou in (0.3, 0.5, 0.7)]
    value = np.mean([each.mean(axis=0).max() for each in right])
    each = np.mean([hits[:, hits.sum(axis=0).argmax()] for hits in right], axis=0)
    half = 2.02269 * each.std(ddof=1) / np.sqrt(40)  # Student's quantile for 39 degrees of freedom
    centre = value - 1.5 * (np.mean(scores) - value)
    assert interval.value == pytest.approx(value)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-4)


def test_the_interval_of_a_maximum_is_not_biased_upwards():
    """Each image is right in a range of thresholds of its own; the best threshold of a few images is luck in part."""
    rng = np.random.default_rng(1)

    def draw(images):
        middle = rng.random((images, 1))
        return 1 - np.abs(np.linspace(0, 1, 50) - middle) * 2  # at least 0.5 within 0.25 of the middle

    truth = (draw(20_000) >= 0.5).mean(axis=0).max()
    found = [max_interval(draw(50), iou=(0.5,), resamples=200) for _ in range(300)]
    assert np.mean([interval.value for interval in found]) > truth + 0.05  # the score is biased
    assert np.mean([interval.low <= truth <= interval.high for interval in found]) > 0.9
    assert np.mean([interval.low > truth for interval in found]) < 0.1


def test_a_score_of_all_images_right_is_still_uncertain():
    interval = max_interval(np.ones((30, 5)))
    assert (interval.value, interval.high) == (1, 1)
    assert interval.low == pytest.approx(mean_interval(np.ones(30)).low)


def test_results_repeat_for_a_seed_whatever_the_chunks(monkeypatch):
    values = RNG.random(50)
    first = mean_interval(values, seed=3)
    monkeypatch.setattr("acol.metrics.scored.CHUNK", 500)
    assert len(list(resampled_weights(50, 40, 0))) == 4
    assert mean_interval(values, seed=3) == first


@pytest.mark.parametrize("values", [[], [np.nan], [[1.0]]])
def test_bad_values_are_refused(values):
    with pytest.raises(InputError, match="values"):
        mean_interval(values)
