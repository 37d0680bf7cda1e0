"""The report's texts: the templates in this folder, and what Markdown of tables, numbers and names needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **content: Any) -> str:
    """Return a template of this folder, filled in; one of HTML escapes all names."""
    folder, escape = jinja2.FileSystemLoader(Path(__file__).parent), ".html" in template
    environment = jinja2.Environment(
        loader=folder, autoescape=escape, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["plain"] = plain
    return environment.get_template(template).render(**content)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others, which are numbers, to the right."""
    alignment = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, alignment, *rows))


def sparse_table(first: str, rows: Mapping[str, Mapping[str, str]], titles: Mapping[str, str] | None = None) -> str:
    """Return a Markdown table of rows by name, each of values by column, of which some may be missing.

    The columns are those of `titles`, or else all.
    """
    titles = titles or {column: column for row in rows.values() for column in row}
    lines = [[name, *(row.get(column, "-") for column in titles)] for name, row in rows.items()]
    return markdown_table([first, *titles.values()], lines)


def signed(difference: float, low: float, high: float, bold: bool = False) -> str:
    """Return a difference of fractions and its interval, in percentage points."""
    text = f"{100 * difference:+.1f}"
    return f"{f'**{text}**' if bold else text} [{100 * low:.1f}, {100 * high:.1f}]"


def plain(text: str) -> str:
    """Return a name or message as plain text within a Markdown table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
