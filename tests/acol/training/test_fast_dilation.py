import pytest
import torch
from torch import nn

from acol.training.fast_dilation import ChannelsFirst, QuickDilatedDepthwise, quicken_dilated

CPU = torch.device("cpu")


def gradients(layer, images, upstream):
    images = images.clone().requires_grad_()
    out = layer(images)
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    return out, torch.autograd.grad(out, [images, *parameters], upstream(out))


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "dilation", "bias"),
    [
        ((8, 8), 5, 4, 2, False),  # EfficientNet's, at output stride 16
        ((7, 9), 3, 2, 2, True),
        ((5, 6), (3, 5), (1, 4), (2, 3), True),  # most of what the weights look at is padding, or there is less of it
        ((3, 3), 3, 4, 4, False),  # the outer weights see padding alone
    ],
)
def test_gradients_are_those_of_the_plain_convolution(size, kernel, padding, dilation, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, padding=padding, dilation=dilation, groups=6, bias=bias).double()
    images = torch.randn(10, 6, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    weights = torch.randn(10, 6, 32, 32, dtype=torch.float64)

    def upstream(out):
        return weights[..., : out.shape[2], : out.shape[3]]

    plain, wanted = gradients(layer, images, upstream)
    quicken_dilated(layer, CPU)
    assert type(layer) is QuickDilatedDepthwise
    quick, found = gradients(layer, images, upstream)
    assert torch.equal(quick, plain)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_in_bfloat16_the_outputs_keep_their_bits_and_the_gradients_their_type():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16)
    images = torch.randn(4, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        plain, wanted = gradients(layer, images, torch.ones_like)
        quicken_dilated(layer, CPU)
        quick, found = gradients(layer, images, torch.ones_like)
    assert torch.equal(quick, plain)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 * float(other.abs().max()))


def test_other_convolutions_and_names_stay(monkeypatch):
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 8, 3, dilation=2, groups=4),
        nn.Conv2d(8, 8, 3, stride=2, dilation=2, groups=8),
        nn.Conv2d(8, 8, 3, dilation=2, groups=8),
    )
    names = list(model.state_dict())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    quicken_dilated(model, CPU)
    assert [type(layer) is QuickDilatedDepthwise for layer in model] == [False] * 4 + [True]
    assert list(model.state_dict()) == names


def test_with_avx2_dense_dilated_convolutions_compute_with_the_channels_first(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=2, dilation=2), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 1, dilation=2))
    model.double().to(memory_format=torch.channels_last)
    images = torch.randn(2, 4, 9, 9, dtype=torch.float64).to(memory_format=torch.channels_last)
    plain, wanted = gradients(model, images, torch.ones_like)
    quicken_dilated(model, CPU)
    assert [type(layer) is ChannelsFirst for layer in model] == [True, False, False]
    quick, found = gradients(model, images, torch.ones_like)
    torch.testing.assert_close(quick, plain)
    torch.testing.assert_close(found, wanted)
    assert model[0](images).is_contiguous(memory_format=torch.channels_last)
