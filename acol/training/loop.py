"""The training loop: yields what happened in each epoch, knows no tracker and writes no file.

Everything random in a step (order, augmentation, dropout) is drawn from a seed made of (seed, epoch, step), so that a
run resumed from any step goes on exactly as the undisturbed one. No step waits for a number from the device.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
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
from acol.network.distributed import World
from acol.network.model import ACoL
from acol.network.precision import autocast
from acol.training.frozen import VIEWS, FrozenTrunk


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    `lr` is the trunk's peak learning rate, `classifier_lr` the fresh classifiers'. The rate rises over the first
    `warmup` share of all steps and then falls to almost 0 along a cosine (one cycle, arXiv 1708.07120). Training stops
    when `patience` epochs in a row have brought no better validation result (None: never). `freeze` names the part of
    the trunk that stays as it is, one of `acol.network.backbones.FREEZE`.
    """

    epochs: int
    batch_size: int
    lr: float
    classifier_lr: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.25
    patience: int | None = None
    seed: int = 0
    freeze: str = "none"


@dataclass(frozen=True)
class PhaseResult:
    """Means over a pass: `loss` is the sum of the classifiers' `losses`; `accuracy` in [0, 1] is the first one's."""

    loss: float
    losses: tuple[float, ...]
    accuracy: float


@dataclass(frozen=True)
class EpochResult:
    """One epoch: `lr` is the trunk's at its end; `best` says that validation was never better."""

    epoch: int
    lr: float
    train: PhaseResult
    val: PhaseResult
    best: bool
    seconds: float
    train_images_per_s: float
    val_images_per_s: float

    def row(self) -> dict[str, float]:
        """Return the columns of history.csv: what the same run always repeats, and so no timing."""
        row: dict[str, float] = {"epoch": self.epoch, "lr": self.lr}
        for name, phase in (("train", self.train), ("val", self.val)):
            row[f"{name}_loss"] = phase.loss
            row |= {f"{name}_loss_{k}": loss for k, loss in enumerate(phase.losses, 1)}
            row[f"{name}_accuracy"] = phase.accuracy
        return row

    def timing(self) -> dict[str, float]:
        """Return the columns of the timing file."""
        return {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "train_images_per_s": self.train_images_per_s,
            "val_images_per_s": self.val_images_per_s,
        }


@dataclass
class _Sums:
    """Running sums of a pass: (K + 1,) on the device, each classifier's loss and the right answers; and the images."""

    numbers: Tensor
    count: int = 0

    def result(self) -> PhaseResult:
        *losses, accuracy = (self.numbers / self.count).tolist()
        return PhaseResult(sum(losses), tuple(losses), accuracy)


