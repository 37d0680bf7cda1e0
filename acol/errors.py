"""Errors in an input, in words for the person who can correct it."""

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """One fault of an input: the message is one line that names the file or key, the problem and the remedy."""


class Faults(InputError):
    """All faults found in an input, one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean X?", or the list of known names if none is similar."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}"
