import pytest

from acol.errors import InputError
from acol.head import Head
from acol.recipe import Recipe


@pytest.mark.parametrize(
    "text",
    ["p", "pn-0.9", "pnp-0.9-0.7-s12", "pp-0.6-conv3", "p-has", "p-cutmix-s0", "pn-0.9-adl", "pp-0.6-conv3-has-s3"],
)
def test_is_written_as_it_was_read(text):
    assert str(Head.parse(text)) == text


def test_what_the_words_mean():
    assert Head.parse("p") == Head(Recipe("p"))
    assert Head.parse("pp-0.6-conv3-has-s3") == Head(Recipe("pp", (0.6,)), "conv3", "has", 3)
    assert Head.parse("pp-0.6-conv3-has-s3").without_seed == Head.parse("pp-0.6-conv3-has")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("p-conv5", "head 'p-conv5': unknown word 'conv5'; did you mean conv3?"),
        ("p-mixup", "head 'p-mixup': unknown word 'mixup'; choose one of conv3, has, cutmix, adl"),
        ("p-has-adl", "head 'p-has-adl': has and adl exclude each other; remove one"),
        ("p-has-has", "head 'p-has-has': has and has exclude each other; remove one"),
        ("p-conv1", "head 'p-conv1': write it as p, so that a cell has one name"),
        ("p-has-conv3", "head 'p-has-conv3': write it as p-conv3-has, so that a cell has one name"),
        ("p-s1-has", "head 'p-s1-has': write it as p-has-s1, so that a cell has one name"),
        ("p-s01", "head 'p-s01': write it as p-s1, so that a cell has one name"),
        ("p-", "head 'p-': unknown word ''; choose one of conv3, has, cutmix, adl"),
        ("pn-0.9-cutmix", "head pn-0.9-cutmix: cutmix mixes images of two labels, but erasing follows the map of one;"),
        ("has", "recipe 'has': unknown letter 'a'"),
        ("pp-conv3", "recipe 'pp': 0 deltas for 1 erasing steps"),
    ],
)
def test_refuses_words_that_mean_nothing(text, fault):
    with pytest.raises(InputError) as error:
        Head.parse(text)
    assert str(error.value).startswith(fault)
    assert "\n" not in str(error.value)
