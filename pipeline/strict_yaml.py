"""Read YAML into dataclasses of settings, strictly. A fault is a line: key, what is wrong, and how to fix it."""

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

from acol.data.images import shown
from acol.errors import Faults, InputError, did_you_mean

DEFAULTS = Path(__file__).with_name("defaults.yaml")  # has a value for each key that must be there
_FORM = re.compile(r".*\[.*\].*|MaskSource|MaskValues")  # pydantic's names of the forms that a setting may have
_MOST = 100_000  # pieces of a file's text: aliases can make a short file endless
T = TypeVar("T")


def read_yaml(path: str | Path = "params.yaml") -> Any:
    """Return what a YAML file holds. Raises `InputError` for one that cannot be read."""
    name = shown(path)
    try:
        # DVC's own reader and dialect, YAML 1.2: both see the same numbers, and a duplicate key is refused.
        return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; run from the project's folder") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); make it a readable file") from None
    except Exception as error:  # beside its own errors it raises Python's, for malformed values
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: not YAML ({reason:.200}); correct the syntax") from None


def check(kind: Callable[..., T], content: Any) -> T:
    """Return what YAML holds as a dataclass of settings. Raises `Faults` with a line for each."""
    try:
        # As JSON, since only from JSON pydantic reads nested dataclasses strictly.
        text = list(islice(json.JSONEncoder(default=_strange).iterencode(content), _MOST))
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
    # Unknown keys, silent conversions and infinite numbers are refused. A dataclass takes this only within a tuple.
    return TypeAdapter(tuple[kind], config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))


def _strange(value: object) -> list[str]:
    return [f"{type(value).__name__} {value}"]  # a date and the like: no setting is one


def _lines(faults: Sequence[Any], kind: Any) -> list[str]:
    def of_form(fault: Any) -> bool:
        wrong = fault["type"] in ("string_type", "literal_error", "dataclass_type")
        return wrong and bool(_FORM.fullmatch(str(fault["loc"][-1])))

    lines: list[str] = []
    # A setting of several forms has a fault for each: those that a value has within one of them say the most.
    for fault in sorted(faults, key=lambda fault: (of_form(fault), -len(fault["loc"]) * of_form(fault))):
        location = tuple(part for part in fault["loc"][1:] if not _FORM.fullmatch(str(part)))
        key = shown(".".join(f"{part!s:.100}" for part in location))
        if not of_form(fault) or not any(line.startswith(key) for line in lines):
            lines += _explain(fault, location, f"{key}: " if key else "", kind)
    return lines


def _explain(fault: Any, location: tuple[Any, ...], key: str, kind: Any) -> list[str]:
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
    # Aliases can make a value too large to print, and Python refuses to print a very large number.
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of over 30 digits"
    return f"{reprlib.repr(value):.80}"


def _usual(location: tuple[Any, ...]) -> str:
    """A missing key with a value that it may have, as YAML."""
    value = read_yaml(DEFAULTS)
    for part in location:
        if not isinstance(value, dict) or part not in value:
            return "it"
        value = value[part]
    return f"{location[-1]}: {json.dumps(value)}"


def _known_keys(location: tuple[Any, ...], kind: Any) -> list[str]:
    for part in location:
        found = get_type_hints(kind).get(part)
        # What is no setting is the name of a backbone or of a type.
        kind = next((each for each in (found, *get_args(found)) if is_dataclass(each)), kind)
    return [each.name for each in fields(kind)]
