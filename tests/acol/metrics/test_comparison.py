import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm, ttest_1samp, ttest_rel

from acol.errors import InputError
from acol.metrics import (
    Difference,
    MaxScore,
    MeanScore,
    compare,
    holm,
    mean_interval,
    over_seeds,
    smallest_difference,
    times_needed,
)

RNG = np.random.default_rng(0)


def compare_means(a, b):
    """Cells' per-image values (N,), or (S, N) over seeds."""
    return compare(*([MeanScore(row) for row in np.atleast_2d(values)] for values in (a, b)))


def rejected(x, true, step, level=0.95):
    """By definition: the sum of the differences from the true one, against that of the same with random signs."""
    z = norm.ppf((1 + level) / 2)
    return abs(np.sum(x - true)) > z * np.sqrt(np.sum((x - true) ** 2) + step**2)


@pytest.mark.parametrize(("more", "fewer", "same"), [(7, 1, 20), (12, 3, 100), (5, 5, 2), (10, 0, 9), (40, 25, 300)])
def test_right_answers_are_compared_by_mcnemars_test(more, fewer, same):
    a = np.repeat([1, 0, 1], [more, fewer, same])
    b = np.repeat([0, 1, 1], [more, fewer, same])
    result = compare_means(a, b)
    assert result.p == pytest.approx(2 * norm.sf(abs(more - fewer) / np.sqrt(more + fewer + 1)))
    exact = binomtest(more, more + fewer).pvalue
    mid = exact - binom.pmf(more, more + fewer, 0.5)
    assert 0.97 * mid <= result.p <= 1.4 * exact
    grid = np.linspace(-1, 1, 2001)
    held = grid[[not rejected(a - b, true, 1) for true in grid]]
    share = binomtest(abs(more - fewer), len(a)).proportion_ci(method="wilson")
    assert result.low == pytest.approx(min(held[0], -share.high if more == fewer else 1), abs=1e-3)
    assert result.high == pytest.approx(max(held[-1], share.high), abs=1e-3)


def test_other_means_are_compared_nearly_as_by_the_paired_t_test():
    a, b = RNG.random((2, 40))
    result, theirs = compare_means(a, b), ttest_rel(a, b)
    bounds = theirs.confidence_interval()
    assert result.p == pytest.approx(theirs.pvalue, rel=0.1)
    assert (result.low, result.high) == pytest.approx((bounds.low, bounds.high), abs=0.01)
    grid = np.linspace(-1, 1, 2001)
    held = grid[[not rejected(a - b, true, np.abs(a - b).max()) for true in grid]]
    assert (result.low, result.high) == pytest.approx((held[0], held[-1]), abs=1e-3)


def test_maxima_are_compared_by_what_each_image_adds_at_the_best_thresholds():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 60, 5))
    result = compare([MaxScore(a)], [MaxScore(b)])
    x = MaxScore(a).contributions - MaxScore(b).contributions
    assert result.difference == pytest.approx(x.mean())
    held = (grid := np.linspace(-1, 1, 2001))[[not rejected(x, true, 1) for true in grid]]
    assert (result.low, result.high) == pytest.approx((held[0], held[-1]), abs=1e-3)
    # No surer than all ways to swap the two cells' curves image by image, the best thresholds chosen anew.
    score = lambda curves: np.mean([(curves >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)])  # noqa: E731
    swaps = rng.random((400, 60, 1)) < 0.5
    found = [score(np.where(swap, b, a)) - score(np.where(swap, a, b)) for swap in swaps]
    assert result.p >= 0.9 * 2 * norm.sf(abs(result.difference) / np.sqrt(np.mean(np.square(found))))


