"""What a training reports: a pass over a split, an epoch, and the sums that these are made of."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PhaseResult:
    """Means over a pass: `loss` is the sum of the classifiers' `losses`; `accuracy` in [0, 1] is the first one's.

    `balanced_accuracy` is the mean of the classes' accuracies, known for validation images of uneven classes.
    """

    loss: float
    losses: tuple[float, ...]
    accuracy: float
    balanced_accuracy: float | None = None


@dataclass
class PhaseSums:
    """Running sums of a pass over `count` images.

    `numbers` (K + 1,) float64, on the device: each of K classifiers' losses, summed over the images, and the number of
    right answers.
    """

    numbers: Tensor
    count: int = 0

    @classmethod
    def zero(cls, classifiers: int, device: torch.device) -> "PhaseSums":
        """Return the sums before the first batch."""
        return cls(torch.zeros(classifiers + 1, dtype=torch.float64, device=device))

    def result(self) -> PhaseResult:
        """Return the means; this waits for the device."""
        *losses, accuracy = (self.numbers / self.count).tolist()
        return PhaseResult(sum(losses), tuple(losses), accuracy)


def batch_numbers(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return what a batch adds to `PhaseSums.numbers`.

    `losses` (K,) are the classifiers' means over the batch, `logits` (n, C) the first one's, `labels` (n,).
    """
    correct = (logits.argmax(1) == labels).sum()
    return torch.cat([losses.double() * len(labels), correct.double()[None]])


@dataclass(frozen=True)
class EpochResult:
    """One epoch: `lr` is the trunk's at its end; `best`: whether validation was the best so far.

    `localization` is MaxBoxAccV2 of the validation images, if training was given their boxes.

    `started` and `ended` are seconds since 1970 (UTC); `seconds` is the time at work between them, without a pause in
    which the training was stopped.
    """

    epoch: int
    lr: float
    train: PhaseResult
    val: PhaseResult
    localization: float | None
    best: bool
    started: float
    ended: float
    seconds: float
    train_images_per_s: float
    val_images_per_s: float

    @classmethod
    def from_state(cls, values: dict[str, Any]) -> "EpochResult":
        """Return the result whose `dataclasses.asdict` is `values`."""
        return cls(**values | {name: PhaseResult(**values[name]) for name in ("train", "val")})

    def row(self) -> dict[str, float]:
        """Return the columns of history.csv, which a repeated run reproduces exactly; so no timing."""
        row: dict[str, float] = {"epoch": self.epoch, "lr": self.lr}
        for name, phase in (("train", self.train), ("val", self.val)):
            row[f"{name}_loss"] = phase.loss
            row |= {f"{name}_loss_{k}": loss for k, loss in enumerate(phase.losses, 1)}
            row[f"{name}_accuracy"] = phase.accuracy
        if self.val.balanced_accuracy is not None:
            row["val_balanced_accuracy"] = self.val.balanced_accuracy
        if self.localization is not None:
            row["val_max_box_acc_v2"] = self.localization
        return row

    def speed(self) -> dict[str, float]:
        """Return how long the epoch took, and how fast it was, as metrics."""
        return {
            "seconds": self.seconds,
            "train_images_per_s": self.train_images_per_s,
            "val_images_per_s": self.val_images_per_s,
        }

    def timing(self) -> dict[str, float]:
        """Return the columns of the timing file, which differ from run to run."""
        return {"epoch": self.epoch, "started": self.started, "ended": self.ended, **self.speed()}
