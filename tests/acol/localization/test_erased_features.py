"""What several classifiers' maps say together."""

import numpy as np

from acol.localization.erased_features import erased_before


def test_what_was_erased_is_the_union_over_the_predecessors() -> None:
    cams = np.array([[[0.9, 0.5, 0.1]], [[0.0, 0.2, 0.8]], [[1.0, 1.0, 1.0]]])
    erased = erased_before(cams, [0.5, 0.7])
    # strictly greater: 0.5 stays; the second classifier adds its 0.8 to what the first took
    assert erased.tolist() == [[[False, False, False]], [[True, False, False]], [[True, False, True]]]
