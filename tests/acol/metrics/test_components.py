import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from acol.metrics.components import Sweeper

ROOT = Path(__file__).parents[3]


def test_one_sweeper_serves_many_maps():
    # Left-overs of an earlier map in the working memory must not show in a later one.
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (20, 13, 9), dtype=np.uint8)
    boxes = np.array([[2, 2, 6, 8]])
    shared = Sweeper(13, 9)
    for largest in (False, True):
        for levels in maps:
            fresh = Sweeper(13, 9).best_iou(levels, boxes, largest)
            for a, b in zip(shared.best_iou(levels, boxes, largest), fresh, strict=True):
                np.testing.assert_array_equal(a, b)


def test_the_largest_of_clear_areas_is_decided_without_opencv():
    levels = np.zeros((20, 20), np.uint8)
    levels[1:4, 1:4], levels[6:18, 6:18] = 200, 100
    best, undecided, peak = Sweeper(20, 20).best_iou(levels, np.array([[6, 6, 18, 18]]), largest=True)
    assert peak == 200
    assert not undecided.any()
    assert set(best[:100]) == {1.0}


def test_imports_where_no_compiled_code_can_be_kept(tmp_path):
    # As in a read-only installation without a home: numba finds no place for its cache, the code compiles all the same.
    package = tmp_path / "kernel.py"
    package.write_text((ROOT / "acol" / "metrics" / "components.py").read_text())
    code = (
        "from numba.core import caching; caching.CacheImpl._locator_classes = []\n"
        "import kernel, numpy; print(kernel.Sweeper(2, 2)._values.size)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "16", done.stderr
