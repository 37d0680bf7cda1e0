from dataclasses import replace

import numpy as np
import pytest
import torch

from acol.data.loading import LabelledImages
from acol.errors import InputError
from acol.network.distributed import World
from acol.recipe import adversarial_floor
from acol.training.results import EpochResult, PhaseResult
from acol.training.validation import mapped_images


def same(left, right):
    """Whether two nested states are equal to the bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def without_timing(state):
    timings = {"started", "ended", "seconds", "train_images_per_s", "val_images_per_s"}
    results = [{key: value for key, value in row.items() if key not in timings} for row in state["results"]]
    return {key: value for key, value in state.items() if key not in timings} | {"results": results}


def test_learns_an_easy_task(tiny_training):
    results = list(tiny_training(recipe="pn-0.9", epochs=8).epochs())
    assert results[-1].train.accuracy > 0.9
    assert results[-1].train.losses[0] < results[0].train.losses[0] / 2
    assert all(result.train.losses[1] >= adversarial_floor(3) for result in results)


def test_total_loss_is_the_sum_and_all_columns_are_there(tiny_training):
    (result,) = tiny_training(recipe="pnp-0.9-0.7", epochs=1).epochs()
    row = result.row()
    for phase in ("train", "val"):
        assert row[f"{phase}_loss"] == pytest.approx(sum(row[f"{phase}_loss_{k}"] for k in (1, 2, 3)))
    assert list(row) == [
        "epoch", "lr",
        "train_loss", "train_loss_1", "train_loss_2", "train_loss_3", "train_accuracy",
        "val_loss", "val_loss_1", "val_loss_2", "val_loss_3", "val_accuracy",
    ]  # fmt: skip
    assert result.timing()["train_images_per_s"] > 0


def test_validation_is_the_mean_over_its_images(tiny_training):
    training = tiny_training(recipe="p", epochs=1)
    (result,) = training.epochs()
    pixels, labels = training.val.batch(np.arange(9))
    with torch.inference_mode():
        logits = training.model.eval()(training.preprocessing.view(pixels)).logits[0]
    assert result.val.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert result.val.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tiny_training):
    runs = [tiny_training(seed=seed) for seed in (3, 3, 4)]
    first, again, other = (without_timing([list(run.epochs()), run.state_dict()][1]) for run in runs)
    assert same(first, again)
    assert not same(first["model"], other["model"])


# 4 steps an epoch: within, at the end of, after one; and a network with stochastic depth.
@pytest.mark.parametrize(("stop_after", "backbone"), [(1, None), (4, None), (11, None), (1, "efficientnet_b0")])
def test_goes_on_to_the_same_bits_from_any_step(tiny_training, stop_after, backbone):
    epochs = 3 if backbone is None else 1
    whole = tiny_training(epochs=epochs, backbone=backbone)
    list(whole.epochs())

    class Stopped(Exception):
        pass

    state = {}

    def stop(training):
        steps = 4 * len(training.results) + training.step
        if steps == stop_after:
            state.update(torch.load(save(training.state_dict())))
            raise Stopped

    broken = tiny_training(epochs=epochs, backbone=backbone)
    with pytest.raises(Stopped):
        list(broken.epochs(stop))
    resumed = tiny_training(epochs=epochs, backbone=backbone)
    resumed.load_state_dict(state)
    list(resumed.epochs())
    assert same(without_timing(resumed.state_dict()), without_timing(whole.state_dict()))


def test_goes_on_to_the_same_bits_from_within_validation(tiny_training):
    whole = tiny_training(batch_size=2)
    list(whole.epochs())
    broken, calls = tiny_training(batch_size=2), 0

    class Stopped(Exception):
        pass

    def stop(training):
        nonlocal calls
        calls += 1
        if calls == 12 + 2:  # an epoch's twelve steps, and the second of three batches of validation
            raise Stopped

    with pytest.raises(Stopped):
        list(broken.epochs(stop))
    assert (broken.step, broken.results) == (12, [])
    resumed = tiny_training(batch_size=2)
    state = broken.state_dict()
    resumed.load_state_dict(torch.load(save(state)))
    list(resumed.epochs())
    assert same(without_timing(resumed.state_dict()), without_timing(whole.state_dict()))
    # An epoch began where it first began, and its time includes what was done before the stop.
    first = resumed.results[0]
    assert first.started == state["started"] < first.ended
    assert first.seconds > state["seconds"] > 0


def save(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_rates_rise_and_fall_apart_for_trunk_and_classifiers(tiny_training):
    training = tiny_training(recipe="p", epochs=5, lr=0.01, classifier_lr=0.2, warmup=0.4)
    rates = []
    list(training.epochs(lambda t: rates.append([group["lr"] for group in t.optimizer.param_groups])))
    trunk, classifiers = [rate[0] for rate in rates], [rate[2] for rate in rates]
    assert max(trunk) == pytest.approx(0.01, rel=0.02)
    assert max(classifiers) == pytest.approx(0.2, rel=0.02)
    assert trunk.index(max(trunk)) == pytest.approx(0.4 * len(trunk), abs=2)
    assert trunk[-1] < 0.01 / 50


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0.2), (1, 0.1), (1, 0.0), (4, 1 / 17)])
def test_a_rise_of_a_step_or_less_is_none(tiny_training, epochs, warmup):
    training = tiny_training(recipe="p", epochs=epochs, lr=0.01, warmup=warmup)  # of four steps an epoch
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.01, rel=0.1)
    list(training.epochs())


def test_only_matrices_decay(tiny_training):
    groups = tiny_training(weight_decay=0.1).optimizer.param_groups
    assert {group["weight_decay"] for group in groups if all(p.ndim > 1 for p in group["params"])} == {0.1}
    assert {group["weight_decay"] for group in groups if any(p.ndim <= 1 for p in group["params"])} == {0.0}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_trains_every_parameter(tiny_training, optimizer):
    training = tiny_training(optimizer=optimizer, epochs=1, recipe="pp-0.9", backbone="shufflenet_v2_x0_5")
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    list(training.epochs())
    assert not [name for name, p in training.model.named_parameters() if torch.equal(p, before[name])]


def result(epoch, accuracy, loss, best):
    phase = PhaseResult(loss, (loss,), accuracy)
    return EpochResult(epoch, 0.1, phase, phase, best, 0.0, 1.0, 1.0, 1.0, 1.0)


def test_keeps_the_best_epoch_by_accuracy_then_loss(tiny_training, monkeypatch):
    training = tiny_training(recipe="p", epochs=4, patience=None)
    outcomes = iter([(0.5, 1.0), (0.7, 2.0), (0.7, 1.5), (0.7, 1.6)])
    states = []

    def validate(training, after_batch):
        states.append({key: value.clone() for key, value in training.model.state_dict().items()})
        accuracy, loss = next(outcomes)
        return PhaseResult(loss, (loss,), accuracy), torch.zeros(0)

    monkeypatch.setattr("acol.training.loop.validate", validate)
    assert [r.best for r in training.epochs()] == [True, True, True, False]
    assert training.best.epoch == 3
    assert same(training.best_state, states[2])


def test_patience_stops(tiny_training, monkeypatch):
    training = tiny_training(recipe="p", epochs=10, patience=2)
    accuracies = iter([0.5, 0.6, 0.6, 0.4, 0.9])
    outcomes = ((PhaseResult(1.0, (1.0,), accuracy), torch.zeros(0)) for accuracy in accuracies)
    monkeypatch.setattr("acol.training.loop.validate", lambda training, after_batch: next(outcomes))
    assert len(list(training.epochs())) == 4  # the best was the second; two epochs brought nothing
    assert training.stopped_early


def test_refuses_a_batch_larger_than_the_data(tiny_training):
    with pytest.raises(InputError, match="batch_size 25: larger than the training set of 24 images"):
        tiny_training(batch_size=25)


def test_refuses_to_train_without_validation_images(tiny_training):
    training = tiny_training()
    with pytest.raises(InputError, match="val: has no images"):
        replace(training, val=LabelledImages(training.val.pixels[:0], training.val.labels[:0], []))


def test_refuses_a_batch_that_processes_cannot_share(tiny_training):
    with pytest.raises(InputError, match="batch_size 6: not a multiple of the 4 processes; use a multiple"):
        tiny_training(world=World(0, 4))


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(tiny_training):
    training = tiny_training(recipe="p", lr=1e38)
    with pytest.raises(FloatingPointError, match=r"loss \w+ in epoch 1, step [1-4]; lower .* batch: 0/\d+\.png, "):
        list(training.epochs())


def test_yields_epochs_as_they_complete(tiny_training):
    training = tiny_training(epochs=2)
    epochs = training.epochs()
    assert next(epochs).epoch == 1
    assert len(training.results) == 1


def test_the_maps_of_each_epoch_are_those_of_the_true_class(tiny_training):
    training = tiny_training(recipe="pp-0.6", epochs=2)
    list(training.epochs())
    pixels, labels = training.val.batch(np.arange(9))
    with torch.inference_mode():
        cams = training.model.eval()(training.preprocessing.view(pixels), labels).cams
    assert [tuple(maps.shape) for maps in training.maps] == [(9, 2, 2)] * 2
    torch.testing.assert_close(training.maps[-1], cams.amax(0).half())


def test_localization_chooses_the_epoch_where_it_is_given(tiny_training):
    scores = iter([0.3, 0.5, 0.5, 0.4])
    training = tiny_training(epochs=4)
    training.localize = lambda maps: next(scores)
    results = list(training.epochs())
    assert [result.localization for result in results] == [0.3, 0.5, 0.5, 0.4]
    assert training.best.localization == 0.5
    first, second = results[1], results[2]  # of equal ones accuracy, then the loss decides
    better = (second.val.accuracy, -second.val.losses[0]) > (first.val.accuracy, -first.val.losses[0])
    assert training.best.epoch == (3 if better else 2)
    assert results[0].row()["val_max_box_acc_v2"] == 0.3


@pytest.mark.parametrize(("count", "kept"), [(5, [0, 1, 2, 3, 4]), (1000, None)])
def test_the_maps_of_at_most_300_images_are_kept(count, kept):
    chosen = mapped_images(count)
    assert len(chosen) == min(count, 300)
    assert kept is None or chosen.tolist() == kept
    assert (chosen[0], chosen[-1]) == (0, count - 1)
