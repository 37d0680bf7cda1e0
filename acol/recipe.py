"""A recipe: the sequence of classifiers of an ACoL model, and the erasing thresholds between them."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from acol.errors import InputError

COMPLEMENTARY, ADVERSARIAL = "p", "n"


@dataclass(frozen=True)
class Recipe:
    """K classifiers and K-1 erasing thresholds, e.g. letters "pnp" with deltas (0.9, 0.7).

    Args:
        letters: one per classifier. `p` is complementary (cross-entropy on the true label), `n` adversarial
            (cross-entropy on all other labels). The first is `p`, since its prediction is the model's.
        deltas: K-1 thresholds in (0, 1). Classifier k erases the features where its normalised class activation map is
            above `deltas[k]` (Zhang et al. 2018, section 3.3).

    Raises `InputError` for an unknown letter, a wrong number of deltas, or a delta outside (0, 1).

    >>> recipe = Recipe.parse("pnp-0.9-0.7")
    >>> recipe.letters, recipe.deltas, str(recipe)
    ('pnp', (0.9, 0.7), 'pnp-0.9-0.7')
    """

    letters: str
    deltas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # Numbers of NumPy, and lists, would print and hash differently.
        object.__setattr__(self, "deltas", tuple(map(float, self.deltas)))
        text = f"recipe {self.letters!r}"
        unknown = sorted(set(self.letters) - {COMPLEMENTARY, ADVERSARIAL})
        if not self.letters or unknown:
            what = f"unknown letter {unknown[0]!r}" if unknown else "no letters"
            raise InputError(f"{text}: {what}; write one letter per classifier, p (complementary) or n (adversarial)")
        if self.letters[0] != COMPLEMENTARY:
            raise InputError(f"{text}: starts with n; start with p, since the first prediction is the model's")
        wanted = len(self.letters) - 1
        if len(self.deltas) != wanted:
            example = "-".join([self.letters, *["0.9"] * wanted])
            raise InputError(f"{text}: {len(self.deltas)} deltas for {wanted} erasing steps; write e.g. {example}")
        for delta in self.deltas:
            if not 0 < delta < 1:
                raise InputError(f"{text}: delta {delta} is outside (0, 1); choose e.g. 0.9")

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """Read "LETTERS-DELTA-DELTA...", such as "p", "pn-0.9" or "pnp-0.9-0.7"; `str` gives this text back.

        Raises `InputError` for a text that is no recipe; the message says what is wrong with it.
        """
        letters, *deltas = text.split("-")
        # float() would also accept blanks, underscores and the digits of other scripts.
        if not all(re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", delta) for delta in deltas):
            raise InputError(f"recipe {text!r}: deltas are numbers in (0, 1); write e.g. pn-0.9")
        return cls(letters, tuple(float(delta) for delta in deltas))

    def __str__(self) -> str:
        return "-".join([self.letters, *(f"{Decimal(repr(delta)):f}" for delta in self.deltas)])

    def __len__(self) -> int:
        return len(self.letters)

    @property
    def complementary(self) -> tuple[int, ...]:
        """Indices of the `p` classifiers, whose maps are fused into the localization map."""
        return tuple(k for k, letter in enumerate(self.letters) if letter == COMPLEMENTARY)


def adversarial_floor(num_classes: int) -> float:
    """Return ln(C - 1), the smallest possible value of the adversarial loss for C classes."""
    return math.log(num_classes - 1)
