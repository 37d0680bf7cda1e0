"""What went wrong with an input, in words for the person who can mend it."""

from collections.abc import Sequence


class InputError(ValueError):
    """One fault of an input: the message is one line that names the file or key, the problem and the remedy."""


class Faults(InputError):
    """Every fault found in an input, listed together, a line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))
