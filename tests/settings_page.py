"""Write docs/settings.md, the reference of all settings, from their one definition.

python -m tests.settings_page > docs/settings.md
"""

import inspect
import json
from dataclasses import is_dataclass
from textwrap import fill

from pydantic import TypeAdapter

from pipeline import params

HEAD = """# Settings

All settings of `params.yaml`, made from their definitions by `python -m tests.settings_page`. A setting without a
default must be in the file. `acol look FOLDER` prints those of `data` that fit a folder. A wrong one ends in a line
with its key, what is wrong, and what to write.
"""
SIGNS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def page() -> str:
    """The whole page in Markdown."""
    schema = TypeAdapter(params.Params).json_schema()
    parts = [HEAD]
    todo, seen = [("", schema)], set()
    while todo:
        prefix, section = todo.pop(0)
        rows = []
        for key, setting in section["properties"].items():
            name = f"{prefix}{key}"
            for inner in subsections(setting, schema):
                path = f"{name}.NAME." if setting.get("additionalProperties") else f"{name}."
                if path not in seen:
                    seen.add(path)
                    todo.append((path, inner))
            if not (prefix == "" and subsections(setting, schema)):
                rows.append(f"| `{name}` | {kind(setting, schema)} | {default(key, setting, section)} |")
        if prefix:
            parts.append(
                f"## `{prefix.rstrip('.')}`\n\n{meaning(section)}\n\n| Setting | Value | Default |\n| :-- | :-- | :-- |"
            )
            parts[-1] = "\n".join([parts[-1], *rows]) + "\n"
    return "\n".join(parts)


def meaning(section) -> str:
    """The docstring of a section's dataclass, and of those that it extends, without their examples and errors."""
    extended = [one for one in getattr(params, section["title"], object).__mro__[1:] if is_dataclass(one)]
    texts = [section.get("description", ""), *(one.__doc__ for one in extended)]
    paragraphs = [part for text in texts for part in inspect.cleandoc(text).split("\n\n")]
    kept = [" ".join(part.split("Raises `")[0].split()) for part in paragraphs if not part.startswith(">>>")]
    return "\n\n".join(fill(part, 118, break_long_words=False, break_on_hyphens=False) for part in kept if part)


def subsections(setting, schema):
    """The parts of the schema that a setting's value may be a mapping of."""
    forms = [setting, *setting.get("anyOf", [])]
    forms += [form["additionalProperties"] for form in forms if isinstance(form.get("additionalProperties"), dict)]
    named = [schema["$defs"][form["$ref"].rsplit("/", 1)[1]] for form in forms if "$ref" in form]
    return [form for form in named if "properties" in form]


def kind(setting, schema) -> str:
    """What a setting's value may be."""
    if "$ref" in setting:
        form = schema["$defs"][setting["$ref"].rsplit("/", 1)[1]]
        return "settings, below" if "properties" in form else kind(form, schema)
    if "anyOf" in setting:
        return " or ".join(dict.fromkeys(kind(form, schema) for form in setting["anyOf"]))
    if "enum" in setting or "const" in setting:
        return ", ".join(f"`{value}`" for value in setting.get("enum", [setting.get("const")]))
    if setting.get("type") == "array":
        return f"list of: {kind(setting['items'], schema)}" if "items" in setting else several(setting, schema)
    if setting.get("type") == "object":
        values = setting.get("additionalProperties")
        return "a mapping" if not isinstance(values, dict) else f"a mapping to: {kind(values, schema)}"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    bounds = [f"{said} {setting[key]:,.15g}" for key, said in SIGNS.items() if key in setting]
    return " ".join([words[setting["type"]], ", ".join(bounds)]).strip()


def several(setting, schema) -> str:
    """What a list of a fixed length holds."""
    return "list of " + ", ".join(kind(form, schema) for form in setting["prefixItems"])


def default(key, setting, section) -> str:
    """What holds where the file does not name the setting."""
    if key in section.get("required", []):
        return "none: name it"
    value = setting.get("default")
    return "as below" if isinstance(value, dict) else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    print(page(), end="")
