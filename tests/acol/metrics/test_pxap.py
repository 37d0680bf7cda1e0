import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from acol.errors import InputError
from acol.metrics import PxAP, pixel_counts, pixel_intervals


def test_pxap_by_hand():
    # Scores 0.95 object, 0.65 background, 0.35 object, 0.15 background. Precision at each object: 1/1 and 2/3; each
    # adds recall 1/2, so PxAP = (1 + 2/3) / 2 = 5/6. pIoU of what is found with tau up to 0.9: 1/2 (one of two
    # objects), up to 0.6: 1/3, up to 0.3: 2/3, up to 0.1: 2/4.
    metric = PxAP(thresholds=10)
    metric.update([[[0.95, 0.65], [0.35, 0.15]]], [[[1, 0], [1, 0]]])
    result = metric.compute()
    assert result.pxap == pytest.approx(5 / 6)
    np.testing.assert_allclose(result.piou, [1 / 2, 1 / 2, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2, 1 / 2, 0])
    assert result.peak_piou == pytest.approx(2 / 3)
    assert result.best_tau == pytest.approx(0.2)  # the first of equals


def test_pxap_equals_average_precision_of_the_binned_scores_and_nears_the_exact_one():
    rng = np.random.default_rng(0)
    masks = (rng.random((6, 30, 30)) < 0.3).astype(np.uint8)
    maps = np.clip(rng.normal(0.3 + 0.3 * masks, 0.2), 0, 1)
    masks[:, :3] = 255  # ignored
    metric = PxAP()
    metric.update(maps[:2], masks[:2])
    metric.update(maps[2:], masks[2:])
    kept = masks != 255
    binned = np.digitize(maps, metric.taus)
    assert metric.compute().pxap == pytest.approx(average_precision_score(masks[kept], binned[kept]), abs=1e-12)
    assert metric.compute().pxap == pytest.approx(average_precision_score(masks[kept], maps[kept]), abs=1e-3)


def test_scores_on_the_edge_of_a_bin_belong_to_it():
    metric = PxAP(thresholds=1000)
    metric.update(metric.taus.reshape(1, 77, 13), np.ones((1, 77, 13)))  # 1001: the last is 1
    assert (metric.counts[1] == 1).all()


@pytest.mark.parametrize("thresholds", [49, 196])  # rounding gives them one threshold more
def test_bins_lie_between_the_thresholds_that_are_returned(thresholds):
    metric = PxAP(thresholds)
    metric.update([[[0.5]]], [[[1]]])
    (index,) = np.flatnonzero(metric.counts[1])
    assert metric.taus[index] <= 0.5 < metric.taus[index + 1]


def test_a_perfect_map_has_both_at_one():
    masks = np.eye(4)[None]
    metric = PxAP()
    metric.update(masks, masks)
    assert (metric.compute().pxap, metric.compute().peak_piou) == (1, 1)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), "shape"),
        (np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2)), "nan"),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), 2), "other than"),
    ],
)
def test_bad_input_is_refused(maps, masks, message):
    with pytest.raises(InputError, match=message):
        PxAP().update(maps, masks)
    with pytest.raises(InputError, match="no object pixel"):
        PxAP().compute()


def test_intervals_equal_a_loop_over_resamples():
    rng = np.random.default_rng(0)
    masks = (rng.random((12, 8, 8)) < 0.3).astype(np.uint8)
    maps = np.clip(0.4 * masks + 0.6 * rng.random((12, 8, 8)), 0, 1)
    pxap, piou = pixel_intervals(pixel_counts(maps, masks, 50), resamples=200, seed=5)
    scores = []
    for drawn in np.random.default_rng(5).integers(0, 12, (200, 12)):
        metric = PxAP(thresholds=50)
        metric.update(maps[drawn], masks[drawn])
        scores.append((metric.compute().pxap, metric.compute().peak_piou))
    for interval, values in zip((pxap, piou), np.transpose(scores), strict=True):
        half = 2.200985 * values.std() * np.sqrt(12 / 11)  # Student's quantile for 11 degrees of freedom
        centre = interval.value - 1.5 * (values.mean() - interval.value)
        np.testing.assert_allclose([interval.low, interval.high], [centre - half, centre + half], rtol=1e-5)
    with pytest.raises(InputError, match="no object"):
        pixel_intervals(pixel_counts(maps, np.zeros_like(masks), 50))


def wsolevaluations_auc(maps, masks):
    """The steps of its MaskEvaluator, as they are written there."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    true, false = (
        np.sum([np.histogram(m[t == value], edges)[0] for m, t in zip(maps, masks, strict=True)], axis=0).astype(float)
        for value in (1, 0)
    )
    tp, fp = true[::-1].cumsum(), false[::-1].cumsum()
    non_zero = (tp + fp) != 0
    precision, recall = tp / np.where(non_zero, tp + fp, 1), tp / true.sum()
    return (precision[1:] * np.diff(recall))[non_zero[1:]].sum()


@pytest.mark.parametrize("kind", ["smooth", "saturated", "nearly saturated", "binary", "flat"])
def test_pxap_is_that_of_wsolevaluations_steps(kind):
    rng = np.random.default_rng(3)
    masks = np.zeros((4, 24, 20), np.uint8)
    masks[:, 4:20, 4:16], masks[:, 6:18, 6:14] = 255, 1
    maps = np.clip(rng.random(masks.shape) * 0.6 + 0.4 * (masks == 1), 0, 1)
    if kind == "saturated":
        maps = np.clip(maps * 1.4, 0, 1)
    elif kind == "nearly saturated":  # the objects have exactly 1, and much of the background almost
        maps = np.where(masks == 1, 1.0, np.where(maps > 0.3, 0.9995, maps))
    elif kind == "binary":
        maps = np.round(maps)
    elif kind == "flat":
        maps = np.ones_like(maps)
    metric = PxAP()
    metric.update(maps, masks)
    expected = wsolevaluations_auc(maps, masks)
    assert metric.compute().pxap == pytest.approx(expected, abs=1e-9)
    if kind == "nearly saturated":
        assert expected == 1
    if kind == "smooth":  # ignored pixels do not count
        masks[masks == 255] = 0
        metric.reset()
        metric.update(maps, masks)
        assert metric.compute().pxap < expected - 0.01
