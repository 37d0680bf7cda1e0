"""Hide-and-Seek, CutMix and attention-based dropout against small implementations of their papers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from acol import ACoL
from acol.training.methods.attention_dropout import AttentionDropout, drop_out
from acol.training.methods.cutmix import CutMix, draw_cut, kept_share
from acol.training.methods.hide_and_seek import HideAndSeek, draw_hidden, hide
from acol.training.methods.plain import Batch


def test_hidden_patches_are_whole_and_as_many_as_asked_for():
    size, grid = 24, 4
    hidden = draw_hidden(400, size, HideAndSeek((grid,), 0.3), np.random.default_rng(0))
    shares = []
    for image in hidden:
        for row in range(grid):
            for column in range(grid):
                patch = image[row * 6 : (row + 1) * 6, column * 6 : (column + 1) * 6]
                assert patch.all() or not patch.any()
                shares.append(patch.any())
    assert np.mean(shares) == pytest.approx(0.3, abs=0.02)


def test_a_grid_of_none_hides_nothing_and_one_that_does_not_divide_covers_all():
    rng = np.random.default_rng(0)
    assert not draw_hidden(5, 10, HideAndSeek((0,), 1.0), rng).any()
    assert draw_hidden(5, 10, HideAndSeek((3, 7), 1.0), rng).all()


def test_hidden_pixels_become_the_mean_of_the_training_images():
    images = torch.randn(3, 3, 8, 8)
    hidden = draw_hidden(3, 8, HideAndSeek((2,), 0.5), np.random.default_rng(1))
    wanted = images.clone()
    for n, y, x in np.argwhere(hidden):
        wanted[n, :, y, x] = 0
    assert torch.equal(hide(images, hidden), wanted)


def test_a_cut_is_a_share_of_the_image_as_drawn():
    rng = np.random.default_rng(0)
    cuts = [draw_cut(100, CutMix(1.0, 1.0), rng) for _ in range(4000)]
    for x0, y0, x1, y1 in cuts:
        assert 0 <= x0 <= x1 <= 100
        assert 0 <= y0 <= y1 <= 100
    # The paper's rectangle by plain floats: lambda ~ U(0, 1), side sqrt(1 - lambda), uniform centre, clipped.
    other = np.random.default_rng(1)
    half = np.sqrt(1 - other.random(100_000)) / 2
    x, y = other.random((2, 100_000))
    areas = (np.minimum(x + half, 1) - np.maximum(x - half, 0)) * (np.minimum(y + half, 1) - np.maximum(y - half, 0))
    assert np.mean([kept_share(cut, 100) for cut in cuts]) == pytest.approx(1 - areas.mean(), abs=0.02)
    assert kept_share(draw_cut(100, CutMix(1.0, 1e-9), rng), 100) == 1


def test_the_rectangle_and_its_share_of_the_label_come_from_the_partner(monkeypatch):
    monkeypatch.setattr("acol.training.methods.cutmix.draw_cut", lambda *arguments: (1, 2, 4, 6))
    images, partners, labels = torch.randn(4, 3, 6, 6), torch.randn(4, 3, 6, 6), torch.arange(8)
    both = Batch(torch.cat([images, partners]), labels, labels)
    mixed = CutMix().change(both, 4, slice(4), np.random.default_rng(0))
    for y in range(6):
        for x in range(6):
            source = partners if 1 <= x < 4 and 2 <= y < 6 else images
            assert torch.equal(mixed.inputs[:, :, y, x], source[:, :, y, x])
    assert (mixed.labels.tolist(), mixed.partner_labels.tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert mixed.label_weight == pytest.approx(1 - 12 / 36)


def test_a_step_of_cutmix_learns_both_labels(tiny_training):
    """The loss of the first step against the paper's formula, from the same images and weights."""
    training = tiny_training(recipe="p", epochs=1, method="cutmix")
    order = np.random.default_rng((3, 1)).permutation(24)
    chosen = np.sort(order[:6])
    partner = np.random.default_rng((3, 1, 0, 2)).permutation(6)
    x0, y0, x1, y1 = draw_cut(32, CutMix(), np.random.default_rng((3, 1, 0, 1)))
    torch.manual_seed(int(np.random.SeedSequence((3, 1, 0)).generate_state(1)[0]))
    pixels, labels = training.train.batch(chosen)
    crops = training.preprocessing.draw_crops(6)
    views = training.preprocessing.training_view(pixels, crops)
    mixed = views.clone()
    mixed[:, :, y0:y1, x0:x1] = views[partner][:, :, y0:y1, x0:x1]
    own = 1 - (y1 - y0) * (x1 - x0) / 32**2
    assert 0 < own < 1
    logits = training.model.train()(mixed).logits[0]
    wanted = own * F.cross_entropy(logits, labels) + (1 - own) * F.cross_entropy(logits, labels[partner])

    class FirstStep(Exception):
        pass

    def stop(training):
        raise FirstStep

    with pytest.raises(FirstStep):
        list(training.epochs(stop))
    assert (training._sums[0] / 6).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_attention_dropout_by_hand():
    features = torch.tensor([[[[1.0, 8.0], [4.0, 9.0]], [[3.0, 8.0], [2.0, 11.0]]]])  # the attention: 2, 8; 3, 10
    assert drop_out(features, True, 0.75).tolist() == [[[[1, 0], [4, 0]], [[3, 0], [2, 0]]]]
    for y in range(2):
        for x in range(2):
            weight = 1 / (1 + np.exp(-features[0, :, y, x].mean().item()))
            torch.testing.assert_close(drop_out(features, False, 0.75)[0, :, y, x], weight * features[0, :, y, x])


