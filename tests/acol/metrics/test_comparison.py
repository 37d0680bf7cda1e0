from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp, ttest_rel

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


@pytest.mark.parametrize(("more", "fewer", "same"), [(7, 1, 20), (12, 3, 100), (5, 5, 2), (1, 0, 9)])
def test_right_answers_are_compared_by_the_mid_p_test(more, fewer, same):
    a = np.repeat([1, 0, 1], [more, fewer, same])
    b = np.repeat([0, 1, 1], [more, fewer, same])
    result = compare_means(a, b)
    tail = sum(binom.pmf(k, more + fewer, 0.5) for k in range(fewer)) + binom.pmf(fewer, more + fewer, 0.5) / 2
    assert result.p == pytest.approx(min(1, 2 * tail))
    # Agresti & Min (2005): a Wald interval after half an image is added to each of the four kinds of pairs.
    count = more + fewer + same + 2
    p, q = (more + 0.5) / count, (fewer + 0.5) / count
    half = 1.959964 * np.sqrt((p + q - (p - q) ** 2) / count)
    assert (result.low, result.high) == pytest.approx((p - q - half, p - q + half), abs=1e-6)


def test_other_means_are_compared_by_the_paired_t_test():
    a, b = RNG.random((2, 40))
    result, theirs = compare_means(a, b), ttest_rel(a, b)
    bounds = theirs.confidence_interval()
    assert result.p == pytest.approx(theirs.pvalue)
    assert (result.low, result.high) == pytest.approx((bounds.low, bounds.high))


def test_maxima_are_compared_as_by_every_permutation():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 8, 5))
    score = lambda curves: np.mean([(curves >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)])  # noqa: E731
    found = []
    for swap in product([False, True], repeat=8):
        mask = np.array(swap)[:, None]
        found.append(score(np.where(mask, b, a)) - score(np.where(mask, a, b)))
    result = compare([MaxScore(a)], [MaxScore(b)])
    assert result.difference == pytest.approx(score(a) - score(b))
    z = abs(result.difference) / np.sqrt(np.mean(np.square(found)))
    from scipy.stats import norm

    assert result.p == pytest.approx(2 * norm.sf(z), abs=0.02)  # a thousand of the 256 permutations, drawn


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
    assert result.p == pytest.approx(theirs.pvalue)
    bounds = theirs.confidence_interval()
    assert (result.low, result.high) == pytest.approx((bounds.low, bounds.high))


def test_images_alone_are_students_interval_over_them():
    """Where all trainings are equal, only the images differ."""
    values = RNG.random(40)
    interval, bounds = over_seeds([MeanScore(values)] * 3), ttest_1samp(values, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))
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
    # Four of four against none of four: were the signs random, two of 2^4 ways would be as extreme; half of them count.
    result = compare_means(np.ones(4), np.zeros(4))
    assert (result.p, result.real) == (pytest.approx(1 / 2**4), False)


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
