"""Items that wait are worked at together; a fault is told to those whose batch it was."""

import threading
from collections.abc import Sequence

import pytest

from pipeline.batches import Batches


def test_what_waits_is_one_batch_and_its_fault_is_told_to_each() -> None:
    begun, go, batches = threading.Event(), threading.Event(), []

    def halves(items: Sequence[int]) -> list[float]:
        begun.set()
        assert go.wait(30)
        batches.append(list(items))
        return [4 / item for item in items]

    work = Batches(halves, 4)
    first = work.submit(8)
    assert begun.wait(30)  # the others find it at work
    given_up, *others = [work.submit(item) for item in (1, 2, 4, 8, 16, 0, 1)]
    assert given_up.cancel()
    go.set()
    assert [future.result(30) for future in (first, *others[:4])] == [0.5, 2, 1, 0.5, 0.25]
    for future in others[4:]:
        with pytest.raises(ZeroDivisionError):
            future.result(30)
    assert work.submit(2).result(30) == 2
    assert batches == [[8], [2, 4, 8, 16], [0, 1], [2]]
