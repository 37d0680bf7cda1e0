"""What text a picture can show."""

from hypothesis import given, settings
from hypothesis import strategies as st

from acol.figures.text import plain


def test_text_keeps_what_can_be_drawn() -> None:
    assert plain("Müller $1 <b> naïve ✓") == "Müller $1 <b> naïve ✓"
    assert plain("a\nb\u202e\udcff") == "a□b□□"


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
@settings(max_examples=50, deadline=None)
def test_text_of_any_kind_is_one_drawable_line(text: str) -> None:
    drawn = plain(text)
    assert len(drawn) == len(text)
    assert plain(drawn) == drawn
