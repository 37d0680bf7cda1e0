"""The errors that a user sees: each says what is wrong and how to correct it."""

import difflib
import re
from collections.abc import Iterable, Sequence

_SHOWN = 3  # how many faults of one kind a message lists
# How torch, cuDNN, cuBLAS, OpenCV and the operating system report it.
_NO_MEMORY = re.compile(r"out ?of ?memory|alloc_failed|(can't|cannot|failed to) allocate|bad_alloc", re.IGNORECASE)
_VARYING = re.compile(r"""'[^']*'|\S*[/.\\]\S*|-?\d+""")  # names, paths and numbers: what differs within a kind


class InputError(ValueError):
    """One fault of an input: the message is one line that names the file or key, the problem and the remedy."""


class Faults(InputError):
    """All faults of an input, one line each. The message has the first few of those that differ only in names."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        kinds: dict[str, list[str]] = {}
        for fault in faults:
            kinds.setdefault(_VARYING.sub("*", fault), []).append(fault)
        lines = []
        for same_kind in kinds.values():
            more = len(same_kind) - _SHOWN
            lines += same_kind[:_SHOWN] + [f"... and {more} more of this kind"] * (more > 0)
        super().__init__("\n".join(lines))


class MachineError(RuntimeError):
    """A failure that no input caused, such as a server that does not answer: the message is one line."""


def memory_exhausted(error: BaseException) -> str | None:
    """Return one line about an error for lack of memory, of the GPU or the machine; None for any other error."""
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not _NO_MEMORY.search(text):
        return None
    return ". ".join(text.split(". ")[:3])[:240].rstrip(".") or "the memory is exhausted"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean X?", or the list of known names if none is similar."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}"
