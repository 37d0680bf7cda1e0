"""The training loop: yields the result of each epoch; it uses no tracker and writes no file.

From the top: `epochs` goes over the epochs, `_train_epoch` over the steps of one, `_train_step` is one step from the
batch to the log, and `_finish_epoch` validates (`acol.training.validation`).

Everything random in a step (order, augmentation, dropout) is drawn from a seed made of (seed, epoch, step). So a run
that is resumed at any step continues exactly like one that never stopped. No step waits for a number from the device.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from acol.data.feeding import Feed
from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.losses import classifier_losses
from acol.network.distributed import ALONE, World
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.training.balance import BALANCED, class_weights, epoch_order
from acol.training.depthwise import quicken_dilated_depthwise
from acol.training.frozen import VIEWS, frozen_features
from acol.training.methods.plain import Batch
from acol.training.optimizer import build_optimizer, build_schedule
from acol.training.results import EpochResult, PhaseResult, batch_sums
from acol.training.settings import TrainingSettings
from acol.training.validation import uneven_classes, validate

_METHOD, _PARTNERS = 1, 2  # what is drawn


@dataclass
class Training:
    """A training: iterate over `epochs()` to train, and read the result of each epoch.

    Args:
        model: is trained in place, on `device`, computing in `precision` (`acol.network.precision.PRECISIONS`).
        train, val: images of `preprocessing.train_size` and of `preprocessing.size` pixels a side.
        settings: which name the part of the backbone that stays as it is, too.
        cache: a folder for the features of that part: they are computed once for a few views of each image, and then
            replace the images. By default it computes them in each step.
        world: the processes among which each batch is divided (default: this one alone).
        localize: returns MaxBoxAccV2 of the maps of the `mapped_images`; then this chooses the best epoch. By default
            it is the highest accuracy of validation (balanced accuracy where the classes are uneven), then the lowest
            loss of the first classifier.
        method: of `acol.head.METHODS` (default: none).

    `best_state` is the model's state dict after the best epoch. `maps` (E, n, h, w) float16 are the fused maps of the
    true class of the `mapped_images` after each epoch. `state_dict` returns all that is needed to resume.

    Raises `InputError` when a batch is larger than the training set or cannot be divided among the processes, and when
    the backbone has no such part as `settings.freeze`; `FloatingPointError` at a loss that is not finite, naming epoch,
    step and the batch's files.

    >>> manifest, preprocessing = read_folder("photos").manifest, Preprocessing(size=32, train_size=36)
    >>> train = load_split(manifest, "train", 36, Path("cache"))
    >>> val = load_split(manifest, "val", 32, Path("cache"))
    >>> settings = TrainingSettings(epochs=1, batch_size=4, lr=0.01, classifier_lr=0.1, freeze="none")
    >>> model, cpu = ACoL("timm/test_resnet", "p", num_classes=2), torch.device("cpu")
    >>> training = Training(model, train, val, preprocessing, settings, cpu, "float32")
    >>> [0 <= epoch.val.accuracy <= 1 for epoch in training.epochs()]
    [True]
    """

    model: ACoL
    train: LabelledImages
    val: LabelledImages
    preprocessing: Preprocessing
    settings: TrainingSettings
    device: torch.device
    precision: str
    cache: Path | None = None
    world: World = ALONE
    localize: Callable[[np.ndarray], float] | None = None
    method: str | None = None
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
        frozen = self.model.backbone.freeze(self.settings.freeze)
        # Convolutions are fastest channels-last, in bfloat16 above all.
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # On a CPU the gradients of dilated depthwise convolutions are slow, with a backbone like EfficientNet-Lite0.
        quicken_dilated_depthwise(self.model)
        self._method = self.settings.of_method(self.method).on(self.model.backbone)
        self._begin_feeds(frozen)
        self._class_weights = None
        if self.settings.class_weights == BALANCED:
            weights = class_weights(self.train.labels, self.model.num_classes)
            self._class_weights = torch.from_numpy(weights).float().to(self.device)
        self._replica = self.world.replicate(self.model, self.device)
        self.steps_per_epoch = len(self.train) // size
        self.optimizer = build_optimizer(self.model, self.settings)
        self.schedule = build_schedule(self.optimizer, self.settings, self.steps_per_epoch)
        self._unseen: list[tuple[Tensor, np.ndarray]] = []  # of the latest steps: numbers, and the batch's images
        self._begin_epoch()

    def _begin_feeds(self, frozen: int) -> None:
        """Choose what enters the model, and at which piece of its backbone: in training at `_start`.

        Features of the frozen pieces replace the images, for each of a few views, which the epochs use in turn. A
        method that changes each image anew in each epoch must train from the images.
        """
        train, val = [self.train], self.val
        self._start = self.val_start = 0
        if frozen and self.cache is not None:
            val, self.val_start = frozen_features(self, self.cache, frozen, self.val), frozen
            if not self._method.redraws:
                views = range(min(VIEWS, self.settings.epochs))
                train = [frozen_features(self, self.cache, frozen, self.train, nth) for nth in views]
                self._start = frozen
        self._train_feeds = [Feed(images, self.device) for images in train]
        self.val_feed = Feed(val, self.device)

    @property
    def best(self) -> EpochResult:
        """The best epoch so far."""
        return max((result for result in self.results if result.best), key=lambda result: result.epoch)

    @property
    def best_by(self) -> str:
        """What of validation chooses the best epoch."""
        if self.localize is not None:
            return "localization"
        return "balanced accuracy" if uneven_classes(self.val.labels) else "accuracy"

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
        self._sums = torch.zeros(len(self.model.recipe) + 2, dtype=torch.float64, device=self.device)
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
        """The images of a batch that this process takes: its share, and behind it the partners that a method wants."""
        size = self.settings.batch_size
        mine = np.arange(size)[self.world.share(size)]
        partners = self._method.partners(size, self._draws(epoch, step, _PARTNERS))
        return mine if partners is None else np.concatenate([mine, partners[mine]])

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
        rng, size = self._draws(epoch, self.step, _METHOD), len(indices)
        batch = self._method.change(Batch(inputs, labels, labels), size, self.world.share(size), rng)

        # Forward. Erasing follows the true labels; the losses are computed in float32 whatever the precision.
        with autocast(self.device, self.precision):
            out = self._replica(batch.inputs, batch.labels, self._start)
        recipe, weights = self.model.recipe, self._class_weights
        losses = classifier_losses(out.logits, batch.labels, recipe, weights)
        if batch.own < 1:
            losses = batch.own * losses + (1 - batch.own) * classifier_losses(out.logits, batch.others, recipe, weights)

        # Logged numbers stay on the device. If one is not finite, training stops, of a GPU before a state is saved.
        numbers = self.world.sum(batch_sums(losses.detach(), out.logits[0].detach(), batch.labels))
        self._unseen.append((numbers, indices))
        if self.device.type == "cpu":
            self._check_finite(self.step + 1)

        # Backward: the total loss is the sum over the classifiers.
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.schedule.step()

        # Last, so that `state_dict` never holds the sums of a step without its weights.
        self._sums += numbers

    def _check_finite(self, step: int) -> None:
        """Stop at the first step with a number that is not finite; `step` is the last one, counted from 1."""
        unseen, self._unseen = self._unseen, []
        finite = torch.stack([numbers for numbers, _ in unseen]).isfinite().all(1).tolist() if unseen else []
        if not all(finite):
            numbers, indices = unseen[finite.index(False)]
            step -= len(unseen) - 1 - finite.index(False)
            losses = " + ".join(f"{number / len(indices):g}" for number in numbers[:-2].tolist())
            files = ", ".join(self.train.names[index] for index in indices)
            at = f"loss {losses} in epoch {len(self.results) + 1}, step {step}"
            raise FloatingPointError(f"{at}; lower the learning rate, or check the batch: {files}")

    def _finish_epoch(self, after_step: Callable[["Training"], None]) -> EpochResult:
        """Validate, and keep the weights if they are the best so far."""
        self._check_finite(self.step)
        train = PhaseResult.of(self._sums)
        began = time.perf_counter()
        val, maps = validate(self, lambda: after_step(self))
        self.maps.append(maps)
        val_seconds = time.perf_counter() - began
        localization = None if self.localize is None else self.localize(maps.float().numpy())
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
            train_images_per_s=float(self._sums[-1]) / self._seconds,
            val_images_per_s=len(self.val) / val_seconds,
        )
        best = not self.results or result.rank() > self.best.rank()
        self.results.append(replace(result, best=best))
        if best:
            self.best_state = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        self._begin_epoch()
        return self.results[-1]

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue, as tensors and plain values."""
        self._check_finite(self.step)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "sums": self._sums,
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
        self._sums = state["sums"].to(self.device)
        self.results = [EpochResult.from_state(values) for values in state["results"]]
