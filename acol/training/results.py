"""What a training reports: a pass over a split, an epoch, and the sums they are made of."""

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

    @classmethod
    def of(cls, sums: Tensor) -> "PhaseResult":
        """Return the means of a pass's `batch_sums`; this waits for the device."""
        *losses, accuracy = (sums[:-1] / sums[-1]).tolist()
        return cls(sum(losses), tuple(losses), accuracy)


def batch_sums(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return a batch's sums (K + 2,) float64: each of K classifiers' losses, right answers, and images.

    `losses` (K,) are the classifiers' means over the batch, `logits` (n, C) the first one's, `labels` (n,).
    """
    right = (logits.argmax(1) == labels).sum()
    return torch.cat([losses.double() * len(labels), right.double()[None], torch.full_like(losses[:1], len(labels))])


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

    def rank(self) -> tuple[float, float, float]:
        """Return what is the higher, the better an epoch is."""
        balanced = self.val.balanced_accuracy
        accuracy = self.val.accuracy if balanced is None else balanced
        return (self.localization or 0.0, accuracy, -self.val.losses[0])

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
        return {name: getattr(self, name) for name in ("seconds", "train_images_per_s", "val_images_per_s")}

    def timing(self) -> dict[str, float]:
        """Return the columns of the timing file, which differ from run to run."""
        return {"epoch": self.epoch, "started": self.started, "ended": self.ended, **self.speed()}
