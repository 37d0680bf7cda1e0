import csv
import tracemalloc
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acol.errors import InputError
from acol.metrics import (
    MaxBoxAccV2,
    box_iou_curve,
    box_iou_curves,
    centred_box,
    choose_tau,
    gt_boxes_for_map,
    iou_at,
    taus_of,
)
from benchmarks import reference

IMAGENETTE = Path(__file__).parents[3].parent / "shared" / "data" / "imagenette-wsol" / "metadata" / "test"
CONTOURS = ("all", "largest")


def noise(rng, h, w):
    return rng.random((h, w))


def plateaus(rng, h, w):
    return np.round(rng.random((h, w)) * rng.integers(1, 6)) / 6


def binary(rng, h, w):
    return (rng.random((h, w)) > rng.random()).astype(float)


def smooth(rng, h, w):
    coarse = rng.random(rng.integers(1, 7, 2))
    fine = cv2.resize(coarse, (w, h), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    span = fine.max() - fine.min()
    return (fine - fine.min()) / span if span > 0 else np.zeros((h, w))


def blocky(rng, h, w):
    return cv2.resize(rng.random(rng.integers(1, 7, 2)), (w, h), interpolation=cv2.INTER_NEAREST)


def constant(rng, h, w):
    return np.full((h, w), rng.choice([0.0, 0.001, 0.5, 1.0]))


def single_pixels(rng, h, w):
    score_map = np.zeros((h, w))
    score_map[rng.integers(0, h, 3), rng.integers(0, w, 3)] = rng.random(3)
    return score_map


def faint(rng, h, w):
    return rng.random((h, w)) * rng.random() * 0.05


def half_zero(rng, h, w):
    return np.maximum(rng.random((h, w)) - 0.5, 0) * 2


def nested_rings(rng, h, w):
    y, x = np.mgrid[:h, :w]
    far = np.maximum(abs(y - rng.integers(0, h)), abs(x - rng.integers(0, w)))
    return rng.random(max(h, w) + 1)[far]


def touching_edges(rng, h, w):
    score_map = smooth(rng, h, w) * 0.5
    score_map[:, rng.choice([0, -1])] = rng.random(h)
    score_map[rng.choice([0, -1])] = 1
    return score_map


KINDS = [
    noise,
    plateaus,
    binary,
    smooth,
    blocky,
    constant,
    single_pixels,
    faint,
    half_zero,
    nested_rings,
    touching_edges,
]


def random_boxes(rng, h, w):
    count = int(rng.integers(1, 4))
    corners = rng.integers(0, [w + 1, h + 1], (2, count, 2))  # a half-open box ends at the width itself
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1)


@pytest.mark.parametrize("contours", CONTOURS)
@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_the_literal_loop_to_the_bit(kind, contours):
    rng = np.random.default_rng([KINDS.index(kind), CONTOURS.index(contours)])
    for trial in range(150):
        h, w = rng.integers(1, 17, 2) if trial % 10 else rng.integers(20, 50, 2)
        score_map, boxes = kind(rng, int(h), int(w)), random_boxes(rng, h, w)
        thresholds = int(rng.choice([1, 2, 7, 49, 60]))
        ours = box_iou_curve(score_map, boxes, thresholds, contours)
        expected = reference.box_iou_curve(score_map, boxes, thresholds, contours)
        np.testing.assert_array_equal(ours, expected, err_msg=f"{trial}: {score_map.tolist()} {boxes.tolist()}")


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    contours=st.sampled_from(CONTOURS),
    thresholds=st.integers(1, 130),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_any_map_equals_the_literal_loop(data, shape, contours, thresholds, dtype):
    score_map = data.draw(hnp.arrays(dtype, shape, elements=st.sampled_from([0, 0.01, 0.25, 0.5, 0.75, 0.998, 1])))
    boxes = random_boxes(np.random.default_rng(data.draw(st.integers(0, 99))), *shape)
    np.testing.assert_array_equal(
        box_iou_curve(score_map, boxes, thresholds, contours),
        reference.box_iou_curve(score_map, boxes, thresholds, contours),
    )


