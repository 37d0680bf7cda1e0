"""Reads YAML strictly into dataclasses of settings. Each fault is a line: key, what is wrong, and how to fix it."""

import json
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from acol.data.images import as_line
from acol.errors import Faults, InputError, did_you_mean

DEFAULTS = Path(__file__).with_name("defaults.yaml")  # has a value for each key that params.yaml must have
_FORM = re.compile(r".*\[.*\].*|MaskSource|MaskValues")  # pydantic's names of the types that one setting may have
_MOST = 100_000  # pieces of text that a file may become: aliases can make a short file endless
T = TypeVar("T")


def read_yaml(path: str | Path = "params.yaml") -> Any:
    """Return the content of a YAML file. Raises `InputError` if it cannot be read."""
    name = as_line(path)
    try:
        # This is DVC's reader of YAML 1.2, so that DVC sees the same numbers. It refuses duplicate keys.
        return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "run from the project's folder" if Path(path).name == "params.yaml" else "correct the path"
        raise InputError(f"{name}: no such file; {remedy}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); make it a readable file") from None
    except Exception as error:  # the reader's own errors, and for malformed values some of Python's
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "save it as UTF-8" if isinstance(error, UnicodeError) else "correct the syntax"
        raise InputError(f"{name}: not YAML ({reason:.200}); {remedy}") from None


def parse_settings(kind: Callable[..., T], content: Any) -> T:
    """Return the content of YAML as a dataclass of settings. Raises `Faults` with a line for each fault."""
    try:
        # Only from JSON does pydantic read nested dataclasses strictly.
        text = list(islice(json.JSONEncoder(default=_no_json).iterencode(content), _MOST))
    except (TypeError, ValueError, RecursionError) as error:
        raise Faults([f"no plain values ({error!s:.80}); correct it"]) from None
    if len(text) == _MOST:
        raise Faults([f"over {_MOST} values; remove some"])
    try:
        (settings,) = _adapter(kind).validate_json(f"[{''.join(text)}]")
        return settings
    except ValidationError as error:
        raise Faults(_lines(error.errors(), kind)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Refuse unknown keys, conversions and infinite numbers. pydantic takes this configuration for a dataclass only if
    # the dataclass is within a tuple.
    return TypeAdapter(tuple[kind], config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))


def _no_json(value: object) -> list[str]:
    return [f"{type(value).__name__} {value}"]  # such as a date: a list fits no setting, and the error shows it


def _lines(faults: Sequence[Any], kind: Any) -> list[str]:
    """Return the lines of pydantic's faults in settings of `kind`."""

    def of_whole_type(fault: Any) -> bool:
        """Return whether the value is not of one of the types that the setting may have."""
        wrong = fault["type"] in ("string_type", "literal_error", "dataclass_type")
        return wrong and bool(_FORM.fullmatch(str(fault["loc"][-1])))

    lines: list[str] = []
    # A setting of several types has faults for each of them. A fault within a value says more than that the value is
    # not of another type, so it comes first, and then the other is left out.
    for fault in sorted(faults, key=lambda fault: (of_whole_type(fault), -len(fault["loc"]) * of_whole_type(fault))):
        location = tuple(part for part in fault["loc"][1:] if not _FORM.fullmatch(str(part)))
        key = as_line(".".join(f"{part!s:.100}" for part in location))
        if not of_whole_type(fault) or not any(line.startswith(key) for line in lines):
            lines += _explain(fault, location, f"{key}: " if key else "", kind)
    return lines


def _explain(fault: Any, location: tuple[Any, ...], key: str, kind: Any) -> list[str]:
    """Return the lines of one of pydantic's faults; `key` begins each line."""
    value = _brief(fault["input"])
    if fault["type"] == "value_error":
        error = fault["ctx"]["error"]
        return list(error.faults) if isinstance(error, Faults) else [f"{key}{error}"]
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return [f"{key}unknown key; {did_you_mean(str(location[-1]), _known_keys(location[:-1], kind))}"]
    if fault["type"] == "missing":
        return [f"{key}missing; add {_usual(location)}"]
    if fault["type"] == "predicate_failed":
        return [f"{key}{value} is blank or holds control characters; write visible text"]
    message = fault["msg"][0].lower() + fault["msg"][1:].replace("an object", "keys with values")
    return [f"{key}{message if fault['type'] == 'json_invalid' else f'{value}: {message}'}; correct it"]


def _brief(value: object) -> str:
    """Return a value as a short text: aliases can make it too large to print."""
    if isinstance(value, int) and abs(value) >= 10**30:  # Python refuses to print very large numbers
        return "a number of over 30 digits"
    return f"{reprlib.repr(value):.80}"


def _usual(location: tuple[Any, ...]) -> str:
    """Return a missing key with a value that it may have, as YAML."""
    value = read_yaml(DEFAULTS)
    for part in location:
        if not isinstance(value, dict) or part not in value:
            return "it"
        value = value[part]
    return f"{location[-1]}: {json.dumps(value)}"


def _known_keys(location: tuple[Any, ...], kind: Any) -> list[str]:
    """Return the keys that the settings at a location within `kind` may have."""
    for part in location:
        hint = get_type_hints(kind).get(part)  # None if the part is the name of a backbone or of a type
        kind = next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), kind)
    return [field.name for field in fields(kind)]
