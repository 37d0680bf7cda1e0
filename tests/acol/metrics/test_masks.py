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
    np.testing.assert_allclose(result.piou, [2 / 4, 2 / 4, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2, 1 / 2])
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
    metric.update(metric.taus.reshape(1, 20, 50), np.ones((1, 20, 50)))
    assert (metric.counts[1] == 1).all()


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
        np.testing.assert_allclose([interval.low, interval.high], np.quantile(values, [0.025, 0.975]))
        assert interval.low < interval.value < interval.high
    with pytest.raises(InputError, match="no object"):
        pixel_intervals(pixel_counts(maps, np.zeros_like(masks), 50))


def test_pxap_with_ignored_borders_is_that_of_wsolevaluations_steps():
    """Its evaluator by its description: histograms of the scores of the pixels that are not ignored."""
    rng = np.random.default_rng(3)
    maps = rng.random((4, 24, 20))
    masks = np.zeros((4, 24, 20), np.uint8)
    masks[:, 4:20, 4:16], masks[:, 6:18, 6:14] = 255, 1
    maps = np.clip(maps * 0.6 + 0.4 * (masks == 1), 0, 1)
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0])
    true, false = (
        np.sum([np.histogram(m[t == value], edges)[0] for m, t in zip(maps, masks, strict=True)], axis=0).astype(float)
        for value in (1, 0)
    )
    found = true[::-1].cumsum()
    precision = found / np.maximum(found + false[::-1].cumsum(), 1e-12)
    recall = found / true.sum()
    area = float((precision[1:] * np.diff(recall))[np.diff(recall) > 0].sum() + precision[0] * recall[0])
    metric = PxAP()
    metric.update(maps, masks)
    assert metric.compute().pxap == pytest.approx(area, abs=1e-6)
    masks[masks == 255] = 0
    metric.reset()
    metric.update(maps, masks)
    assert metric.compute().pxap < area - 0.01
