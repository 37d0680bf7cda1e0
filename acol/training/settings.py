"""The settings of a training."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from acol.errors import InputError
from acol.head import METHODS, Conv3Settings
from acol.setting_types import Count, Fraction, Rate, Seed, Share
from acol.training.methods.attention_dropout import AttentionDropout
from acol.training.methods.cutmix import CutMix
from acol.training.methods.hide_and_seek import HideAndSeek
from acol.training.methods.plain import Plain


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training.

    `lr` is the largest learning rate of the backbone, `classifier_lr` that of the classifiers. The rate rises over the
    first `warmup` share of all steps and then falls to almost 0 along a cosine (one cycle, arXiv 1708.07120). Training
    stops after `patience` epochs without a better validation result (None: never). `freeze` is the part of the backbone
    that is not trained: a word of `acol.network.pieces.FREEZE`, or the name of a module. `classifiers`: with "auto" the
    `p` classifiers start from the ImageNet classifier of the backbone, if it has one
    (`acol.training.initial_classifiers`); with "fresh" they start at random. Those of conv3 always do.

    `class_weights`: with "balanced" the loss of each image has the weight of its class, so that all classes have the
    same weight. `sampler`: with "balanced" all classes have the same number of images in an epoch
    (`acol.training.balance`).

    `hide_and_seek`, `cutmix` and `attention_dropout` are the settings of the methods (`acol.head.METHODS`), `conv3`
    those of the classifier conv3.

    Raises `InputError` for settings that contradict each other, and for a `freeze` that can name no module.

    >>> TrainingSettings(epochs=2, batch_size=8, lr=0.01, classifier_lr=0.1).optimizer
    'adamw'
    """

    epochs: Count = 2
    batch_size: Annotated[int, Ge(2), Le(1_000_000)] = 32
    lr: Rate = 1e-4
    classifier_lr: Rate = 5e-4
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: Share = 0.9
    weight_decay: Annotated[float, Ge(0), Le(100)] = 0.02
    warmup: Fraction = 0.2
    patience: Count | None = None
    class_weights: Literal["none", "balanced"] = "none"
    sampler: Literal["uniform", "balanced"] = "uniform"
    seed: Seed = 0
    freeze: str = "all but the last stage"
    classifiers: Literal["auto", "fresh"] = "auto"
    conv3: Conv3Settings = field(default_factory=Conv3Settings)
    hide_and_seek: HideAndSeek = field(default_factory=HideAndSeek)
    cutmix: CutMix = field(default_factory=CutMix)
    attention_dropout: AttentionDropout = field(default_factory=AttentionDropout)

    def __post_init__(self) -> None:
        if self.class_weights == self.sampler == "balanced":
            raise InputError("class_weights and sampler are both balanced, which corrects twice; keep one")
        if not re.fullmatch(r"[A-Za-z][\w. ]*", self.freeze):
            raise InputError(f"freeze {self.freeze!r:.80}: not the name of a module; correct it")

    def of_method(self, method: str | None) -> Plain:
        """Return a method of `acol.head.METHODS` with its settings, or for None the method that changes nothing."""
        return Plain() if method is None else getattr(self, METHODS[method])
