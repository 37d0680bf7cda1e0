"""A head: what stands on a backbone and how it is trained, as one text."""

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from acol.bounds import Share
from acol.errors import InputError, did_you_mean
from acol.recipe import Recipe

CONV1, CONV3 = "conv1", "conv3"
CLASSIFIERS = (CONV1, CONV3)
CUTMIX = "cutmix"
METHODS = {"has": "hide_and_seek", CUTMIX: "cutmix", "adl": "attention_dropout"}
"""The word of each method, and its name in `acol.training.settings` and `acol.training.methods`."""
_KINDS = {**dict.fromkeys(CLASSIFIERS, "classifier"), **dict.fromkeys(METHODS, "method")}


@dataclass(frozen=True)
class Conv3Settings:
    """The classifier `conv3`. The defaults are the authors' code's (github.com/xiaomengyc/ACoL, models/vgg/vgg_v1.py).

    `width`: channels of its two 3x3 convolutions. `dropout`: the share of features that training drops before each;
    the authors' lines for it are commented out. `pooling`: the features are averaged over 3x3 places (stride 1, padding
    1) before the first classifier sees them, so erasing acts on averaged ones; wsolevaluation does it with VGG alone.
    """

    width: Annotated[int, Ge(1), Le(8192)] = 1024
    dropout: Share = 0.0
    pooling: bool = True


@dataclass(frozen=True)
class Head:
    """A recipe, then words: "pn-0.9", "pp-0.6-conv3", "p-has", "pn-0.9-conv3-adl-s1".

    `classifier`: "conv1", one 1x1 convolution, which is not written, or "conv3", the paper's (`acol.network.model`).
    `method`: another method of localization that trains with it, "has" (Hide-and-Seek), "cutmix" or "adl"
    (attention-based dropout), or None. `seed`: the head's own in [0, 2**32), or None. The words stand in this order.

    Raises `InputError` for a method that has no meaning for the recipe.
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
        """Read a head's text; `str` prints it back, so that an experiment has one name.

        Raises `InputError` for an unknown word, two words of one kind, and a text that is written otherwise.
        """
        first, *parts = text.split("-")
        count = next((n for n, part in enumerate(parts) if not part[:1].isdigit() and part[:1] != "."), len(parts))
        recipe = Recipe.parse("-".join([first, *parts[:count]]))
        found: dict[str, str] = {}
        for word in parts[count:]:
            kind = "seed" if re.fullmatch("s[0-9]+", word) else _KINDS.get(word)
            if kind is None:
                raise InputError(f"head {text!r}: unknown word {word!r}; {did_you_mean(word, [CONV3, *METHODS])}")
            if kind in found:
                raise InputError(f"head {text!r}: {found[kind]} and {word} exclude each other; remove one")
            found[kind] = word
        seed = int(found["seed"][1:]) if "seed" in found else None
        head = cls(recipe, found.get("classifier", CONV1), found.get("method"), seed)
        if str(head) != text:
            raise InputError(f"head {text!r}: write it as {head}, so that a cell has one name")
        return head

    @property
    def without_seed(self) -> "Head":
        """The head that all of its seeds share."""
        return Head(self.recipe, self.classifier, self.method)

    def __str__(self) -> str:
        words = [] if self.classifier == CONV1 else [self.classifier]
        words += [] if self.method is None else [self.method]
        words += [] if self.seed is None else [f"s{self.seed}"]
        return "-".join([str(self.recipe), *words])
