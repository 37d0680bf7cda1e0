import numpy as np
import pytest
import torch

from acol.errors import InputError
from acol.localization.fusion import MAPS, check_map, combine, depths_for, possible


def normalised(maps: np.ndarray) -> np.ndarray:
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return (maps - low) / np.where(high > low, high - low, 1)


def enlarged(maps: np.ndarray) -> np.ndarray:
    """Twice the size, bilinear with half-pixel centres: each new cell is 3/4 the nearest and 1/4 the next one."""
    for axis in (1, 2):
        padded = np.concatenate([maps.take([0], axis), maps, maps.take([-1], axis)], axis)
        n = maps.shape[axis]
        near, before, after = (padded.take(range(k, k + n), axis) for k in (1, 0, 2))
        pair = np.stack([0.75 * near + 0.25 * before, 0.75 * near + 0.25 * after], axis + 1)
        maps = pair.reshape(*maps.shape[:axis], 2 * n, *maps.shape[axis + 1 :])
    return maps


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_the_normalised_sum_at_the_finest_size(name: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {each: rng.random((3, 4, 4)).astype(np.float32) for each in ("cam", "norm", "late", "middle")}
    arrays["early"] = rng.random((3, 8, 8)).astype(np.float32)
    found = combine({each: torch.from_numpy(maps) for each, maps in arrays.items()}, name).numpy()
    weights = MAPS[name]
    if len(weights) == 1:
        assert np.array_equal(found, arrays[name])
        return
    bring = enlarged if "early" in weights else np.asarray
    total = sum(w * (arrays[each] if each == "early" else bring(arrays[each])) for each, w in weights.items())
    np.testing.assert_allclose(found, normalised(np.asarray(total)), atol=1e-5)


def test_a_flat_source_adds_nothing() -> None:
    cam = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
    assert torch.equal(combine({"cam": cam, "late": torch.zeros(1, 2, 2)}, "cam+late"), cam)
    assert not combine({"cam": torch.zeros(1, 2, 2), "late": torch.zeros(1, 2, 2)}, "cam+late").any()


def test_only_maps_that_the_sources_give_are_possible() -> None:
    assert possible(["cam", "norm"]) == ["cam", "cam+0.5norm", "norm"]
    assert possible(["cam", "norm", "middle", "late"]) == [*MAPS]  # one block in the last stage: `early` is `middle`
    assert depths_for("cam+late", {"middle": "a", "late": "b"}) == {"late": "b"}
    with pytest.raises(InputError, match=r"map cam\+late: .*choose one of cam, cam\+0.5norm, norm"):
        depths_for("cam+late", {})
    with pytest.raises(InputError, match=r"map 'cam\+lat': unknown; .*cam\+late"):
        check_map("cam+lat")
