import pytest
import torch
from torch import nn

from acol import ACoL, Recipe
from acol.errors import InputError
from acol.head import Conv3Settings

# A 2x2 feature map of one channel, and two classes whose maps are +feature and -feature.
FEATURES = torch.tensor([[[[4.0, 3.0], [2.0, 0.0]]]])


class Identity(nn.Module):
    def forward(self, images):
        return images[:, :1]


def hand_made(recipe, classes=2):
    """An ACoL whose backbone passes the first channel through and whose classifiers weigh it +1, -1, 0, ..."""
    model = ACoL("squeezenet1_1", recipe, classes)
    model.backbone = Identity()
    for k in range(len(model.classifiers)):
        model.classifiers[k] = nn.Conv2d(1, classes, 1)
        nn.init.zeros_(model.classifiers[k].bias)
        nn.init.zeros_(model.classifiers[k].weight)
        model.classifiers[k].weight.data[:2, 0, 0, 0] = torch.tensor([1.0, -1.0])
    return model


def images():
    return FEATURES.expand(1, 3, 2, 2)


def test_by_hand():
    out = hand_made("pp-0.7")(images(), torch.tensor([0]))
    # Class 0's map is the feature: mean (4+3+2+0)/4; normalised (1, 3/4, 1/2, 0).
    torch.testing.assert_close(out.logits[0], torch.tensor([[2.25, -2.25]]))
    torch.testing.assert_close(out.cams[0], torch.tensor([[[1.0, 0.75], [0.5, 0.0]]]))
    # Above 0.7 are 1 and 3/4: the second classifier sees (0, 0, 2, 0), normalised (0, 0, 1, 0).
    torch.testing.assert_close(out.class_maps[1, 0, 0], torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    torch.testing.assert_close(out.logits[1], torch.tensor([[0.5, -0.5]]))
    torch.testing.assert_close(out.cams[1], torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]))


def test_erases_only_what_is_strictly_above_delta():
    out = hand_made("pp-0.75")(images(), torch.tensor([0]))
    torch.testing.assert_close(out.class_maps[1, 0, 0], torch.tensor([[0.0, 3.0], [2.0, 0.0]]))


def test_erasing_adds_up():
    out = hand_made("ppp-0.7-0.7")(images(), torch.tensor([0]))
    # The second classifier saw (0, 0, 2, 0) and erases the 2: nothing is left for the third.
    assert not out.class_maps[2].any()


def test_the_target_is_the_label_or_else_the_first_prediction():
    model = hand_made("pp-0.7")
    known, guessed = model(images(), torch.tensor([1])), model(images())
    # Class 1's map is (-4, -3, -2, 0), normalised (0, 1/4, 1/2, 1): the 0 is erased, which changes nothing.
    torch.testing.assert_close(known.cams[0], torch.tensor([[[0.0, 0.25], [0.5, 1.0]]]))
    torch.testing.assert_close(known.class_maps[1], known.class_maps[0])
    assert guessed.target.tolist() == [0]
    torch.testing.assert_close(guessed.cams, model(images(), torch.tensor([0])).cams)


@pytest.mark.parametrize("value", [0.0, 5.0, -3e30])
def test_a_flat_map_is_zero_and_erases_nothing(value):
    model = hand_made("pn-0.1")
    out = model(torch.full((1, 3, 2, 2), value), torch.tensor([0]))
    assert not out.cams.any()
    assert torch.equal(out.class_maps[0], out.class_maps[1])


def test_the_mask_carries_no_gradient():
    model = hand_made("pp-0.7")
    x = images().clone().requires_grad_()
    model(x, torch.tensor([0])).logits[1, 0, 0].backward()
    # Only the positions that were left (2 and 0) reach the second logit, each by 1/4.
    torch.testing.assert_close(x.grad[0, 0], torch.tensor([[0.0, 0.0], [0.25, 0.25]]))


def test_later_classifiers_do_not_reach_erased_features_of_the_trunk():
    model = hand_made("pn-0.7")
    x = images().clone().requires_grad_()
    model(x, torch.tensor([0])).logits[1].sum().backward()
    assert not x.grad[0, 0, 0].any()


@pytest.mark.parametrize("recipe", ["p", "pp-0.9", "pn-0.9", "pnp-0.9-0.7", "pnnpp-0.9-0.8-0.7-0.6"])
@pytest.mark.parametrize("labels", [None, torch.tensor([3, 0])])
def test_shapes(recipe, labels):
    model = ACoL("resnet18", recipe, 4, output_stride=16)
    out = model(torch.randn(2, 3, 96, 64), labels)
    k = len(Recipe.parse(recipe))
    assert out.logits.shape == (k, 2, 4)
    assert out.class_maps.shape == (k, 2, 4, 6, 4)
    assert out.cams.shape == (k, 2, 6, 4)
    assert model.backbone(torch.randn(2, 3, 96, 64)).shape == (2, 512, 6, 4)
    for classifier in model.classifiers:
        assert classifier.weight.shape == (4, 512, 1, 1)
        assert classifier.bias.shape == (4,)
    torch.testing.assert_close(out.logits, out.class_maps.mean((3, 4)))
    assert out.cams.min() >= 0
    assert out.cams.max() <= 1


