import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acol import ACoLOutput, Recipe
from acol.errors import InputError
from acol.localization.fusion import fused
from acol.localization.maps import localization_map, normalise
from tests.toy import toy_model


def output(cams):
    nothing = torch.empty(0)
    return ACoLOutput(nothing, nothing, cams, nothing)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-38, 1e-8, 1.0, 1e30]))
def test_normalised_maps_span_0_to_1(seed, scale):
    maps = scale * torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(seed))
    out = normalise(maps)
    assert (out.amin((-2, -1)) == 0).all()
    assert (out.amax((-2, -1)) == 1).all()


@pytest.mark.parametrize("value", [0.0, -7.0, 1e38])
def test_flat_maps_become_zero(value):
    assert not normalise(torch.full((2, 3, 3), value)).any()


def test_fusion_is_the_maximum_over_p_and_ignores_n():
    cams = torch.tensor([[[[0.2, 0.9]]], [[[1.0, 1.0]]], [[[0.5, 0.1]]]])  # p, n, p
    torch.testing.assert_close(fused(cams, Recipe.parse("pnp-0.9-0.9")), torch.tensor([[[0.5, 0.9]]]))


def test_map_is_fused_then_upsampled():
    # Half-pixel bilinear from 2 to 4 columns of (0, 1): 0, 1/4, 3/4, 1.
    cams = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 1.0]]]])
    torch.testing.assert_close(
        localization_map(output(cams), Recipe.parse("pn-0.9"), (3, 4)),
        torch.tensor([[[0, 0.25, 0.75, 1]]]).expand(1, 3, 4),
    )
    assert localization_map(output(cams), "pp-0.9", (3, 4)).min() == 1


def test_map_stays_in_range():
    cams = normalise(torch.randn(2, 5, 7, 7))
    out = localization_map(output(cams), "pp-0.9", (224, 200))
    assert out.shape == (5, 224, 200)
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_recipe_of_another_number_of_classifiers_is_refused():
    out = toy_model("pn-0.6", 3)(torch.rand(1, 3, 32, 32))
    with pytest.raises(InputError, match="recipe p: not that of the 2 classifiers"):
        localization_map(out, "p", (32, 32))