KINDS = {
    "answers": lambda rng, shape: [MeanScore(x) for x in rng.random(shape) < rng.choice([0, 0.5, 0.95, 1])],
    "maxima": lambda rng, shape: [MaxScore(x) for x in rng.choice([0.1, 0.4, 0.6, 0.8], (*shape, 6))],
    "means": lambda rng, shape: [MeanScore(x) for x in rng.random(shape) * rng.choice([0, 1])],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_no_interval_disagrees_with_its_test_and_none_has_no_width(kind, seeds):
    rng = np.random.default_rng(seeds)
    for images in [1, 2, 3, 4, 5, 8, 22, 60] * 5:
        a, b = (KINDS[kind](rng, (seeds, images)) for _ in range(2))
        for one, other in ((a, b), (a, a), (b, b)):
            for level in (0.5, 0.9, 0.95, 0.999):
                found = compare(one, other, level)
                assert found.real == (found.p < 1 - level) == (found.low > 0 or found.high < 0)
                assert found.low <= found.difference <= found.high
                assert found.low < found.high
                assert smallest_difference(found) > 0


def test_cells_that_agree_on_every_image_may_still_differ():
    right = [MeanScore(np.ones(24))]
    found = compare(right, right)
    highest = binomtest(0, 24).proportion_ci(method="wilson").high
    assert (found.low, found.high) == pytest.approx((-highest, highest))
    # Of differences in one direction: the smallest share whose count is five or more of 24 in four of five cases.
    share = brentq(lambda share: binom.sf(4, 24, share) - 0.8, 0.01, 0.9)
    assert smallest_difference(found) == pytest.approx(share, abs=0.04)
    assert over_seeds(right * 2).low == pytest.approx(mean_interval(np.ones(24)).low)


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
    same = [MaxScore(curves)]
    for result in (compare_means(curves[:, 0], curves[:, 0]), compare(same, same), compare(same * 3, same * 3)):
        assert (result.difference, result.p, result.real) == (0, 1, False)


def test_seeds_that_disagree_make_a_difference_doubtful():
    # Within one seed A beats B on every image, but the seeds swing between +0.2 and -0.15.
    b = RNG.random((4, 100))
    a = b + np.array([0.2, -0.15, 0.2, -0.15])[:, None]
    assert compare_means(a[0], b[0]).real
    assert not compare_means(a, b).real
    assert compare_means(b + 0.05, b).real


def test_trainings_alone_are_students_test_over_them():
    """Where all images have the same difference, only the trainings differ."""
    shifts = np.array([0.2, 0.1, 0.15])
    b = np.repeat(RNG.random((1, 50)), 3, axis=0)
    result, theirs = compare_means(b + shifts[:, None], b), ttest_1samp(shifts, 0)
    assert result.p == pytest.approx(theirs.pvalue, rel=0.02)  # one more image, as different as any, adds a little
    bounds = theirs.confidence_interval()
    assert (result.low, result.high) == pytest.approx((bounds.low, bounds.high), rel=0.02)


def test_images_alone_are_students_interval_over_them():
    """Where all trainings are equal, only the images differ."""
    values = RNG.random(40)
    interval, bounds = over_seeds([MeanScore(values)] * 3), ttest_1samp(values, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high), rel=0.02)
    with pytest.raises(InputError, match="two or more seeds"):
        over_seeds([MeanScore(values)])


def test_best_thresholds_are_compared_over_seeds():
    weak = RNG.random((3, 60, 10)) * 0.6
    result = compare(*([MaxScore(curves) for curves in cell] for cell in (weak + 0.3, weak)))
    assert result.real
    assert result.low > 0
    assert result.difference > 0.2


def test_the_p_value_is_that_of_the_interval_that_touches_zero():
    a = RNG.random((3, 30)) + np.array([0.02, 0.1, 0.05])[:, None]
    b = RNG.random((3, 30))
    scores = [MeanScore(row) for row in a], [MeanScore(row) for row in b]
    result = compare(*scores)
    touching = compare(*scores, level=1 - result.p)
    assert min(abs(touching.low), abs(touching.high)) == pytest.approx(0, abs=1e-9)


def test_holm_by_hand():
    # p 0.01, 0.04, 0.03 sorted: 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; max(0.06, 1 x 0.04) = 0.06.
    corrected = holm([Difference(0.1, 0, 1, p, True) for p in (0.01, 0.04, 0.03)])
    assert [c.p for c in corrected] == pytest.approx([0.03, 0.06, 0.06])
    assert [c.real for c in corrected] == [True, False, False]
    assert holm([]) == []
    # As the smallest of five tests: 5 x 0.01.
    assert holm([Difference(0.1, 0, 1, 0.01, True)], tests=5)[0].p == pytest.approx(0.05)


def test_few_images_prove_nothing():
    # Four of four against none of four: were the signs random, two of 2^4 ways would be as extreme.
    result = compare_means(np.ones(4), np.zeros(4))
    assert (result.p, result.real, result.low) == (2 / 2**4, False, -1)


def test_unequal_cells_are_refused():
    two, three = MeanScore([1, 2]), MeanScore([1, 2, 3])
    for a, b in (([two], [three]), ([two], [two, two]), ([], [])):
        with pytest.raises(InputError, match="same images and seeds"):
            compare(a, b)


def test_as_many_images_as_needed_find_the_difference_in_four_of_five_cases():
    rng = np.random.default_rng(7)
    pool = rng.normal(0.02, 0.2, 100_000)
    found = compare_means(pool[:500], np.zeros(500))
    found = Difference(0.02, 0, 0, 1, False, error=found.error)  # as if its difference were the true one
    images = round(500 * times_needed(found))
    share = np.mean([ttest_1samp(rng.choice(pool, images), 0).pvalue < 0.05 for _ in range(400)])
    assert share == pytest.approx(0.8, abs=0.08)
    assert smallest_difference(found) == pytest.approx(2.8016 * found.error, rel=1e-4)
    assert times_needed(Difference(0, 0, 0, 1, False, 0.1)) == np.inf
