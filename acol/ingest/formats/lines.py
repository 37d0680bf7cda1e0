"""Text files: JSON, and lines as keyed values; each line that cannot be read is a fault."""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from acol.data.images import shown
from acol.ingest.findings import Findings

T = TypeVar("T")


def read_text(path: Path, findings: Findings) -> str | None:
    """Return the text of a file; None, and a fault, if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        findings.fault(path, f"cannot be read ({error.strerror}); add it or make it readable")
    except UnicodeDecodeError:
        findings.fault(path, "not UTF-8 text; save it as UTF-8")
    return None


def read_json(path: Path, findings: Findings) -> Any:
    """Return what a JSON file holds; None, and a fault, if it cannot be read."""
    if (text := read_text(path, findings)) is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        findings.fault(path, f"not JSON ({error!s:.80}); correct or export it again")
    return None


def rows(path: Path, form: str, convert: Callable[[list[str]], T], findings: Findings) -> list[tuple[str, T]]:
    """Parse a text file's lines into (key, value); a line that `convert` refuses by ValueError is a fault.

    `form` is how a line looks: "KEY,VALUE,..." whose key, a path, may hold commas, or "KEY VALUE ..." whose last value
    may hold spaces; `convert` gets the values.
    """
    if (text := read_text(path, findings)) is None:
        return []
    if not text.strip():
        findings.fault(path, f"empty; add lines of the form {form}")
    commas, spaces = form.count(","), form.count(" ")
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        try:
            key, *values = line.rsplit(",", commas) if commas else line.rstrip().split(maxsplit=spaces)
            if len(values) < (commas or spaces):
                raise ValueError
            found.append((normal(key), convert(values)))
        except ValueError:
            findings.fault(f"{path} line {number}", f"{line!r:.200} is not {form}; correct it")
    return found


def table(path: Path, form: str, convert: Callable[[list[str]], T], findings: Findings) -> dict[str, T]:
    """Parse a text file's lines, as `rows`, into a table; a key that occurs twice is a fault too."""
    found: dict[str, T] = {}
    for key, value in rows(path, form, convert, findings):
        if key in found:
            findings.fault(path, f"{shown(key)} occurs twice; keep one line")
        found[key] = value
    return found


def grouped(rows: list[tuple[str, T]]) -> dict[str, list[T]]:
    """Return each key's values, in their order."""
    groups: dict[str, list[T]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups


def same_keys(path: Path, keys: set[str], index: Path, wanted: set[str], findings: Findings) -> None:
    """Add a fault for each key that only one of the files `path` and `index` has."""
    if not keys or not wanted:
        return  # a file that is missing or unreadable is already reported
    for key in sorted(keys - wanted):
        findings.fault(path, f"{shown(key)} is not in {index.name}; add it there")
    for key in sorted(wanted - keys):
        findings.fault(path, f"{shown(key)} is missing; add its line")


def normal(path: str) -> str:
    """Return a posix path as `PurePosixPath` writes it: without "./" and double slashes."""
    return PurePosixPath(path).as_posix()


def number(text: str) -> float:
    """Parse a number; raises `ValueError` for any other text."""
    # float() would also accept 1_0 and the digits of other scripts.
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r:.40} is not a number")
    return float(text)


def whole(text: str) -> int:
    """Parse a whole number; raises `ValueError` for any other text."""
    if "_" in text or not text.isascii():
        raise ValueError
    return int(text)