@pytest.mark.parametrize("contours", CONTOURS)
@pytest.mark.parametrize("side", [7, 14])
def test_maps_of_the_usual_size_equal_the_literal_loop(side, contours):
    rng = np.random.default_rng(side)
    maps = [cv2.resize(rng.random((side, side)), (224, 200), interpolation=cv2.INTER_LINEAR) for _ in range(2)]
    boxes = [random_boxes(rng, 200, 224) for _ in maps]
    ours = box_iou_curves(np.stack(maps), boxes, 300, contours, threads=2)
    for curve, score_map, truth in zip(ours, maps, boxes, strict=True):
        np.testing.assert_array_equal(curve, reference.box_iou_curve(score_map, truth, 300, contours))


def test_the_loop_over_grey_levels_is_the_same_protocol():
    rng = np.random.default_rng(0)
    for kind in KINDS:
        score_map, boxes = kind(rng, 9, 12), random_boxes(rng, 9, 12)
        for contours in CONTOURS:
            np.testing.assert_array_equal(
                reference.box_iou_curve_by_level(score_map, boxes, 60, contours),
                reference.box_iou_curve(score_map, boxes, 60, contours),
            )


def test_curve_of_a_block():
    # 4 x 4 pixels of 1 at x 2..5, y 1..4 on 8 x 8. The contour's box is x 2, y 1, w 4, h 4, so (2, 1, 6, 5) by the
    # protocol: 5 x 5 = 25. Truth (2, 1, 6, 6) is 5 x 6 = 30 and holds it: IoU 25/30 at every tau.
    score_map = np.zeros((8, 8))
    score_map[1:5, 2:6] = 1
    np.testing.assert_array_equal(box_iou_curve(score_map, [[2, 1, 6, 6]], 10), np.full(10, 25 / 30))


def test_a_hole_has_a_box_of_its_own():
    # Ones over all of 7 x 7 but a 0 at (3, 3). The outer contour gives (0, 0, 6, 6) (7 would be past W - 1): 49 pixels.
    # The hole's contour runs one pixel around it, x 2..4: (2, 2, 5, 5), 16. Truth (2, 2, 5, 5): 16/49 against the outer
    # box, 1 against the hole's.
    score_map = np.ones((7, 7))
    score_map[3, 3] = 0
    truth = [[2, 2, 5, 5]]
    assert box_iou_curve(score_map, truth, 4).tolist() == [1, 1, 1, 1]
    assert box_iou_curve(score_map, truth, 4, "largest").tolist() == [16 / 49] * 4


def test_thresholds_split_a_map():
    # Values 1.0 at x 0..1 and 0.5 (127 of 255) at x 4..7 of one row of 10: tau 0 and 0.25 (int(63.75) = 63) leave both,
    # tau 0.5 (int(127.5) = 127, and 127 > 127 is false) and 0.75 the first only.
    # Boxes: (0, 0, 2, 0), 3 pixels, and (4, 0, 8, 0), 5 (y1 = min(1, H - 1) = 0). Truth (4, 0, 8, 0): 1, 1, 0, 0.
    score_map = np.zeros((1, 10))
    score_map[0, :2], score_map[0, 4:8] = 1.0, 0.5
    assert box_iou_curve(score_map, [[4, 0, 8, 0]], 4).tolist() == [1, 1, 0, 0]
    # A contour one pixel high has no area, so the largest is a tie at 0: the first in OpenCV's order counts.
    assert (
        box_iou_curve(score_map, [[4, 0, 8, 0]], 4, "largest").tolist()
        == reference.box_iou_curve(score_map, np.array([[4, 0, 8, 0]]), 4, "largest").tolist()
    )


def test_no_contour_gives_the_box_at_the_origin():
    # (0, 0, 0, 0) is one pixel; truth (0, 0, 1, 1) is four.
    assert box_iou_curve(np.zeros((5, 5)), [[0, 0, 1, 1]], 3).tolist() == [0.25] * 3


def test_the_best_of_several_true_boxes_counts():
    score_map = np.zeros((9, 9))
    score_map[5:8, 5:8] = 1  # (5, 5, 8, 8)
    assert box_iou_curve(score_map, [[0, 0, 2, 2], [5, 5, 8, 8]], 2).tolist() == [1, 1]


