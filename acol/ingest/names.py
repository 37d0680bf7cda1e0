"""When two spellings are one name."""

import re
import unicodedata


def plain(name: str) -> str:
    """Return a name without the differences that tools make: case, Unicode's form, and space, underscore or hyphen."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
