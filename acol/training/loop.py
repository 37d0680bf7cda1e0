"""The training loop: yields the result of each epoch; it uses no tracker and writes no file.

From the top: `epochs` goes over the epochs, `_train_epoch` over the steps of one, `_train_step` is one step, and
`_finish_epoch` validates.

Everything random in a step (order, augmentation, dropout) is drawn from a seed made of (seed, epoch, step). So a run
that is resumed at any step continues exactly like one that never stopped. No step waits for a number from the device.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.balance import uneven
from acol.data.feeding import Feed
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.head import ADL, CUTMIX, HAS
from acol.losses import classifier_losses
from acol.network.distributed import World
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.training.attention_dropout import AttentionDropout
from acol.training.balance import BALANCED, class_weights, epoch_order
from acol.training.cutmix import draw_cut, draw_partners, paste
from acol.training.depthwise import quicken_dilated_depthwise
from acol.training.finite import FiniteWatch
from acol.training.frozen import VIEWS, FrozenTrunk
from acol.training.hide_and_seek import draw_hidden, hide
from acol.training.optimizer import build_optimizer, build_schedule
from acol.training.results import EpochResult, PhaseResult, PhaseSums, batch_numbers
from acol.training.settings import TrainingSettings

CHANGE_IMAGES = (HAS, CUTMIX)
MAPPED = 300  # validation images whose maps are kept
_METHOD, _PARTNERS = 1, 2  # what is drawn


@dataclass
class Training:
    """A training run; `state_dict` returns all that is needed to continue it.

    Iterate over `epochs()` for its results. `best_state` is the model's state dict of the best epoch on validation:
    highest accuracy (balanced accuracy where the validation classes are uneven), then lowest loss of the first
    classifier; with `localize`, a function from the maps of the images
    `mapped` to their MaxBoxAccV2, highest localization first. `maps` (E, n, h, w) float16 are these images' fused maps
    of the true class in each epoch, for whoever has boxes later. `frozen` is the part of the backbone that is not
    trained; `world` the processes among which each batch is divided.

    Raises `InputError` when a batch is larger than the training set or cannot be divided among the processes;
    `FloatingPointError` at a loss that is not finite, naming epoch, step and the batch's files.
    """

    model: ACoL
    train: LabelledImages
    val: LabelledImages
    preprocessing: Preprocessing
    settings: TrainingSettings
    device: torch.device
    precision: str
    frozen: FrozenTrunk | None = None
    world: World = field(default_factory=World)
    localize: Callable[[np.ndarray], float] | None = None
    results: list[EpochResult] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    maps: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = self.settings.batch_size
        if size > len(self.train):
            raise InputError(
                f"train.batch_size {size}: larger than the training set of {len(self.train)} images; use a smaller one"
            )
        if size % self.world.size:
            raise InputError(
                f"train.batch_size {size}: not a multiple of the {self.world.size} processes; use a multiple"
            )
        # Convolutions are fastest channels-last, in bfloat16 above all.
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # On a CPU the gradients of dilated depthwise convolutions are slow, with a backbone like EfficientNet-Lite0.
        quicken_dilated_depthwise(self.model)
        # With a frozen part its features replace the images, computed once for each of a few views; the model then
        # starts after that part. The epochs use the views in turn. A method that changes each image anew in each epoch
        # must train from the images.
        train, val = [self.train], self.val
        self._start = self._val_start = 0
        if self.frozen is not None:
            val, self._val_start = self.frozen.view(self.val), self.frozen.pieces
            if self.settings.method not in CHANGE_IMAGES:
                views = range(min(VIEWS, self.settings.epochs))
                train, self._start = [self.frozen.training_view(self.train, nth) for nth in views], self.frozen.pieces
        # What uneven classes need: weights for training, and each class's share of validation.
        labels, classes = self.train.labels, self.model.num_classes
        self._class_weights = None
        if self.settings.class_weights == BALANCED:
            self._class_weights = torch.from_numpy(class_weights(labels, classes)).float().to(self.device)
        images = np.bincount(self.val.labels, minlength=classes)
        self._uneven = torch.from_numpy(images) if uneven(images[images > 0].tolist()) else None
        self._train_feeds, self._val_feed = [Feed(images, self.device) for images in train], Feed(val, self.device)
        self._dropout = None
        if self.settings.method == ADL:
            self._dropout = AttentionDropout(self.model.backbone, self.settings.attention_dropout)
        self._replica = self.world.replicate(self.model, self.device)
        self.steps_per_epoch = len(self.train) // size
        self.optimizer = build_optimizer(self.model, self.settings)
        self.schedule = build_schedule(self.optimizer, self.settings, self.steps_per_epoch)
        self._watch = FiniteWatch()
        self._begin_epoch()

    @property
    def mapped(self) -> np.ndarray:
        """The indices of the validation images whose maps are kept: evenly chosen, at most `MAPPED`."""
        return mapped_images(len(self.val))

    @property
    def best(self) -> EpochResult:
        """The best epoch so far."""
        return max((result for result in self.results if result.best), key=lambda result: result.epoch)

    @property
    def best_by(self) -> str:
        """What of validation chooses the best epoch."""
        if self.localize is not None:
            return "localization"
        return "accuracy" if self._uneven is None else "balanced accuracy"

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out."""
        patience = self.settings.patience
        return patience is not None and bool(self.results) and self.results[-1].epoch - self.best.epoch >= patience

    def epochs(self, after_step: Callable[["Training"], None] = lambda training: None) -> Iterator[EpochResult]:
        """Train from where the state stands to the end, yielding each epoch as it completes.

        `after_step` is called after each optimizer step and between batches of validation, when `state_dict` is whole.
        """
        while len(self.results) < self.settings.epochs and not self.stopped_early:
            self._train_epoch(len(self.results) + 1, after_step)
            yield self._finish_epoch(after_step)

    def _begin_epoch(self) -> None:
        """Reset the counts of the current epoch."""
        self.step = 0  # complete steps
        self._sums = PhaseSums.zero(len(self.model.recipe), self.device)
        self._seconds = 0.0  # of training so far, in this process and those before it
        self._started: float | None = None

    def _train_epoch(self, epoch: int, after_step: Callable[["Training"], None]) -> None:
        self.model.train()
        # The order of the whole epoch comes from its seed; a resumed epoch skips the batches that it has done. Each
        # batch is sorted: neighbours in memory are read faster, and the order within a batch does not matter.
        order = epoch_order(self.train.labels, self.settings.sampler, self.settings.seed, epoch)
        size = self.settings.batch_size
        batches = [np.sort(order[step * size : (step + 1) * size]) for step in range(self.step, self.steps_per_epoch)]
        # Each process gets its share of every batch.
        feed = self._train_feeds[(epoch - 1) % len(self._train_feeds)]
        fed = feed.batches([indices[self._places(epoch, step)] for step, indices in enumerate(batches, self.step)])
        self._started = self._started or time.time()
        began = time.perf_counter() - self._seconds
        bar = tqdm(total=self.steps_per_epoch, initial=self.step, desc=f"epoch {epoch}", leave=False, disable=None)
        with bar:
            for indices, (inputs, labels) in zip(batches, fed, strict=True):
                self._train_step(epoch, indices, inputs, labels)
                self.step += 1
                self._seconds = time.perf_counter() - began
                bar.update()
                after_step(self)

    def _draws(self, epoch: int, step: int, what: int) -> np.random.Generator:
        """What a method draws in a step, for the whole batch: the same in every process, and apart from all else."""
        return np.random.default_rng((self.settings.seed, epoch, step, what))

    def _places(self, epoch: int, step: int) -> np.ndarray:
        """The images of a batch that this process takes: its share, and for CutMix the partner of each behind them."""
        size = self.settings.batch_size
        mine = np.arange(size)[self.world.share(size)]
        if self.settings.method != CUTMIX:
            return mine
        return np.concatenate([mine, draw_partners(size, self._draws(epoch, step, _PARTNERS))[mine]])

    def _train_step(self, epoch: int, indices: np.ndarray, inputs: Tensor, labels: Tensor) -> None:
        """Train on the images at `indices`; `inputs` and `labels` are those of them that `_places` chose."""
        # Every process draws the crops of the whole batch and uses those of its share; dropout is its own.
        seed = int(np.random.SeedSequence((self.settings.seed, epoch, self.step)).generate_state(1)[0])
        torch.manual_seed(seed)
        if not self._start:
            crops = self.preprocessing.draw_crops(len(indices))
            inputs = self.preprocessing.training_view(inputs, crops[self._places(epoch, self.step)])
        if not self.world.first:
            torch.manual_seed(seed + self.world.rank)
        rng = self._draws(epoch, self.step, _METHOD)
        size = self.preprocessing.size
        others, own = labels, 1.0  # the second label of each image, and the share of its loss that the first has
        if self.settings.method == HAS:
            hidden = draw_hidden(len(indices), size, self.settings.hide_and_seek, rng)
            inputs = hide(inputs, hidden[self.world.share(len(indices))])
        elif self.settings.method == CUTMIX:
            cut = draw_cut(size, self.settings.cutmix, rng)
            images, partners = inputs.chunk(2)
            inputs, (labels, others), own = paste(images, partners, cut), labels.chunk(2), cut.kept(size)
        elif self._dropout is not None:
            self._dropout.draw(rng)

        # Forward. Erasing follows the true labels; the losses are computed in float32 whatever the precision.
        with autocast(self.device, self.precision):
            out = self._replica(inputs, labels, self._start)
        recipe, weights = self.model.recipe, self._class_weights
        losses = classifier_losses(out.logits, labels, recipe, weights)
        if own < 1:
            losses = own * losses + (1 - own) * classifier_losses(out.logits, others, recipe, weights)

        # Logged numbers stay on the device. If one is not finite, training stops.
        numbers = self.world.sum(batch_numbers(losses.detach(), out.logits[0].detach(), labels))
        step = self.step + 1
        self._watch.add(numbers, lambda numbers: self._not_finite(numbers, epoch, step, indices))

        # Backward: the total loss is the sum over the classifiers.
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.schedule.step()

        # Last, so that `state_dict` never holds the sums of a step without its weights.
        self._sums.numbers += numbers
        self._sums.count += len(indices)

    def _not_finite(self, numbers: list[float], epoch: int, step: int, indices: np.ndarray) -> str:
        losses = " + ".join(f"{number / len(indices):g}" for number in numbers[:-1])
        files = ", ".join(self.train.names[index] for index in indices)
        return f"loss {losses} in epoch {epoch}, step {step}; lower the learning rate, or check the batch: {files}"

    def _finish_epoch(self, after_step: Callable[["Training"], None]) -> EpochResult:
        """Validate, and keep the weights if they are the best so far."""
        self._watch.check(wait=True)
        train = self._sums.result()
        began = time.perf_counter()
        val = self.validate(after_step)
        val_seconds = time.perf_counter() - began
        localization = None if self.localize is None else self.localize(self.maps[-1].float().numpy())
        ended = time.time()
        result = EpochResult(
            epoch=len(self.results) + 1,
            lr=self.optimizer.param_groups[0]["lr"],
            train=train,
            val=val,
            localization=localization,
            best=False,
            started=self._started or ended,
            ended=ended,
            seconds=self._seconds + val_seconds,
            train_images_per_s=self._sums.count / self._seconds,
            val_images_per_s=len(self.val) / val_seconds,
        )
        best = not self.results or _rank(result) > _rank(self.best)
        self.results.append(replace(result, best=best))
        if best:
            self.best_state = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        self._begin_epoch()
        return self.results[-1]

    @torch.inference_mode()
    def validate(self, after_batch: Callable[["Training"], None] = lambda training: None) -> PhaseResult:
        """Pass over the validation images; erasing follows the true labels, as in training, so that losses compare."""
        self.model.eval()
        sums = PhaseSums.zero(len(self.model.recipe), self.device)
        right = torch.zeros(self.model.num_classes, dtype=torch.float64, device=self.device)
        size = 2 * self.settings.batch_size // self.world.size  # without gradients there is room for twice as many
        mine = np.arange(len(self.val))[self.world.share(len(self.val))]
        # Every process has the same number of batches, and its last may be empty: `after_batch` may wait for all.
        largest = -(-len(self.val) // self.world.size)
        batches = [mine[start : start + size] for start in range(0, largest, size)]
        feed = self._val_feed.batches(batches)
        maps: list[Tensor] = []
        bar = tqdm(feed, desc="validate", total=len(batches), leave=False, disable=None)
        for indices, (inputs, labels) in zip(batches, bar, strict=True):
            if len(labels):
                if not self._val_start:
                    inputs = self.preprocessing.view(inputs)
                with autocast(self.device, self.precision):
                    out = self.model(inputs, labels, self._val_start)
                losses = classifier_losses(out.logits, labels, self.model.recipe)
                sums.numbers += batch_numbers(losses, out.logits[0], labels)
                right.index_add_(0, labels, (out.logits[0].argmax(1) == labels).double())
                kept = torch.from_numpy(np.isin(indices, self.mapped))
                # As in acol.localization: the `p` classifiers' maps, fused by their maximum.
                maps.append(out.cams[list(self.model.recipe.complementary)].amax(0).half().cpu()[kept])
            after_batch(self)
        self.maps.append(torch.cat(self.world.gathered(maps)))
        result = PhaseSums(self.world.sum(sums.numbers), len(self.val)).result()
        if self._uneven is None:
            return result
        shares = self.world.sum(right).cpu() / self._uneven
        return replace(result, balanced_accuracy=float(shares.nanmean()))  # 0 / 0: a class without images

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue, as tensors and plain values."""
        self._watch.check(wait=True)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "sums": {"numbers": self._sums.numbers, "count": self._sums.count},
            "seconds": self._seconds,
            "started": self._started,
            "results": [asdict(result) for result in self.results],
            "best_state": self.best_state,
            "maps": self.maps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the run that returned `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.best_state, self.maps = state["step"], state["best_state"], state["maps"]
        self._seconds, self._started = state["seconds"], state["started"]
        self._sums = PhaseSums(state["sums"]["numbers"].to(self.device), state["sums"]["count"])
        self.results = [EpochResult.from_state(values) for values in state["results"]]


def mapped_images(count: int) -> np.ndarray:
    """Return which of `count` validation images have their maps kept: evenly chosen, at most `MAPPED`."""
    return np.unique(np.linspace(0, count - 1, min(count, MAPPED)).astype(np.int64))


def _rank(result: EpochResult) -> tuple[float, float, float]:
    """The higher, the better an epoch."""
    balanced = result.val.balanced_accuracy
    accuracy = result.val.accuracy if balanced is None else balanced
    return (result.localization or 0.0, accuracy, -result.val.losses[0])
