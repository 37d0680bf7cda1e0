"""A head: the classifiers on a backbone and how they are trained, written as one text."""

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from acol.errors import InputError, did_you_mean
from acol.recipe import Recipe
from acol.setting_types import Share

CONV1, CONV3 = "conv1", "conv3"
CLASSIFIERS = (CONV1, CONV3)
CUTMIX = "cutmix"
METHODS = {"has": "hide_and_seek", CUTMIX: "cutmix", "adl": "attention_dropout"}
"""The word of each method in a head, and its name in `acol.training.settings` and `acol.training.methods`."""
_KINDS = {**dict.fromkeys(CLASSIFIERS, "classifier"), **dict.fromkeys(METHODS, "method")}


@dataclass(frozen=True)
class Conv3Settings:
    """The classifier `conv3`. The defaults are those of the authors' code (github.com/xiaomengyc/ACoL, vgg_v1.py).

    `width`: channels of its two 3x3 convolutions. `dropout`: the share of features that training drops before each
    one; in the authors' code these lines are commented out. `pooling`: whether the features are averaged over 3x3
    positions (stride 1, padding 1) before the first classifier, so that erasing acts on averaged features; the code of
    wsolevaluation does so for VGG only.
    """

    width: Annotated[int, Ge(1), Le(8192)] = 1024
    dropout: Share = 0.0
    pooling: bool = True


@dataclass(frozen=True)
class Head:
    """A recipe, then words: "pn-0.9", "pp-0.6-conv3", "p-has", "pn-0.9-conv3-adl-s1".

    Args:
        recipe: the classifiers and deltas.
        classifier: "conv1", one 1x1 convolution, or "conv3", the paper's (`acol.network.model`); conv1 is not written.
        method: a method of localization that is trained together with the recipe, or None: "has" (Hide-and-Seek),
            "cutmix" or "adl" (attention-based dropout layer).
        seed: the seed of this head's training, in [0, 2**32); None: `train.seed`.

    In the text the words stand in this order. Raises `InputError` for CutMix with more than one classifier, and for a
    seed that is too large.
    """

    recipe: Recipe
    classifier: str = CONV1
    method: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.method == CUTMIX and len(self.recipe) > 1:
            raise InputError(
                f"head {self}: cutmix mixes images of two labels, but erasing follows the map of one; "
                "use cutmix with p alone, or has or adl with this recipe"
            )
        if self.seed is not None and self.seed >= 2**32:
            raise InputError(f"head {str(self)!r}: its seed is 2**32 or more; choose a smaller one")

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read a head's text; `str` gives this text back, so that an experiment has one name.

        Raises `InputError` for an unknown word, two words of one kind, and a text that `str` would write differently.
        """
        # The recipe goes up to the first part that is no number; the words follow.
        first, *parts = text.split("-")
        count = next((n for n, part in enumerate(parts) if not part[:1].isdigit() and part[:1] != "."), len(parts))
        recipe = Recipe.parse("-".join([first, *parts[:count]]))
        words: dict[str, str] = {}  # by kind
        for word in parts[count:]:
            kind = "seed" if re.fullmatch("s[0-9]+", word) else _KINDS.get(word)
            if kind is None:
                raise InputError(f"head {text!r}: unknown word {word!r}; {did_you_mean(word, [CONV3, *METHODS])}")
            if kind in words:
                raise InputError(f"head {text!r}: {words[kind]} and {word} exclude each other; remove one")
            words[kind] = word
        seed = int(words["seed"][1:]) if "seed" in words else None
        head = cls(recipe, words.get("classifier", CONV1), words.get("method"), seed)
        if str(head) != text:
            raise InputError(f"head {text!r}: write it as {head}, so that a cell has one name")
        return head

    @property
    def without_seed(self) -> "Head":
        """The same head without its seed: what the runs of several seeds have in common."""
        return Head(self.recipe, self.classifier, self.method)

    def __str__(self) -> str:
        words = [] if self.classifier == CONV1 else [self.classifier]
        words += [] if self.method is None else [self.method]
        words += [] if self.seed is None else [f"s{self.seed}"]
        return "-".join([str(self.recipe), *words])
