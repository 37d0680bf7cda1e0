"""How a model is trained."""

from dataclasses import dataclass, field

from acol.head import METHODS
from acol.network.model import Conv3Settings
from acol.training.balance import UNIFORM
from acol.training.methods.attention_dropout import AttentionDropout
from acol.training.methods.cutmix import CutMix
from acol.training.methods.hide_and_seek import HideAndSeek
from acol.training.methods.plain import Plain


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training.

    `lr` is the trunk's peak learning rate, `classifier_lr` the fresh classifiers'. The rate rises over the first
    `warmup` share of all steps and then falls to almost 0 along a cosine (one cycle, arXiv 1708.07120). Training
    stops when `patience` epochs in a row have brought no better validation result (None: never). `best_by`:
    "accuracy" of validation (balanced accuracy where the classes are uneven), or "localization", which needs boxes
    (`acol.training.loop.Training`). `freeze` names the part of the backbone that is not trained, as
    `acol.network.pieces.frozen_count` takes it. `classifiers`: with "auto" the `p` classifiers start from the trunk's
    own ImageNet classifier, if it has one (`acol.training.start`); with "fresh" they start at random, and so do those
    of conv3.

    `class_weights`: with "balanced" each image's loss has the weight of its class, so that all classes weigh the same.
    `sampler`: with "balanced" all classes have as many images in an epoch (`acol.training.balance`).

    `method` is one of `acol.head.METHODS` or None; `hide_and_seek`, `cutmix` and `attention_dropout` are each method's
    settings, `conv3` those of the classifier conv3.

    >>> TrainingSettings(epochs=2, batch_size=8, lr=0.01, classifier_lr=0.1).optimizer
    'sgd'
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
    best_by: str = "accuracy"
    class_weights: str = "none"
    sampler: str = UNIFORM
    seed: int = 0
    freeze: str = "none"
    classifiers: str = "fresh"
    conv3: Conv3Settings = field(default_factory=Conv3Settings)
    method: str | None = None
    hide_and_seek: HideAndSeek = field(default_factory=HideAndSeek)
    cutmix: CutMix = field(default_factory=CutMix)
    attention_dropout: AttentionDropout = field(default_factory=AttentionDropout)

    @property
    def chosen(self) -> Plain:
        """The method that `method` names, with its settings."""
        return Plain() if self.method is None else getattr(self, METHODS[self.method])
