"""What text a picture can show."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acol.figures.text import caption, plain


def test_text_keeps_what_can_be_drawn() -> None:
    assert plain("Müller $1 <b> naïve ✓") == "Müller $1 <b> naïve ✓"
    assert plain("a\nb\u202e\udcff") == "a□b□□"


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
@settings(max_examples=50, deadline=None)
def test_text_of_any_kind_is_one_drawable_line(text: str) -> None:
    drawn = plain(text)
    assert len(drawn) == len(text)
    assert plain(drawn) == drawn


def test_a_caption_changes_the_corner_alone() -> None:
    image = np.full((120, 400, 3), 90, np.uint8)
    changed = (caption(image, "goalkeeper 0.87") != image).any(2)
    assert changed[2, 2]
    assert not changed[40:].any()
    assert not changed[:, 300:].any()
    assert caption(image[:20, :30], "日本\n0.5").shape == (20, 30, 3)
