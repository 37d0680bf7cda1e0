"""How a model is trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training.

    `lr` is the trunk's peak learning rate, `classifier_lr` the fresh classifiers'. The rate rises over the first
    `warmup` share of all steps and then falls to almost 0 along a cosine (one cycle, arXiv 1708.07120). Training stops
    when `patience` epochs in a row have brought no better validation result (None: never). `freeze` names the part of
    the backbone that is not trained, as `acol.network.pieces.frozen_count` takes it. `classifiers`: with "auto" the `p`
    classifiers start from the trunk's own ImageNet classifier, if it has one (`acol.training.start`); with "fresh" they
    start at random.
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
    classifiers: str = "fresh"
