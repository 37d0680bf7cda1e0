"""What is found while a folder is read: faults, for which it is refused, and remarks, which are only told."""

from collections.abc import Collection
from pathlib import Path

from acol.data.images import as_line


class Findings:
    """The faults of a data set and the remarks on it, a line each. All faults are raised together, at the end."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.read: set[str] = set()  # files of text, with annotations or the names of classes
        self._remarks: dict[tuple[str, str], set[str]] = {}  # what is told of which images

    def fault(self, where: str | Path, what: str) -> None:
        """Note what is wrong with a file, folder or line."""
        self.faults.append(f"{as_line(where)}: {what}")

    def remark(self, paths: str | Collection[str], what: str, kind: str = "image") -> None:
        """Note what is with some images, or with another kind of thing; what is said of several becomes one line."""
        if paths:
            self._remarks.setdefault((what, kind), set()).update([paths] if isinstance(paths, str) else paths)

    def note(self, text: str) -> None:
        """Note a whole line."""
        self._remarks.setdefault((text, ""), set())

    @property
    def remarks(self) -> list[str]:
        """The lines to tell."""
        return [told(paths, what, kind) if kind else what for (what, kind), paths in self._remarks.items()]


def told(paths: Collection[str], what: str, kind: str = "image") -> str:
    """Return one line on images: how many, the first three, and what is with them."""
    names = ", ".join(as_line(path) for path in sorted(paths)[:3])
    return f"{len(paths)} {kind}{'s' if len(paths) > 1 else ''} ({names}{', ...' if len(paths) > 3 else ''}): {what}"
