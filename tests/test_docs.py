"""What README and docs show: the examples run, and each command is run by a test or marked with what it needs."""

import doctest
import re
from pathlib import Path

import pytest

import acol
from acol import metrics

ROOT = Path(__file__).parents[1]
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


def test_the_examples_of_the_library_run_and_answer_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(LIBRARY, {}, "docs/library.md", "docs/library.md", 0)
    failed = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples).failed
    assert failed == 0
    assert len(examples.examples) > 50


@pytest.mark.parametrize("package", [acol, metrics])
def test_every_public_name_is_on_the_page(package):
    assert [name for name in package.__all__ if not re.search(rf"\b{name}\b", LIBRARY)] == []
    assert all(getattr(package, name) for name in package.__all__)
