import subprocess
import sys
from pathlib import Path

import pytest

from acol import metrics

ROOT = Path(__file__).parents[3]


def test_every_public_name_is_found():
    assert all(callable(getattr(metrics, name)) for name in metrics.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        metrics.nothing  # noqa: B018


def test_scores_of_arrays_wait_for_no_network_and_no_compiler():
    code = (
        "import sys; from acol.metrics import centred_box, classification, compare, coverage, pixel_counts\n"
        "centred_box([[[5, 5, 14, 14]]], (20, 20)); classification([[0.0, 1.0]], [1])\n"
        "print({'torch', 'sklearn', 'numba', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