class _Watch:
    """Raises `FloatingPointError` for numbers that are not finite; on a GPU some steps later, so that none waits."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None, Callable[[list[float]], str]]] = deque()

    def add(self, numbers: Tensor, describe: Callable[[list[float]], str]) -> None:
        event = None
        if numbers.device.type == "cuda":
            host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            numbers, event = host.copy_(numbers, non_blocking=True), torch.cuda.Event()
            event.record()
        self._pending.append((numbers, event, describe))
        self.check(wait=False)

    def check(self, wait: bool) -> None:
        while self._pending:
            numbers, event, describe = self._pending[0]
            if event is not None and not event.query():
                if not wait:
                    return
                event.synchronize()
            self._pending.popleft()
            if not torch.isfinite(numbers).all():
                raise FloatingPointError(describe(numbers.tolist()))


@dataclass
class Training:
    """A run: the model in training, and all that its continuation needs (`state_dict`).

    Iterate over `epochs()` for its results. `best_state` is the model's state dict of the best epoch on validation:
    highest accuracy, then lowest loss of the first classifier. `frozen` is the part of the trunk that stays as it is;
    `world` the processes among which each batch is divided.

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
    results: list[EpochResult] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.settings.batch_size
        if size > len(self.train):
            raise InputError(
                f"train.batch_size {size}: larger than the training set of {len(self.train)} images; "
                f"choose at most that"
            )
        if size % self.world.size:
            raise InputError(f"train.batch_size {size}: not a multiple of the {self.world.size} processes; choose one")
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        train, val = [self.train], self.val
        if self.frozen is not None:
            views = range(min(VIEWS, self.settings.epochs))
            train = [self.frozen.training_view(self.train, nth) for nth in views]
            val = self.frozen.view(self.val)
        self._train_feeds, self._val_feed = [Feed(images, self.device) for images in train], Feed(val, self.device)
        self._start = 0 if self.frozen is None else self.frozen.pieces
        self._replica = self.world.replicate(self.model, self.device)
        self.steps_per_epoch = len(self.train) // size
        self.optimizer, self.schedule = _optimizer(self.model, self.settings, self.steps_per_epoch)
        self.step = 0  # complete steps of the epoch under way
        self._sums = self._no_sums()
        self._watch = _Watch()
        self._seconds = 0.0

    @property
    def best(self) -> EpochResult:
        """The best epoch so far."""
        return max((result for result in self.results if result.best), key=lambda result: result.epoch)

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

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs, as tensors and plain values."""
        self._watch.check(wait=True)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "sums": {"numbers": self._sums.numbers, "count": self._sums.count},
            "seconds": self._seconds,
            "results": [asdict(result) for result in self.results],
            "best_state": self.best_state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where a run stood when it made `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self._seconds, self.best_state = state["step"], state["seconds"], state["best_state"]
        self._sums = _Sums(state["sums"]["numbers"].to(self.device), state["sums"]["count"])
        self.results = [
            EpochResult(**row | {name: PhaseResult(**row[name]) for name in ("train", "val")})
            for row in state["results"]
        ]

    def _train_epoch(self, epoch: int, after_step: Callable[["Training"], None]) -> None:
        self.model.train()
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.train))
        size, started = self.settings.batch_size, time.perf_counter() - self._seconds
        batches = [np.sort(order[step * size : (step + 1) * size]) for step in range(self.step, self.steps_per_epoch)]
        feed = self._train_feeds[(epoch - 1) % len(self._train_feeds)]
        mine = self.world.share(size)
        bar = tqdm(total=self.steps_per_epoch, initial=self.step, desc=f"epoch {epoch}", leave=False, disable=None)
        with bar:
            for indices, (inputs, labels) in zip(
                batches, feed.batches([indices[mine] for indices in batches]), strict=True
            ):
                self._train_step(epoch, indices, inputs, labels)
                self.step += 1
                self._seconds = time.perf_counter() - started
                bar.update()
                after_step(self)

    def _train_step(self, epoch: int, indices: np.ndarray, inputs: Tensor, labels: Tensor) -> None:
        seed = int(np.random.SeedSequence((self.settings.seed, epoch, self.step)).generate_state(1)[0])
        torch.manual_seed(seed)
        if self.frozen is None:
            crops = self.preprocessing.draw_crops(len(indices))  # the whole batch's, in every process
            inputs = self.preprocessing.training_view(inputs, crops[self.world.share(len(indices))])
        if not self.world.first:
            torch.manual_seed(seed + self.world.rank)  # its own dropout
        with autocast(self.device, self.precision):
            out = self._replica(inputs, labels, self._start)
        losses = classifier_losses(out.logits, labels, self.model.recipe)
        numbers = self.world.sum(_numbers(losses.detach(), out.logits[0].detach(), labels))
        step = self.step + 1
        self._watch.add(numbers, lambda numbers: self._not_finite(numbers, epoch, step, indices))
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.schedule.step()
        self._sums.numbers += numbers
        self._sums.count += len(indices)

    def _not_finite(self, numbers: list[float], epoch: int, step: int, indices: np.ndarray) -> str:
        losses = " + ".join(f"{number / len(indices):g}" for number in numbers[:-1])
        files = ", ".join(self.train.names[index] for index in indices)
        return f"loss {losses} in epoch {epoch}, step {step}; lower the learning rate, or look at the batch: {files}"

    def _finish_epoch(self, after_step: Callable[["Training"], None]) -> EpochResult:
        self._watch.check(wait=True)
        train = self._sums.result()
        started = time.perf_counter()
        val = self.validate(after_step)
        val_seconds = time.perf_counter() - started
        rank = (val.accuracy, -val.losses[0])
        best = not self.results or rank > (self.best.val.accuracy, -self.best.val.losses[0])
        result = EpochResult(
            epoch=len(self.results) + 1,
            lr=self.optimizer.param_groups[0]["lr"],
            train=train,
            val=val,
            best=best,
            seconds=self._seconds + val_seconds,
            train_images_per_s=self._sums.count / self._seconds,
            val_images_per_s=len(self.val) / val_seconds,
        )
        self.results.append(result)
        if best:
            self.best_state = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        self.step, self._sums, self._seconds = 0, self._no_sums(), 0.0
        return result

    @torch.inference_mode()
    def validate(self, after_batch: Callable[["Training"], None] = lambda training: None) -> PhaseResult:
        """Pass over the validation images; erasing follows the true labels, as in training, so that losses compare."""
        self.model.eval()
        sums, size = self._no_sums(), 2 * self.settings.batch_size // self.world.size
        mine = np.arange(len(self.val))[self.world.share(len(self.val))]
        # As many batches in each process, be the last one empty: `after_batch` may have them agree.
        largest = -(-len(self.val) // self.world.size)
        batches = [mine[start : start + size] for start in range(0, largest, size)]
        feed = self._val_feed.batches(batches)
        for inputs, labels in tqdm(feed, desc="validate", total=len(batches), leave=False, disable=None):
            if len(labels):
                if self.frozen is None:
                    inputs = self.preprocessing.view(inputs)
                with autocast(self.device, self.precision):
                    out = self.model(inputs, labels, self._start)
                sums.numbers += _numbers(
                    classifier_losses(out.logits, labels, self.model.recipe), out.logits[0], labels
                )
            after_batch(self)
        return _Sums(self.world.sum(sums.numbers), len(self.val)).result()

    def _no_sums(self) -> _Sums:
        return _Sums(torch.zeros(len(self.model.recipe) + 1, dtype=torch.float64, device=self.device))


def _numbers(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """What a batch adds to the sums of a pass."""
    correct = (logits.argmax(1) == labels).sum()
    return torch.cat([losses.double() * len(labels), correct.double()[None]])


def _optimizer(
    model: ACoL, settings: TrainingSettings, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Four parameter groups: trunk and classifiers, each with decayed matrices and undecayed vectors."""
    groups = []
    for module, lr in ((model.backbone, settings.lr), (model.classifiers, settings.classifier_lr)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        # Norm scales and biases are not decayed: that only changes the features' scale.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=settings.momentum > 0, fused=True)
    else:
        optimizer = torch.optim.AdamW(groups, fused=True)
    total = settings.epochs * steps_per_epoch + 1  # a step past the end is never asked for
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[settings.lr, settings.lr, settings.classifier_lr, settings.classifier_lr],
        total_steps=total,
        # OneCycleLR divides by zero for a rise that ends with the first step.
        pct_start=settings.warmup if settings.warmup * total != 1 else 0.0,
        cycle_momentum=False,
    )
    return optimizer, schedule
