"""Texts from templates, and what Markdown needs for tables, numbers and names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2


def render(template: Path, **content: Any) -> str:
    """Fill in a template file. In HTML all names are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=".html" in template.name,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["escape_markdown"] = escape_markdown
    return environment.get_template(template.name).render(**content)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others, which are numbers, to the right."""
    alignment = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, alignment, *rows))


def sparse_table(first: str, rows: Mapping[str, Mapping[str, str]], titles: Mapping[str, str] | None = None) -> str:
    """Return a Markdown table: `rows` holds the text of each column by the row's name. A missing one becomes "-".

    `titles` chooses the columns and names them; without it all columns are shown.
    """
    titles = titles or {column: column for row in rows.values() for column in row}
    lines = [[name, *(row.get(column, "-") for column in titles)] for name, row in rows.items()]
    return markdown_table([first, *titles.values()], lines)


def signed(difference: float, low: float, high: float, bold: bool = False) -> str:
    """Return a difference of two fractions with its interval, as percentage points."""
    text = f"{100 * difference:+.1f}"
    return f"{f'**{text}**' if bold else text} [{100 * low:.1f}, {100 * high:.1f}]"


def escape_markdown(text: str) -> str:
    """Escape a name or a message, so that Markdown shows it as it is, also in a table."""
    text = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
