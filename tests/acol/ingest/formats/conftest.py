from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text files, given by their names without .txt, and changes of some of them."""

    def make(files: dict[str, str], **changes: str) -> Path:
        for name, text in {**files, **changes}.items():
            (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
        return tmp_path

    return make
