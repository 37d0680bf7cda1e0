import numpy as np
import pytest
from numba.core import caching

from acol.metrics.components import compiled, sweep
from acol.metrics.curves import largest_contour


def test_the_largest_of_clear_areas_is_decided_without_opencv():
    levels = np.zeros((20, 20), np.uint8)
    levels[1:4, 1:4], levels[6:18, 6:18] = 200, 100
    best, largest, sure = sweep(levels, np.array([[6, 6, 18, 18]]))
    assert sure.all()
    assert set(best[:100]) == {1.0}
    assert np.unique(largest[:100], axis=0).tolist() == [[6, 6, 17, 17]]
    assert np.unique(largest[100:200], axis=0).tolist() == [[1, 1, 3, 3]]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_sure_is_right(seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 2 + 50 * seed, rng.integers(3, 15, 2)).astype(np.uint8)
    _, largest, sure = sweep(levels, np.array([[0, 0, 1, 1]]))
    for t in range(int(levels.max())):
        if sure[t]:
            assert tuple(largest[t] + [0, 0, 1, 1]) == largest_contour(levels, t)


def test_many_true_boxes_or_none():
    levels = np.eye(4, dtype=np.uint8)
    assert sweep(levels, np.zeros((0, 4), np.int64))[0].max() == 0
    assert sweep(levels, np.array([[9, 9, 9, 9], [0, 0, 3, 3]]))[0][0] == 1


def test_compiles_where_no_compiled_code_can_be_kept(monkeypatch):
    # As in a read-only installation without a home: numba finds no place for its cache, the code compiles all the same.
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(lambda x: x + 1)(1) == 2
