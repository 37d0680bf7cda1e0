"""The rules that choose a map, on drawn blobs and made-up curves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from acol.data.manifest import Image
from acol.localization.choice import (
    CAREFUL,
    LEAST,
    MOST,
    TRUSTED,
    Choice,
    MapValues,
    choose,
    surely_better,
    without_boxes,
)
from acol.localization.inference import SplitOutputs
from acol.metrics.scored import MaxScore
from acol.recipe import Recipe


def blobs(places: list[tuple[int, int]], width: float) -> np.ndarray:
    """A Gaussian blob in each map (N, 16, 16), its centre at (row, column), normalised."""
    rows, columns = np.mgrid[:16, :16]
    maps = [np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * width**2)) for r, c in places]
    return np.stack([(one - one.min()) / np.ptp(one) for one in maps]).astype(np.float32)


HERE, ELSEWHERE = [(4, 4), (5, 10), (11, 6)] * 4, [(12, 12), (12, 2), (3, 13)] * 4


@pytest.mark.parametrize(
    ("middle", "chosen"),
    [
        (blobs(HERE, 2), TRUSTED),  # compact, and where the CAM is
        (blobs(ELSEWHERE, 2), CAREFUL),  # compact, elsewhere
        (blobs(HERE, 5), CAREFUL),  # wider than the CAM
        (np.zeros((12, 16, 16), np.float32), CAREFUL),  # flat: nowhere
    ],
)
def test_without_boxes(middle: np.ndarray, chosen: str) -> None:
    found = without_boxes(blobs(HERE, 2.2), middle)
    assert (found.name, found.by, found.images) == (chosen, "sources", 12)


def test_flat_maps_choose_the_careful_map() -> None:
    flat = np.zeros((LEAST, 4, 4), np.float32)
    assert without_boxes(flat, flat) == without_boxes(flat, flat + 1)


def curves(right: int, of: int = 40) -> np.ndarray:
    """Boxes of `right` of the images are right at every threshold."""
    return np.where(np.arange(of) < right, 0.9, 0.1)[:, None].repeat(5, axis=1)


def best(found: dict[str, np.ndarray], reference: str) -> str:
    return surely_better({name: MaxScore(each).contributions for name, each in found.items()}, reference)


def test_the_largest_sure_gain_wins() -> None:
    found = {"cam": curves(20), "cam+0.5late": curves(20), "cam+late": curves(30), "cam+0.5norm": curves(28)}
    assert best(found, "cam+0.5late") == "cam+late"
    assert best(found | {"norm": curves(40)}, "cam+0.5late") == "cam+late"  # it knows no class
    assert best({name: each[:9] for name, each in found.items()}, "cam") == "cam"  # too few
    assert best({name: curves(20) for name in found}, "cam+0.5late") == "cam+0.5late"  # a tie


def test_a_gain_within_a_standard_error_does_not_count() -> None:
    # One image more of 40: the mean gain is 1/40, and its standard error is 1/40.
    assert best({"cam": curves(20), "cam+late": curves(21)}, "cam") == "cam"
    assert best({"cam": curves(20), "cam+late": curves(22)}, "cam") == "cam+late"


def image(number: int, boxed: bool, mask: str | None) -> Image:
    box = ((2.0, 2.0, 7.0, 7.0),) if boxed else None
    return Image(f"{number}.png", "a", "val", str(number), 16, 16, box, mask)


def outputs(cams: list[np.ndarray], **norms: np.ndarray) -> SplitOutputs:
    """Each classifier's maps (N, h, w), and the norms."""
    return SplitOutputs(np.zeros((len(cams), len(cams[0]), 2)), np.stack(cams), np.stack(cams), norms)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    mask = np.zeros((16, 16), np.uint8)
    mask[2:7, 2:7] = 255
    Picture.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


P, SAME = Recipe.parse("p"), [(4, 4)] * LEAST


@pytest.mark.parametrize(
    ("boxed", "masked", "by"),
    [
        (0, 0, "sources"),
        (LEAST - 1, LEAST - 1, "sources"),
        (LEAST, 0, "boxes"),
        (LEAST, LEAST, "boxes"),
        (LEAST - 1, LEAST, "masks"),
    ],
)
def test_boxes_choose_where_there_are_enough_and_else_masks(boxed: int, masked: int, by: str, root: Path) -> None:
    norm = blobs([(13, 13)] * LEAST, 1)
    found = outputs([blobs(SAME, 6)], norm=norm, early=norm, middle=norm, late=blobs(SAME, 1.5))
    images = [image(n, n < boxed, "mask.png" if n < masked else None) for n in range(LEAST)]
    chosen = choose(found, P, images, root)
    assert (chosen.by, chosen.images) == (by, LEAST)
    assert chosen.name == CAREFUL if by == "sources" else chosen.name in (CAREFUL, "cam+late")


def test_masks_choose_the_map_that_covers_them(root: Path) -> None:
    # The CAM is on the object, and the features are elsewhere: what is added to the CAM does harm.
    there = blobs([(12, 12)] * LEAST, 2)
    found = outputs([blobs(SAME, 2)], norm=there, early=there, middle=there, late=there)
    assert choose(found, P, [image(n, False, "mask.png") for n in range(LEAST)], root).name == "cam"
    assert choose(found, P, [image(n, False, None) for n in range(LEAST)], root).name == CAREFUL


def test_the_first_classifier_is_compared_however_wide_the_fused_map_is(root: Path) -> None:
    wide, middle = blobs(SAME, 5), blobs(SAME, 3)
    norms = {"norm": wide, "early": middle, "middle": middle, "late": wide}
    images = [image(n, False, None) for n in range(LEAST)]
    for second in (blobs(SAME, 2), wide):
        assert choose(outputs([blobs(SAME, 2), second], **norms), Recipe.parse("pp-0.6"), images, root).name == CAREFUL


def test_of_many_images_some_choose(root: Path) -> None:
    blob = blobs([(4, 4)] * (MOST + 1), 2)
    found = outputs([blob], norm=blob, early=blob, middle=blob, late=blob)
    assert choose(found, P, [image(n, True, None) for n in range(MOST + 1)], root).images == MOST // 2 + 1


def test_too_few_images_choose_nothing(root: Path) -> None:
    blob = blobs(SAME, 2)
    whole = outputs([blob], norm=blob, early=blob, middle=blob, late=blob)
    images = [image(n, False, None) for n in range(LEAST)]
    assert choose(whole, P, images, root).name == TRUSTED
    for few in (images[1:], []):
        assert choose(whole, P, few, root) == Choice(CAREFUL, "default")
    assert choose(outputs([blob], norm=blob), P, images, root) == Choice("cam", "default")


def test_gains_are_over_plain_cam() -> None:
    found = {name: MaxScore(curves(right)).contributions for name, right in (("cam", 20), ("cam+late", 30))}
    rows = MapValues("boxes", [*range(40)], found).table()
    assert rows["cam"] == {"max_box_acc_v2": 0.5}
    assert rows["cam+late"]["gain"] == pytest.approx(0.25)
    low, high = rows["cam+late"]["interval"]
    assert 0 < low < 0.25 < high
