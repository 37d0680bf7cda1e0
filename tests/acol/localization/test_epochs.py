import numpy as np
import pytest

from acol.data.manifest import Image
from acol.localization.epochs import localization_of


def test_localization_of_an_epoch_by_hand():
    """The left half is found in one image and missed in the other: at each level of IoU half of them are right."""
    maps = np.zeros((2, 8, 8), np.float16)
    maps[0, :, :4], maps[1, :, 4:] = 1, 1
    images = [Image(f"{n}.png", "a", "val", str(n), 40, 20, ((0.0, 0.0, 20.0, 20.0),)) for n in range(2)]
    found = localization_of(maps, images)
    assert found == pytest.approx(0.5)
