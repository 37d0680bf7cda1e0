"""The CPU time of several calls that are compared."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def cpu_seconds(calls: Sequence[Callable[[], Any]], rounds: int) -> np.ndarray:
    """Return the CPU time of each call in each round (rounds, calls), in seconds.

    The calls run in turn, so that other programs disturb all of them alike. A round before the first warms up.
    """
    times = np.zeros((rounds + 1, len(calls)))
    for row in times:
        for nth, call in enumerate(calls):
            start = time.process_time()
            call()
            row[nth] = time.process_time() - start
    return times[1:]
