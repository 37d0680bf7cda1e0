import numpy as np
import pytest
from scipy.stats import bootstrap

from acol.errors import InputError
from acol.metrics import Difference, compare, holm, max_interval, mean_interval, resample_max, resample_mean

RNG = np.random.default_rng(0)


def compare_means(a, b, resamples=2000, seed=0):
    """Cells' per-image values (N,), or (S, N) over seeds."""
    cells = ([resample_mean(row, resamples, seed) for row in np.atleast_2d(values)] for values in (a, b))
    return compare(*cells, seed=seed)


@pytest.mark.parametrize("values", [RNG.random(200) < 0.9, RNG.exponential(size=60)], ids=["hits", "skewed"])
@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_mean_interval_agrees_with_scipy(values, method):
    ours = mean_interval(values, method=method, resamples=8000)
    theirs = bootstrap((values.astype(float),), np.mean, method=method, n_resamples=8000, rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_equal_values_leave_no_doubt():
    for method in ("bca", "percentile"):
        interval = mean_interval(np.ones(30), method=method)
        assert (interval.value, interval.low, interval.high) == (1, 1, 1)
    assert mean_interval([0.3]).low == pytest.approx(0.3)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        interval = mean_interval(rng.random(100) < 0.7, resamples=400, seed=seed)
        covered += interval.low <= 0.7 <= interval.high
    assert 0.89 <= covered / 200 <= 0.99


def test_max_interval_equals_a_loop_over_resamples():
    rng = np.random.default_rng(4)
    curves = rng.random((40, 12))
    interval = max_interval(curves, resamples=300, seed=9)
    draws = np.random.default_rng(9).integers(0, 40, (300, 40))
    scores = [np.mean([(curves[d] >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)]) for d in draws]
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(scores, [0.025, 0.975]), atol=1e-6)
    assert interval.value == pytest.approx(np.mean([(curves >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)]))


def test_pairing_finds_a_small_difference_that_two_intervals_would_hide():
    # The images differ much among each other (sd 0.3), B is 0.02 below A on each.
    a = RNG.normal(0.5, 0.3, 200)
    result = compare_means(a, a - 0.02 + RNG.normal(0, 0.01, 200))
    assert result.real
    assert result.low < 0.02 < result.high
    assert result.difference == pytest.approx(0.02, abs=0.003)
    assert mean_interval(a).high - mean_interval(a).low > 0.05


def test_the_same_cell_twice_is_no_difference():
    curves = RNG.random((30, 8))
    same = [resample_max(curves)]
    for result in (compare_means(curves[:, 0], curves[:, 0]), compare(same, same)):
        assert (result.difference, result.p, result.real) == (0, 1, False)


def test_false_alarms_are_about_as_rare_as_they_should_be():
    rng = np.random.default_rng(5)
    alarms = sum(compare_means(rng.random(80), rng.random(80), resamples=400, seed=s).real for s in range(300))
    assert alarms / 300 < 0.1


def test_seeds_that_disagree_make_a_difference_doubtful():
    # Within one seed A beats B on every image, but the seeds swing between +0.2 and -0.15.
    b = RNG.random((4, 100))
    a = b + np.array([0.2, -0.15, 0.2, -0.15])[:, None]
    assert compare_means(a[0], b[0]).real
    assert not compare_means(a, b).real
    assert compare_means(b + 0.05, b).real


def test_best_thresholds_are_compared_over_seeds():
    weak = RNG.random((3, 60, 10)) * 0.6
    better, worse = ([resample_max(curves, resamples=300) for curves in cell] for cell in (weak + 0.3, weak))
    result = compare(better, worse)
    assert result.real
    assert result.low > 0
    assert result.difference > 0.2


def test_holm_by_hand():
    # p 0.01, 0.04, 0.03 sorted: 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; max(0.06, 1 x 0.04) = 0.06.
    corrected = holm([Difference(0.1, 0, 1, p, True) for p in (0.01, 0.04, 0.03)])
    assert [c.p for c in corrected] == pytest.approx([0.03, 0.06, 0.06])
    assert [c.real for c in corrected] == [True, False, False]
    assert holm([]) == []
    # As the smallest of five tests: 5 x 0.01.
    assert holm([Difference(0.1, 0, 1, 0.01, True)], tests=5)[0].p == pytest.approx(0.05)


def test_few_images_prove_nothing():
    # Five of five against none of five: were the signs random, two of 2^5 ways would be as extreme.
    result = compare_means(np.ones(5), np.zeros(5))
    assert (result.p, result.real) == (2 / 2**5, False)


def test_results_repeat_for_a_seed_whatever_the_chunks(monkeypatch):
    values = RNG.random(50)
    first = mean_interval(values, seed=3)
    monkeypatch.setattr("acol.metrics.bootstrap.CHUNK", 500)
    assert mean_interval(values, seed=3) == first


@pytest.mark.parametrize("values", [[], [np.nan], [[1.0]]])
def test_bad_values_are_refused(values):
    with pytest.raises(InputError, match="values"):
        mean_interval(values)


def test_unequal_cells_are_refused():
    two, three = resample_mean([1, 2]), resample_mean([1, 2, 3])
    for a, b in (([two], [three]), ([two], [two, two]), ([two], [resample_mean([1, 2], resamples=10)]), ([], [])):
        with pytest.raises(InputError, match="same images, seeds"):
            compare(a, b)
