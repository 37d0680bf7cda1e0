"""The results of a training: those of a pass over a split, those of an epoch, and the sums behind them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PhaseResult:
    """Means over the images of a pass."""

    loss: float  # the sum of `losses`
    losses: tuple[float, ...]  # one per classifier
    accuracy: float  # of the first classifier, in [0, 1]
    # The mean of the accuracies of the classes, in [0, 1], for validation images of uneven classes; else None
    balanced_accuracy: float | None = None

    @classmethod
    def of(cls, sums: Tensor) -> "PhaseResult":
        """Return the means from the `batch_sums` of a pass; this waits for the device."""
        *losses, accuracy = (sums[:-1] / sums[-1]).tolist()
        return cls(sum(losses), tuple(losses), accuracy)


def batch_sums(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return sums over a batch (K + 2,) float64: the loss of each of K classifiers, right answers, and images.

    `losses` (K,) are the means of the classifiers over the batch, `logits` (n, C) those of the first classifier, and
    `labels` (n,) int64 the true classes.
    """
    right = (logits.argmax(1) == labels).sum()
    return torch.cat([losses.double() * len(labels), right.double()[None], torch.full_like(losses[:1], len(labels))])


@dataclass(frozen=True)
class EpochResult:
    """The results of one epoch."""

    epoch: int  # counted from 1
    lr: float  # the learning rate of the backbone at the end of the epoch
    # The results of the training and the validation images
    train: PhaseResult
    val: PhaseResult
    localization: float | None  # MaxBoxAccV2 of the validation images in [0, 1]; None if the training has no boxes
    best: bool  # whether this epoch is the best so far
    # In seconds since 1970 (UTC)
    started: float
    ended: float
    seconds: float  # the time of work between them, without a time in which the training was stopped
    # The speed
    train_images_per_s: float
    val_images_per_s: float

    @classmethod
    def from_state(cls, values: dict[str, Any]) -> "EpochResult":
        """Return the result from the dict that `dataclasses.asdict` gave."""
        return cls(**values | {name: PhaseResult(**values[name]) for name in ("train", "val")})

    def rank(self) -> tuple[float, float, float]:
        """Return numbers that compare epochs: they are higher for a better one."""
        balanced = self.val.balanced_accuracy
        accuracy = self.val.accuracy if balanced is None else balanced
        return (self.localization or 0.0, accuracy, -self.val.losses[0])

    def row(self) -> dict[str, float]:
        """Return the columns of history.csv. They hold no time, so that a repeated run gives the same file."""
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
        """Return the time and the speed of the epoch, as metrics."""
        return {name: getattr(self, name) for name in ("seconds", "train_images_per_s", "val_images_per_s")}

    def timing(self) -> dict[str, float]:
        """Return the columns of the timing file, which differ between equal runs."""
        return {"epoch": self.epoch, "started": self.started, "ended": self.ended, **self.speed()}
