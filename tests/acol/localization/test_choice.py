"""The rules that choose a map, on drawn blobs and made-up curves."""

import numpy as np
import pytest
import torch

from acol.data.manifest import Image
from acol.localization.choice import CAREFUL, LEAST, TRUSTED, choose, scores_of_maps, with_boxes, without_boxes


def blobs(places: list[tuple[int, int]], width: float) -> np.ndarray:
    """A Gaussian blob in each map (N, 16, 16), its centre at (row, column), normalised."""
    rows, columns = np.mgrid[:16, :16]
    maps = [np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * width**2)) for r, c in places]
    return np.stack([(one - one.min()) / np.ptp(one) for one in maps]).astype(np.float32)


HERE, ELSEWHERE = [(4, 4), (5, 10), (11, 6)], [(12, 12), (12, 2), (3, 13)]


@pytest.mark.parametrize(
    ("middle", "chosen"),
    [
        (blobs(HERE, 2), TRUSTED),  # compact, and where the CAM is
        (blobs(ELSEWHERE, 2), CAREFUL),  # compact, elsewhere
        (blobs(HERE, 5), CAREFUL),  # wider than the CAM
        (np.zeros((3, 16, 16), np.float32), CAREFUL),  # flat: nowhere
    ],
)
def test_without_boxes(middle: np.ndarray, chosen: str) -> None:
    found = without_boxes(blobs(HERE, 2.2), middle)
    assert (found.name, found.by, found.images) == (chosen, "sources", 3)


def test_without_images_or_with_flat_maps_the_careful_map_is_chosen() -> None:
    assert without_boxes(blobs(HERE, 2)[:0], blobs(HERE, 2)[:0]).name == CAREFUL
    flat = np.zeros((3, 4, 4), np.float32)
    assert without_boxes(flat, flat) == without_boxes(flat, flat + 1)


def curves(right: int, of: int = 40) -> np.ndarray:
    """Boxes of `right` of the images are right at every threshold."""
    return np.where(np.arange(of) < right, 0.9, 0.1)[:, None].repeat(5, axis=1)


def test_with_boxes_the_largest_sure_gain_wins() -> None:
    found = {"cam": curves(20), "cam+0.5late": curves(20), "cam+late": curves(30), "cam+0.5norm": curves(28)}
    assert with_boxes(found, "cam+0.5late") == "cam+late"
    assert with_boxes(found | {"norm": curves(40)}, "cam+0.5late") == "cam+late"  # it knows no class
    assert with_boxes({name: each[:9] for name, each in found.items()}, "cam") == "cam"  # too few
    assert with_boxes({name: curves(20) for name in found}, "cam+0.5late") == "cam+0.5late"  # a tie


def test_a_gain_within_a_standard_error_does_not_count() -> None:
    # One image more of 40: the mean gain is 1/40, and its standard error is 1/40.
    assert with_boxes({"cam": curves(20), "cam+late": curves(21)}, "cam") == "cam"
    assert with_boxes({"cam": curves(20), "cam+late": curves(22)}, "cam") == "cam+late"


def image(number: int, boxed: bool) -> Image:
    return Image(f"{number}.png", "a", "val", str(number), 16, 16, ((2.0, 2.0, 7.0, 7.0),) if boxed else None)


@pytest.mark.parametrize(("boxed", "by"), [(0, "sources"), (LEAST - 1, "sources"), (LEAST, "boxes")])
def test_boxes_choose_where_there_are_enough(boxed: int, by: str) -> None:
    places = [(4, 4)] * LEAST
    cam, norm = torch.from_numpy(blobs(places, 6)), torch.from_numpy(blobs([(13, 13)] * LEAST, 1))
    sources = {"cam": cam, "norm": norm, "early": norm, "middle": norm, "late": torch.from_numpy(blobs(places, 1.5))}
    found = choose(sources, [image(n, n < boxed) for n in range(LEAST)])
    assert found.by == by
    assert found.name == CAREFUL if by == "sources" else found.name in (CAREFUL, "cam+late")
    assert choose({"cam": cam, "norm": norm}, []).name == "cam"


def test_gains_are_over_plain_cam() -> None:
    rows = scores_of_maps({"cam": curves(20), "cam+late": curves(30)})
    assert rows["cam"] == {"max_box_acc_v2": 0.5}
    assert rows["cam+late"]["gain"] == pytest.approx(0.25)
    low, high = rows["cam+late"]["interval"]
    assert 0 < low < 0.25 < high