def test_attention_dropout_is_of_training_alone_and_at_its_places():
    torch.manual_seed(0)
    model = ACoL("resnet18", "p", 3, output_stride=16)
    dropout = AttentionDropout(1.0, 0.8).attach(model.backbone)
    images = torch.randn(2, 3, 64, 64)
    dropout.change(Batch(images, images, images), 2, slice(2), np.random.default_rng(0))
    trunk = model.backbone
    stages = [trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool, trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4]
    for training in (True, False):
        model.train(training)
        plain = torch.nn.Sequential(*(torch.nn.Sequential(*stage.children()) or stage for stage in stages))
        x = images
        for number, stage in enumerate(plain):
            for layer in stage.children() if isinstance(stage, torch.nn.Sequential) else [stage]:
                x = layer.forward(x)
            if training and number >= 6:
                attention = x.mean(1, keepdim=True)
                x = torch.where(attention < 0.8 * attention.amax((2, 3), keepdim=True), x, torch.zeros(()))
        torch.testing.assert_close(trunk(images), x)


@pytest.mark.parametrize(
    ("recipe", "method"), [("p", "has"), ("pn-0.6", "has"), ("p", "cutmix"), ("p", "adl"), ("pn-0.6", "adl")]
)
def test_goes_on_to_the_same_bits_from_within_an_epoch(tiny_training, recipe, method):
    def make(**settings):  # attention is dropped behind a backbone's stages
        backbone = "squeezenet1_1" if method == "adl" else None
        return tiny_training(recipe=recipe, epochs=2, backbone=backbone, **settings)

    whole = make(method=method)
    list(whole.epochs())
    plain = make()
    list(plain.epochs())
    assert not torch.equal(*(run.model.classifiers[0].weight for run in (whole, plain)))

    class Stopped(Exception):
        pass

    def stop(training):
        if (len(training.results), training.step) == (1, 2):
            raise Stopped

    broken = make(method=method)
    with pytest.raises(Stopped):
        list(broken.epochs(stop))
    resumed = make(method=method)
    resumed.load_state_dict(broken.state_dict())
    list(resumed.epochs())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.parametrize("method", ["has", "cutmix", "adl"])
def test_with_a_frozen_part_it_trains_as_without_its_cache(tiny_training, tmp_path, method):
    """A method that changes images trains from them; validation still uses the frozen part's features."""
    backbone, freeze = "shufflenet_v2_x0_5", "all but the last stage"
    cached = tiny_training("p", 1, backbone, method=method, cache=tmp_path, freeze=freeze)
    model = cached.model
    before = {name: value.clone() for name, value in model.backbone.named_parameters()}
    (result,) = cached.epochs()
    changed = {name for name, value in model.backbone.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert all(value.requires_grad for name, value in model.backbone.named_parameters() if name in changed)
    assert np.isfinite(result.train.loss)
    arrays = list(tmp_path.glob("*.npy"))
    assert len(arrays) == (2 if method == "adl" else 1)  # a view of the training images, and the validation images
