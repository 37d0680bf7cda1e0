"""Lines of text files as keyed values; each line that cannot be read is a fault."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeVar

from acol.data.images import shown

T = TypeVar("T")


def rows(path: Path, form: str, parse: Callable[[str], tuple[str, T]], faults: list[str]) -> list[tuple[str, T]]:
    """Parse a text file's lines into (key, value); a line that `parse` refuses by ValueError is a fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.append(f"{shown(path)}: cannot be read ({error.strerror}); add it or make it readable")
        return []
    except UnicodeDecodeError:
        faults.append(f"{shown(path)}: not UTF-8 text; save it as UTF-8")
        return []
    if not text.strip():
        faults.append(f"{shown(path)}: empty; add lines of the form {form}")
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        try:
            found.append(parse(line))
        except ValueError:
            faults.append(f"{shown(path)} line {number}: {line!r:.200} is not {form}; correct it")
    return found


def after_id(count: int, convert: Callable[[list[str]], T]) -> Callable[[str], tuple[str, T]]:
    """Parse "id,value,..." with `count` values; the id, a path, may hold commas."""

    def parse(line: str) -> tuple[str, T]:
        key, *values = line.rsplit(",", count)
        if len(values) < count:
            raise ValueError
        return normal(key), convert(values)

    return parse


def numbered(count: int, convert: Callable[[list[str]], T]) -> Callable[[str], tuple[str, T]]:
    """Parse "id value ..." with `count` values; the last may hold spaces."""

    def parse(line: str) -> tuple[str, T]:
        key, *values = line.rstrip().split(maxsplit=count)
        if len(values) < count:
            raise ValueError
        return key, convert(values)

    return parse


def unique(rows: list[tuple[str, T]], path: Path, faults: list[str]) -> dict[str, T]:
    """Return the rows of the file `path` as a table; a key that occurs twice is a fault."""
    table: dict[str, T] = {}
    for key, value in rows:
        if key in table:
            faults.append(f"{shown(path)}: {shown(key)} occurs twice; keep one line")
        table[key] = value
    return table


def grouped(rows: list[tuple[str, T]]) -> dict[str, list[T]]:
    """Return each key's values, in their order."""
    groups: dict[str, list[T]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups


def same_keys(path: Path, keys: set[str], index: Path, wanted: set[str], faults: list[str]) -> None:
    """Add a fault for each key that only one of the files `path` and `index` has."""
    if not keys or not wanted:
        return  # a file that is missing or unreadable is already reported
    faults += [f"{shown(path)}: {shown(key)} is not in {index.name}; add it there" for key in sorted(keys - wanted)]
    faults += [f"{shown(path)}: {shown(key)} is missing; add its line" for key in sorted(wanted - keys)]


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
