"""What is found while a folder is read: faults, for which it is refused, and remarks, which are only reported."""

from collections.abc import Collection
from pathlib import Path

from acol.data.images import as_line


class Findings:
    """The faults of a data set and the remarks on it, a line each. All faults are raised together, at the end."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.read: set[str] = set()  # files of text, with annotations or the names of classes
        self.hidden: set[Path] = set()  # files and folders whose names begin with a dot
        self._remarks: dict[tuple[str, str], set[str]] = {}  # paths by statement and noun

    def fault(self, where: str | Path | tuple[str | Path, ...], what: str) -> None:
        """Note what is wrong with a file, folder or line, or between two of them."""
        places = where if isinstance(where, tuple) else (where,)
        self.faults.append(f"{' and '.join(map(as_line, places))}: {what}")

    def remark(self, paths: str | Collection[str], what: str, noun: str = "image") -> None:
        """Note a statement on some images, or on what `noun` names; all paths of one statement become one line."""
        if paths:
            self._remarks.setdefault((what, noun), set()).update([paths] if isinstance(paths, str) else paths)

    def note(self, text: str) -> None:
        """Note a whole line."""
        self._remarks.setdefault((text, ""), set())

    @property
    def remarks(self) -> list[str]:
        """The remarks, a line each."""
        return [summarise(paths, what, noun) if noun else what for (what, noun), paths in self._remarks.items()]


def summarise(paths: Collection[str], what: str, noun: str = "image") -> str:
    """Return one line on images: how many, the first three, and the statement on them."""
    names = ", ".join(as_line(path) for path in sorted(paths)[:3])
    return f"{len(paths)} {noun}{'s' if len(paths) > 1 else ''} ({names}{', ...' if len(paths) > 3 else ''}): {what}"
