"""Damage to bytes, and what every target is held to: a sensible result, or clear lines on what to mend.

The suite runs a few fixed examples of each target. `ACOL_FUZZ=100 pytest tests/fuzz --hypothesis-show-statistics` runs
a hundred times as many, drawn anew, and prints what Hypothesis counted.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from acol.errors import Faults, InputError

T = TypeVar("T")

TIMES = int(os.environ.get("ACOL_FUZZ", "0"))
NUMBERS = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\1\0", b"\1", b"\0"]


def examples(count: int) -> Callable[[T], T]:
    """Run a test on `count` examples, the same each time, or on ACOL_FUZZ times as many others."""
    return settings(
        max_examples=count * max(TIMES, 1),
        derandomize=not TIMES,
        database=None,
        phases=[Phase.generate],  # shrinking takes minutes; the damaged file stays in pytest's temporary folder
        deadline=timedelta(seconds=30),  # to end a slow example: a loaded machine is slow, too
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )  # type: ignore[return-value]


@st.composite
def damaged(draw: st.DrawFn, data: bytes, texts: tuple[bytes, ...] = ()) -> bytes:
    """Draw bytes with one to four of: flipped, overwritten, cut out, doubled, swapped, truncated; `texts` inserted."""
    kinds = ["flip", "number", "cut", "double", "swap", "end", "noise"] + ["text"] * (2 if texts else 0)
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4)):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(1, 64))
        if kind == "flip":
            data = data[:at] + bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : at + 1]) + data[at + 1 :]
        elif kind == "number":
            number = draw(st.sampled_from(NUMBERS))
            data = data[:at] + number + data[at + len(number) :]
        elif kind == "cut":
            data = data[:at] + data[at + length :]
        elif kind == "double":
            data = data[: at + length] + data[at:]
        elif kind == "swap":
            other = draw(st.integers(0, len(data)))
            data = data[:at] + data[other : other + length] + data[at + length :]
        elif kind == "end":
            data = data[:at]
        elif kind == "noise":
            data = data[:at] + draw(st.binary(max_size=8)) + data[at:]
        else:
            data = data[:at] + draw(st.sampled_from(texts)) + data[at + draw(st.sampled_from([0, 1, length])) :]
    return data


def result_or_clear_lines(call: Callable[[], T], *names: str) -> T | None:
    """Return what `call` returns, or None where it raises clear lines: each starts with one of `names`, says what is
    wrong, and after a semicolon what to do."""
    try:
        return call()
    except InputError as error:
        faults = error.faults if isinstance(error, Faults) else [str(error)]
    assert faults
    for line in faults:
        assert line.startswith(names), line
        assert "; " in line, line
        assert line.isprintable(), line
    return None
