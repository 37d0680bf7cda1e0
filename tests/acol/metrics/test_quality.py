import numpy as np
import pytest
import torch

from acol.errors import InputError
from acol.metrics import (
    average_drop,
    box_mask,
    complementarity,
    coverage,
    deletion,
    entropy,
    insertion,
    mass_inside,
    object_share,
    overlap,
    pointing,
)


def brightness(images):
    """Say class 1 with the probability of the mean value of the top left quarter."""
    p = images[:, :, : images.shape[2] // 2, : images.shape[3] // 2].mean(dim=(1, 2, 3))
    return torch.stack([1 - p, p], dim=1)


def corner(size=4):
    """An image, and a map, bright in the top left quarter only."""
    score_map = np.zeros((1, size, size))
    score_map[:, : size // 2, : size // 2] = 1
    return torch.from_numpy(score_map)[:, None].expand(1, 3, size, size).float(), score_map


def test_coverage_by_hand():
    maps = [[[0.0, 0.2], [0.6, 1.0]]]
    assert coverage(maps) == pytest.approx([0.45])
    assert coverage(maps, tau=0.2) == pytest.approx([0.5])  # strictly above


def test_entropy_runs_from_a_point_to_uniform():
    # Two of four pixels at the same value: ln 2 / ln 4 = 1/2.
    maps = [[[1, 0], [0, 0]], [[0.5, 0.5], [0, 0]], [[0.3, 0.3], [0.3, 0.3]], [[0, 0], [0, 0]]]
    assert entropy(maps) == pytest.approx([0, 0.5, 1, 1])
    assert entropy([[[0.7]]]) == [1]


def test_overlap_and_complementarity_by_hand():
    # Above 0.5: the first has pixels {0, 1}, the second {1, 2, 3}, the third {0}. IoU: 1/4, 1/2, 0/4.
    # New to the union: 2 of 2; {2, 3} of 4; none of 4.
    maps = np.array([[1, 1, 0, 0], [0, 1, 1, 0.9], [0.8, 0.5, 0, 0]]).reshape(3, 1, 2, 2)
    np.testing.assert_allclose(overlap(maps, 0.5)[..., 0], [[1, 1 / 4, 1 / 2], [1 / 4, 1, 0], [1 / 2, 0, 1]])
    np.testing.assert_allclose(complementarity(maps, 0.5)[:, 0], [1, 0.5, 0])
    empty = np.zeros((2, 1, 2, 2))
    assert not overlap(empty, 0.5).any()
    assert not complementarity(empty, 0.5).any()


def test_object_share_by_hand():
    # The box covers the left column of 2 x 2; the maps cover the top row and nothing.
    maps = np.array([[[[1, 1], [0, 0]]], [[[0, 0], [0, 0]]]])
    objects = box_mask([[0, 0, 1, 2]], (2, 2))[None]
    assert object_share(maps, objects, 0.5).tolist() == [[0.5], [0.0]]
    with pytest.raises(InputError, match="image 0"):
        object_share(maps, np.zeros((1, 2, 2)), 0.5)


def test_box_mask_is_half_open_and_unites_boxes():
    # 3 wide, 2 high: (0, 0, 1, 1) and (1, 1, 3, 2).
    assert box_mask([[0, 0, 1, 1], [1, 1, 3, 2]], (3, 2)).tolist() == [[True, False, False], [False, True, True]]
    assert not box_mask([], (3, 2)).any()
    for boxes, problem in (
        ([0, 0, 1, 1], r"boxes: have shape \(4,\); give \(boxes, 4\)"),
        ([[0, 0, 1, np.nan]], "finite"),
    ):
        with pytest.raises(InputError, match=problem):
            box_mask(boxes, (3, 2))


def test_average_drop_and_increase_by_hand():
    # The label's probability is 1 on the image. Through its own map it stays 1; through a map of 0.25 it is 0.25:
    # drop 0.75. For class 0 it is 0 on the image and 0.75 through the map: no drop, an increase.
    images, good = corner()
    flat = np.full_like(good, 0.25)
    drop, increase = average_drop(brightness, images.repeat(3, 1, 1, 1), np.concatenate([good, flat, flat]), [1, 1, 0])
    assert drop == pytest.approx([0, 0.75, 0])
    assert increase.tolist() == [False, False, True]


def test_deletion_and_insertion_by_hand():
    # 16 pixels in 4 steps. The map's four highest are the bright quarter; the mean image is 1/4 everywhere. Deleting:
    # the probability is 1, then 1/4 throughout: area (1 + 1/4) / 2 / 4 + 3/4 * 1/4 = 0.34375. Inserting on the mean
    # image: 1/4, then 1: (1/4 + 1) / 2 / 4 + 3/4 = 0.90625. The opposite map does so in the last step only, which gives
    # 3/4 + (1 + 1/4) / 2 / 4 = 0.90625 and 3/4 * 1/4 + (1/4 + 1) / 2 / 4 = 0.34375.
    images, good = corner()
    bad = 1 - good
    both, maps = images.repeat(2, 1, 1, 1), np.concatenate([good, bad])
    for batch in (1, 64):
        area = deletion(brightness, both, maps, [1, 1], steps=4, batch=batch)
        assert area == pytest.approx([0.34375, 0.90625])
        area = insertion(brightness, both, maps, [1, 1], steps=4, baseline="mean", batch=batch)
        assert area == pytest.approx([0.90625, 0.34375])


def test_insertion_on_a_blurred_image_prefers_the_right_map():
    images, good = corner(16)
    area = insertion(brightness, images.repeat(2, 1, 1, 1), np.concatenate([good, 1 - good]), [1, 1])
    assert area[0] > area[1]


@pytest.mark.parametrize("maps", [np.zeros((2, 2)), np.full((1, 2, 2), 2.0), np.full((1, 2, 2), np.nan)])
def test_bad_maps_are_refused(maps):
    with pytest.raises(InputError, match="maps"):
        coverage(maps)
    with pytest.raises(InputError, match="maps"):
        deletion(brightness, torch.zeros(1, 3, 2, 2), maps, [0])


@pytest.mark.parametrize("score", [pointing, mass_inside, lambda maps, objects: object_share(maps[None], objects, 0.5)])
def test_objects_of_another_shape_are_refused(score):
    with pytest.raises(InputError, match=r"objects: have shape \(1, 2, 2\) for maps of \(2, 2, 2\)"):
        score(np.zeros((2, 2, 2)), np.ones((1, 2, 2)))


def test_where_the_maximum_and_the_mass_of_a_map_are():
    maps = np.zeros((4, 3, 4))
    maps[0, 1, 2] = 1.0
    maps[1] = 0.5
    maps[2, 0, 0], maps[2, 2, 3] = 0.75, 0.25
    objects = np.zeros((4, 3, 4), bool)
    objects[:, 1:, 2:] = True
    assert pointing(maps, objects).tolist() == [True, False, False, False]  # the first of equal maxima counts
    assert mass_inside(maps, objects).tolist() == pytest.approx([1, 4 / 12, 0.25, 0])