@pytest.mark.parametrize("pooling", [True, False])
def test_the_papers_classifier_by_hand(pooling):
    torch.manual_seed(0)
    conv3 = Conv3Settings(width=8, pooling=pooling)
    model = ACoL("resnet18", "pp-0.6", 3, output_stride=16, classifier="conv3", conv3=conv3).eval()
    features = given = torch.randn(2, 512, 4, 4)
    out = model.classify(features, torch.tensor([2, 0]))
    if pooling:  # the mean of each 3x3 neighbourhood, with zeros around the map
        neighbours = torch.nn.functional.unfold(features, 3, padding=1).unflatten(1, (512, 9))
        features = neighbours.mean(2).unflatten(2, (4, 4))
    for k, (_, first, _, _, second, _, last) in enumerate(model.classifiers):
        maps = torch.nn.functional.unfold(features, 3, padding=1)  # (N, 512 * 9, 16): each cell's neighbourhood
        maps = (first.weight.flatten(1) @ maps + first.bias[:, None]).relu().unflatten(2, (4, 4))
        maps = torch.nn.functional.unfold(maps, 3, padding=1)
        maps = (second.weight.flatten(1) @ maps + second.bias[:, None]).relu()
        maps = (last.weight.flatten(1) @ maps + last.bias[:, None]).unflatten(2, (4, 4))
        torch.testing.assert_close(out.class_maps[k], maps, rtol=1e-4, atol=1e-4)
        features = features * (out.cams[k] <= 0.6).unsqueeze(1)
    assert torch.equal(model.train().classify(given, torch.tensor([2, 0])).class_maps, out.class_maps)  # no dropout


def test_the_papers_classifier_with_dropout():
    conv3 = Conv3Settings(width=8, dropout=0.5)
    model, features = ACoL("resnet18", "p", 3, classifier="conv3", conv3=conv3), torch.randn(2, 512, 4, 4)
    assert not torch.equal(model.classify(features).class_maps, model.classify(features).class_maps)


def test_where_features_were_erased_conv1_gives_its_bias_and_conv3_looks_around():
    torch.manual_seed(0)
    features, labels = torch.rand(1, 512, 6, 6), torch.tensor([1])
    for classifier in ("conv1", "conv3"):
        model = ACoL("resnet18", "pp-0.6", 3, classifier=classifier, conv3=Conv3Settings(8, pooling=False)).eval()
        out = model.classify(features, labels)
        erased = out.cams[0, 0] > 0.6
        assert erased.any()
        last = model.classifiers[1] if classifier == "conv1" else model.classifiers[1][-1]
        second = out.class_maps[1, 0, :, erased]
        assert torch.equal(second, last.bias[:, None].expand_as(second)) == (classifier == "conv1")


def test_outputs_are_wide_under_autocast():
    model = ACoL("resnet18", "pn-0.9", 4).eval()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.randn(1, 3, 64, 64))
    assert {out.logits.dtype, out.class_maps.dtype, out.cams.dtype} == {torch.float32}


def test_one_class_learns_as_plain_cam():
    assert ACoL("resnet18", "p", 1)(torch.randn(1, 3, 64, 64)).logits.shape == (1, 1, 1)


def test_refuses_what_cannot_be():
    with pytest.raises(InputError, match="2 deltas for 1"):
        ACoL("resnet18", "pn-0.9-0.9", 4)
    with pytest.raises(InputError, match=r"classifier 'conv2': unknown; did you mean conv3\?"):
        ACoL("resnet18", "p", 4, classifier="conv2")
    with pytest.raises(InputError, match="num_classes 0"):
        ACoL("resnet18", "p", 0)
    with pytest.raises(InputError, match="num_classes 1"):
        ACoL("resnet18", "pn-0.9", 1)


def test_erased_features_keep_their_order_in_memory():
    model = ACoL("timm/test_resnet", "pn-0.5", num_classes=3)
    seen = []
    model.classifiers[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    features = torch.rand(2, model.backbone.channels, 5, 5).to(memory_format=torch.channels_last)
    model.classify(features.requires_grad_()).logits.sum().backward()
    assert (seen[0] == 0).any()
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in (seen[0], features.grad))
