import cv2
import numpy as np
import pytest

from acol.data.manifest import Image
from acol.errors import InputError
from acol.localization.map_scores import region_curves
from acol.localization.regions import MAP_SIZE, box_in_image, box_of, regions_in_image
from acol.metrics import iou_at, taus_of


def test_box_is_of_the_largest_region():
    score_map = np.zeros((6, 8), np.float32)
    score_map[0, 0] = 1.0  # the peak, alone
    score_map[2:5, 3:7] = 0.6  # 12 pixels
    assert box_of(score_map, 0.5) == (3, 2, 7, 5)
    assert box_of(score_map, 0.8) == (0, 0, 1, 1)
    # The same box in an image of twice the width and half the height.
    assert box_in_image(score_map, 0.5, (16, 3)) == (6, 1, 14, 2.5)


def test_a_region_counts_with_its_holes():
    score_map = np.zeros((9, 20), np.float32)
    score_map[1:8, 1:8] = 1
    score_map[2:7, 2:7] = 0  # a ring of 24 pixels around 25
    score_map[1:6, 10:16] = 1  # 30 pixels
    assert box_of(score_map, 0.5) == (1, 1, 8, 8)


def test_diagonal_neighbours_are_connected():
    assert box_of(np.eye(4, dtype=np.float32), 0.5) == (0, 0, 4, 4)


def test_a_flat_map_has_the_whole_image():
    assert box_of(np.zeros((3, 5), np.float32), 0.3) == (0, 0, 5, 3)


def test_values_outside_0_to_1_are_refused():
    with pytest.raises(InputError, match="normalise"):
        box_of(np.full((2, 2), 1.5), 0.3)


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_that_chooses_a_threshold_is_of_the_same_boxes(seed):
    rng = np.random.default_rng(seed)
    score_map = cv2.resize(rng.random((9, 9), np.float32), (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_LINEAR)
    image = Image("x.png", "a", "test", "0", 200, 100, ((20.3, 10.0, 120.0, 77.7),))
    (curve,) = region_curves([score_map[None]], [image])
    (truth,) = np.array(image.boxes)
    for tau in taus_of()[::97]:
        box = np.array(box_in_image(score_map, tau, (200, 100)))
        w, h = np.maximum(np.minimum(box[2:], truth[2:]) - np.maximum(box[:2], truth[:2]), 0)
        areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, truth))
        assert iou_at(curve[None], tau)[0] == pytest.approx(w * h / (areas - w * h), abs=1e-12)


def test_all_regions_by_hand() -> None:
    score_map = np.zeros((8, 10))
    score_map[1:4, 1:6], score_map[2, 3] = 0.8, 0  # with a hole
    score_map[6:8, 8:10] = 1.0
    large, small = regions_in_image(score_map, 0.5, (20, 8))
    assert large.box == (2, 1, 12, 4)
    assert large.score == pytest.approx(0.8, abs=0.01)
    assert (small.box, small.score) == ((16, 6, 20, 8), 1)
    assert {tuple(point) for point in large.outline} == {(3, 1.5), (11, 1.5), (11, 3.5), (3, 3.5)}
    assert regions_in_image(np.zeros((4, 4)), 0.5, (4, 4)) == ()


@pytest.mark.parametrize("seed", range(20))
def test_the_first_region_is_the_box_that_users_get(seed: int) -> None:
    coarse = np.random.default_rng(seed).random((7, 7), np.float32)
    score_map = cv2.resize(coarse, (60, 50), interpolation=cv2.INTER_LINEAR)
    regions = regions_in_image(score_map, 0.7, (100, 40))
    assert regions[0].box == pytest.approx(box_in_image(score_map, 0.7, (100, 40)))
    levels = (255 * score_map).astype(np.uint8)
    assert len(regions) == cv2.connectedComponents((levels > int(0.7 * levels.max())).astype(np.uint8))[0] - 1
    assert max(region.score for region in regions) == 1