def test_torch_tensors_of_any_float_type_and_lists_are_taken():
    score_map = torch.rand(2, 12, 12, requires_grad=True)
    boxes = torch.tensor([[2, 2, 9, 9]])
    expected = [reference.box_iou_curve(m, boxes.numpy(), 50) for m in score_map.detach().numpy()]
    np.testing.assert_array_equal(box_iou_curves(score_map, [boxes, boxes.tolist()], 50), expected)
    assert box_iou_curve(score_map[0].bfloat16(), boxes, 50).shape == (50,)


@pytest.mark.parametrize("count", [1, 2, 10, 256, 1000])
def test_taus_are_as_many_as_asked(count):
    assert taus_of(count).shape == (count,)
    assert box_iou_curve(np.eye(3), [[0, 0, 2, 2]], count).dtype == np.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score_map": np.full((4, 4), np.nan)}, "nan"),
        ({"score_map": np.full((4, 4), np.inf)}, "inf"),
        ({"score_map": np.full((4, 4), 1.01)}, "normalise"),
        ({"score_map": np.full((4, 4), -0.01)}, "normalise"),
        ({"score_map": np.zeros(4)}, "shape"),
        ({"score_map": np.zeros((0, 4))}, "shape"),
        ({"score_map": np.zeros((1, 4, 4))}, "shape"),
        ({"gt_boxes": np.zeros((0, 4))}, "no box"),
        ({"gt_boxes": []}, "shape"),
        ({"gt_boxes": [0, 0, 1, 1]}, "shape"),
        ({"gt_boxes": [[0, 0, np.nan, 1]]}, "finite"),
        ({"gt_boxes": [[2, 0, 1, 1]]}, "x0 <= x1"),
        ({"gt_boxes": [[-1, 0, 1, 1]]}, "0 <= x0"),
        ({"thresholds": 0}, "thresholds"),
        ({"contours": "biggest"}, "contours"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        box_iou_curve(**{"score_map": np.zeros((4, 4)), "gt_boxes": [[0, 0, 1, 1]]} | change)
    assert "\n" not in str(caught.value)


def test_gt_boxes_are_scaled_and_truncated():
    # A 400 x 200 image on a 224 x 224 map: x by 0.56, y by 1.12. 10 -> 5.6 -> 5, 20 -> 22.4 -> 22, 399 -> 223.44 ->
    # 223, 200 -> 224: the half-open end stays as it is, as wsolevaluation leaves it in its own files.
    assert gt_boxes_for_map([[10, 20, 399, 200]], (400, 200), (224, 224)).tolist() == [[5, 22, 223, 224]]
    with pytest.raises(InputError, match="positive"):
        gt_boxes_for_map([[0, 0, 1, 1]], (0, 5), (4, 4))


def test_max_box_acc_v2_takes_each_threshold_at_its_own_tau():
    # Best IoUs of three images at taus 0, 1/2:      at IoU 0.3: 3/3, 2/3; at 0.5: 1/3, 2/3; at 0.7: 0, 1/3.
    #   0.4 0.8 | 0.4 0.6 | 0.5 0.1                  maxima 1, 2/3, 1/3, mean 2/3; taus 0, 0.5, 0.5.
    metric = MaxBoxAccV2(thresholds=2)
    metric.update_curves(np.array([[0.4, 0.8], [0.4, 0.6]]))
    metric.update_curves(np.array([[0.5, 0.1]]))
    result = metric.compute()
    assert isinstance(result, float)
    assert result == pytest.approx(2 / 3)
    assert result.score == float(result)
    np.testing.assert_allclose(result.per_iou, [1, 2 / 3, 1 / 3])
    assert result.best_tau.tolist() == [0, 0.5, 0.5]
    np.testing.assert_allclose(result.curves, [[1, 2 / 3], [1 / 3, 2 / 3], [0, 1 / 3]])


@pytest.mark.parametrize("contours", CONTOURS)
def test_max_box_acc_v2_equals_the_loop_over_a_data_set(contours):
    rng = np.random.default_rng(5)
    maps = np.stack([smooth(rng, 24, 30) for _ in range(12)])
    boxes = [random_boxes(rng, 24, 30) for _ in maps]
    metric = MaxBoxAccV2(thresholds=100, contours=contours)
    metric.update(maps[:5], boxes[:5])
    metric.update(maps[5:], boxes[5:])
    curves = np.stack([reference.box_iou_curve(m, b, 100, contours) for m, b in zip(maps, boxes, strict=True)])
    expected = np.mean([(curves >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)])
    assert metric.compute() == pytest.approx(expected, abs=1e-12)


def test_metric_state_does_not_grow_and_resets():
    metric = MaxBoxAccV2(thresholds=10)
    for images in (1, 100):
        metric.update_curves(np.zeros((images, 10)))
        assert metric.hits.shape == (3, 10)
    metric.reset()
    with pytest.raises(InputError, match="no image"):
        metric.compute()


def test_contours_are_not_kept_beyond_their_map():
    maps, peaks = np.random.default_rng(0).random((64, 64, 64), dtype=np.float32), {}
    box_iou_curves(maps[:1], [[[0, 0, 9, 9]]], thresholds=10)  # compiles
    for count in (8, 64):
        tracemalloc.start()
        box_iou_curves(maps[:count], [[[0, 0, 9, 9]]] * count, thresholds=10, threads=1)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[64] - peaks[8] < 56 * 256 * 4 * 8  # the boxes of one map at all levels are 256 * 4 * 8 bytes


def test_unequal_counts_and_unknown_settings_are_refused():
    with pytest.raises(InputError, match="2 images' boxes for 1 maps"):
        MaxBoxAccV2().update(np.zeros((1, 3, 3)), [[[0, 0, 1, 1]]] * 2)
    with pytest.raises(InputError, match="iou"):
        MaxBoxAccV2(iou=())
    with pytest.raises(InputError, match="contours"):
        MaxBoxAccV2(contours="none")


def test_a_tau_is_chosen_for_any_number_of_thresholds():
    curves = box_iou_curves(np.pad(np.ones((4, 4)), 2)[None], [[[2, 2, 6, 6]]], thresholds=196)
    assert choose_tau(curves) == 0  # 197 taus: rounding adds one


def test_the_best_tau_has_the_most_right_and_of_equal_ones_is_the_first_or_the_nearest():
    # Four taus 0, 0.25, 0.5, 0.75. Right at IoU 0.5 (x): .xx., ..x., ..x., x... Most at 0.5, three of four.
    curves = np.array([[0.1, 0.6, 0.7, 0.2], [0, 0.4, 0.5, 0.3], [0.4, 0.4, 0.9, 0], [0.8, 0, 0, 0]])
    assert choose_tau(curves) == 0.5
    assert choose_tau(curves[[0, 3]]) == 0  # one of two at 0, at 0.25 and at 0.5
    assert choose_tau(curves[[0, 3]], near=0.3) == 0.25
    assert choose_tau(curves[[0, 3]], near=0.7) == 0.5
    assert choose_tau(curves, near=0) == choose_tau(curves, near=0.2) == 0.5
    assert choose_tau(np.zeros((0, 2))) is None
    assert choose_tau(None) is None


def test_iou_is_read_at_the_nearest_tau():
    curves = np.arange(10)[None] / 10
    assert iou_at(curves, 0.3) == [0.3]
    assert iou_at(curves, 0.99) == [0.9]
    with pytest.raises(InputError, match="tau"):
        iou_at(curves, 1.0)


def test_centred_box_on_a_small_map():
    # On 20 x 20 the centred box of share 1/2 is (5, 5, 14, 14), which is the truth: IoU 1 there, for every threshold.
    result = centred_box([[[5, 5, 14, 14]]], (20, 20))
    assert result == 1
    assert 0.5 in result.taus[(result.curves == 1).all(axis=0)]


@pytest.mark.skipif(not IMAGENETTE.exists(), reason="needs ../shared/data/imagenette-wsol")
def test_centred_box_on_imagenette():
    boxes = defaultdict(list)
    with (IMAGENETTE / "localization.txt").open() as file:
        for name, *box in csv.reader(file):
            boxes[name].append([float(side) for side in box])
    truths = [gt_boxes_for_map(rows, (224, 224), (224, 224)) for rows in boxes.values()]
    result = centred_box(truths, (224, 224))
    assert len(truths) == 500
    np.testing.assert_allclose(result.per_iou, [0.728, 0.518, 0.262])
    assert round(result, 3) == 0.503
