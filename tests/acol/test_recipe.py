import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acol import Recipe
from acol.errors import InputError

deltas = st.floats(1e-6, 1 - 1e-6)


@given(st.text("pn", max_size=5), st.data())
def test_text_and_recipe_say_the_same(rest, data):
    recipe = Recipe("p" + rest, tuple(data.draw(deltas) for _ in rest))
    assert Recipe.parse(str(recipe)) == recipe


@pytest.mark.parametrize("text", ["p", "pp-0.9", "pn-0.6", "pnp-0.9-0.7", "pppp-0.9-0.8-0.00001"])
def test_prints_the_same_text(text):
    assert str(Recipe.parse(text)) == text


def test_parts():
    recipe = Recipe.parse("pnp-0.9-0.7")
    assert (recipe.letters, recipe.deltas, len(recipe), recipe.complementary) == ("pnp", (0.9, 0.7), 3, (0, 2))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no letters"),
        ("px-0.9", "unknown letter 'x'"),
        ("PP-0.9", "unknown letter 'P'"),
        ("np-0.9", "starts with n"),
        ("pp", "0 deltas for 1 erasing steps; write e.g. pp-0.9"),
        ("pp-0.9-0.8", "2 deltas for 1 erasing steps"),
        ("p-0.9", "1 deltas for 0 erasing steps"),
        ("pp-0", "outside (0, 1)"),
        ("pp-1", "outside (0, 1)"),
        ("pp-nan", "deltas are numbers"),
        ("pp-0.9_1", "deltas are numbers"),
        ("pp- 0.9", "deltas are numbers"),
        ("pp-٠.٩", "deltas are numbers"),
        ("pp-", "deltas are numbers"),
        ("pp--0.9", "deltas are numbers"),
        ("pp-x", "deltas are numbers"),
    ],
)
def test_refuses(text, problem):
    with pytest.raises(InputError) as error:
        Recipe.parse(text)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_deltas_may_be_numbers_of_numpy_in_a_list():
    recipe = Recipe("pn", list(np.array([0.9])))  # type: ignore[arg-type]
    assert (str(recipe), hash(recipe)) == ("pn-0.9", hash(Recipe.parse("pn-0.9")))
