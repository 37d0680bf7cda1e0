"""The training loop. It yields the result of each epoch, uses no tracker, and writes no file but kept features.

Read it from the top: `epochs` goes through the epochs, `_train_epoch` through the steps of an epoch, `_train_step`
makes one step, and `_finish_epoch` validates (`acol.training.validation`).

Everything that is random in a step (augmentation, dropout, methods) is drawn from a seed that is made of (seed, epoch,
step), and the order of the images from (seed, epoch). So a training that is resumed at any step continues exactly like
one that was never stopped. On a GPU no step waits for a number from the device.
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
from acol.training.fast_dilation import quicken_dilated
from acol.training.frozen_features import VIEWS, frozen_features
from acol.training.methods.plain import Batch
from acol.training.optimizer import build_optimizer, build_schedule
from acol.training.results import EpochResult, PhaseResult, batch_sums
from acol.training.settings import TrainingSettings
from acol.training.validation import uneven_classes, validate

_METHOD, _PARTNERS = 1, 2  # what random numbers are for


@dataclass
class Training:
    """A training: iterate over `epochs()` to train, and read the result of each epoch.

    Args:
        model: the model, which is trained in place.
        train: the training images, of `preprocessing.train_size` pixels per side.
        val: the validation images, of `preprocessing.size` pixels per side; at least one.
        preprocessing: how images are cropped and normalised.
        settings: the settings, with the part of the backbone that is frozen.
        device: where the model is moved and trained.
        precision: "float32" or "bfloat16" (`acol.network.precision.choose_precision`).
        cache: a folder for the features of the frozen part. They are computed once for a few views of each image, and
            then used instead of the images. None (default): compute them in each step.
        world: the processes among which each batch is divided (default: this one alone).
        localize: a function from the maps (n, h, w) of the `mapped_images` to their MaxBoxAccV2, by which the best
            epoch is then chosen. None (default): the best epoch has the highest accuracy of the validation images
            (balanced accuracy if the classes are uneven), and of equal ones the lowest loss of the first classifier.
        method: a key of `acol.head.METHODS`, or None (default).

    Attributes:
        results: the results of the completed epochs.
        best_state: the state dict of the model after the best epoch.
        maps: for each epoch, the fused maps of the true class of the `mapped_images`, (n, h, w) float16
            (`acol.training.validation.mapped_images`).

    `state_dict` returns everything that is needed to resume. Raises `InputError` if there are no validation images, if
    a batch is larger than the training set or cannot be divided among the processes, and if the backbone has no part
    `settings.freeze`. Training raises `FloatingPointError` for a loss that is not finite; its message names the epoch,
    the step and the files of the batch.

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
        # Refuse what cannot be trained before anything is moved or computed.
        size = self.settings.batch_size
        if size > len(self.train):
            raise InputError(
                f"train.batch_size {size}: larger than the training set of {len(self.train)} images; use a smaller one"
            )
        if size % self.world.size:
            raise InputError(
                f"train.batch_size {size}: not a multiple of the {self.world.size} processes; use a multiple"
            )
        if not len(self.val):
            raise InputError("val: has no images, by which the best epoch is chosen; give at least one")
        frozen = self.model.backbone.freeze(self.settings.freeze)
        # Convolutions are fastest with channels-last tensors, especially in bfloat16.
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        quicken_dilated(self.model, self.device)
        self._method = self.settings.of_method(self.method).attach(self.model.backbone)
        self._choose_inputs(frozen)
        # Weights of the losses, copies for several processes, and the optimizer.
        self._class_weights = None
        if self.settings.class_weights == BALANCED:
            weights = class_weights(self.train.labels, self.model.num_classes)
            self._class_weights = torch.from_numpy(weights).float().to(self.device)
        self._replica = self.world.replicate(self.model, self.device)
        self.steps_per_epoch = len(self.train) // size
        self.optimizer = build_optimizer(self.model, self.settings)
        self.schedule = build_schedule(self.optimizer, self.settings, self.steps_per_epoch)
        self._unchecked: list[tuple[Tensor, np.ndarray]] = []  # `batch_sums` of the latest steps, and their images
        self._reset_epoch()

    def _choose_inputs(self, frozen: int) -> None:
        """Choose between images and kept features as inputs, and set at which piece of the backbone they enter.

        With a cache, features of the frozen pieces replace the images. For training there are those of a few views,
        which the epochs use in turn; but a method that changes each image anew must train on the images.
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
        """The validation score by which the best epoch is chosen."""
        if self.localize is not None:
            return "localization"
        return "balanced accuracy" if uneven_classes(self.val.labels) else "accuracy"

    @property
    def stopped_early(self) -> bool:
        """Whether `settings.patience` has ended the training."""
        patience = self.settings.patience
        return patience is not None and bool(self.results) and self.results[-1].epoch - self.best.epoch >= patience

    def epochs(self, after_step: Callable[["Training"], None] = lambda training: None) -> Iterator[EpochResult]:
        """Train from the present state to the end, and yield the result of each epoch when it is complete.

        `after_step` is called after each optimizer step and each batch of validation. It may call `state_dict`.
        """
        while len(self.results) < self.settings.epochs and not self.stopped_early:
            self._train_epoch(len(self.results) + 1, after_step)
            yield self._finish_epoch(after_step)

    def _reset_epoch(self) -> None:
        """Reset what is counted in the current epoch."""
        self.step = 0  # completed steps
        self._sums = torch.zeros(len(self.model.recipe) + 2, dtype=torch.float64, device=self.device)
        self._seconds = 0.0  # of training in this epoch, also before the training was resumed
        self._started: float | None = None

    def _train_epoch(self, epoch: int, after_step: Callable[["Training"], None]) -> None:
        """Make the steps of an epoch that are not done yet."""
        self.model.train()
        # The order of the whole epoch comes from its seed; a resumed epoch skips the batches that are done. Each batch
        # is sorted, since neighbours in memory are read faster, and the order within a batch does not matter.
        order = epoch_order(self.train.labels, self.settings.sampler, self.settings.seed, epoch)
        size = self.settings.batch_size
        batches = [np.sort(order[step * size : (step + 1) * size]) for step in range(self.step, self.steps_per_epoch)]
        # Each process loads its share of every batch; the feeds of the views take turns.
        feed = self._train_feeds[(epoch - 1) % len(self._train_feeds)]
        own = [indices[self._own_positions(epoch, step)] for step, indices in enumerate(batches, self.step)]
        fed = feed.batches(own)
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

    def _method_rng(self, epoch: int, step: int, purpose: int) -> np.random.Generator:
        """Return the random numbers of a method for the whole batch of a step, the same in all processes."""
        return np.random.default_rng((self.settings.seed, epoch, step, purpose))

    def _own_positions(self, epoch: int, step: int) -> np.ndarray:
        """Return the positions in a batch of the images of this process: its share, then the partners of these."""
        size = self.settings.batch_size
        share = np.arange(size)[self.world.share(size)]
        partners = self._method.partners(size, self._method_rng(epoch, step, _PARTNERS))
        return share if partners is None else np.concatenate([share, partners[share]])

    def _train_step(self, epoch: int, indices: np.ndarray, inputs: Tensor, labels: Tensor) -> None:
        """Make one step with the images at `indices`; `inputs` and `labels` are those at `_own_positions`."""
        # Augmentation. All processes draw the crops of the whole batch, and use those of their images; after that each
        # has its own seed, for dropout.
        seed = int(np.random.SeedSequence((self.settings.seed, epoch, self.step)).generate_state(1)[0])
        torch.manual_seed(seed)
        if not self._start:
            crops = self.preprocessing.draw_crops(len(indices))
            inputs = self.preprocessing.training_view(inputs, crops[self._own_positions(epoch, self.step)])
        if not self.world.first:
            torch.manual_seed(seed + self.world.rank)
        rng, size = self._method_rng(epoch, self.step, _METHOD), len(indices)
        batch = self._method.change(Batch(inputs, labels, labels), size, self.world.share(size), rng)

        # Forward. Erasing uses the maps of the true labels. The losses are computed in float32 with any precision.
        with autocast(self.device, self.precision):
            out = self._replica(batch.inputs, batch.labels, self._start)
        recipe, weights = self.model.recipe, self._class_weights
        losses = classifier_losses(out.logits, batch.labels, recipe, weights)
        if batch.label_weight < 1:
            partner_losses = classifier_losses(out.logits, batch.partner_labels, recipe, weights)
            losses = batch.label_weight * losses + (1 - batch.label_weight) * partner_losses

        # What is logged stays on the device. A loss that is not finite ends the training: on a CPU now, on a GPU before
        # the next state is saved.
        numbers = self.world.sum(batch_sums(losses.detach(), out.logits[0].detach(), batch.labels))
        self._unchecked.append((numbers, indices))
        if self.device.type == "cpu":
            self._check_finite(self.step + 1)

        # Backward: the total loss is the sum over the classifiers.
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.schedule.step()

        # Last, so that `state_dict` never has the sums of a step without its weights.
        self._sums += numbers

    def _check_finite(self, step: int) -> None:
        """Raise an error for the first unchecked step with a loss that is not finite.

        `step` is the number of the latest step, counted from 1.
        """
        unchecked, self._unchecked = self._unchecked, []
        finite = torch.stack([numbers for numbers, _ in unchecked]).isfinite().all(1).tolist() if unchecked else []
        if not all(finite):
            numbers, indices = unchecked[finite.index(False)]
            step -= len(unchecked) - 1 - finite.index(False)
            losses = " + ".join(f"{number / len(indices):g}" for number in numbers[:-2].tolist())
            files = ", ".join(self.train.names[index] for index in indices)
            at = f"loss {losses} in epoch {len(self.results) + 1}, step {step}"
            raise FloatingPointError(f"{at}; lower the learning rate, or check the batch: {files}")

    def _finish_epoch(self, after_step: Callable[["Training"], None]) -> EpochResult:
        """Validate, and keep the weights if the epoch is the best so far."""
        # The means over the steps, and the pass over the validation images.
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
        # The weights are copied, since the next step changes them in place.
        best = not self.results or result.rank() > self.best.rank()
        self.results.append(replace(result, best=best))
        if best:
            self.best_state = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        self._reset_epoch()
        return self.results[-1]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that is needed to continue the training, as tensors and plain values."""
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
        """Continue from the `state` of a training with the same arguments."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.best_state, self.maps = state["step"], state["best_state"], state["maps"]
        self._seconds, self._started = state["seconds"], state["started"]
        self._sums = state["sums"].to(self.device)
        self.results = [EpochResult.from_state(values) for values in state["results"]]
