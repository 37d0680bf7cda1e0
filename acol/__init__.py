"""Weakly supervised object localization with Adversarial Complementary Learning (arXiv 1804.06962)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acol.network.model import ACoL, ACoLOutput
    from acol.recipe import Recipe

__all__ = ["ACoL", "ACoLOutput", "Recipe"]

_HOMES = {"ACoL": "acol.network.model", "ACoLOutput": "acol.network.model", "Recipe": "acol.recipe"}


def __getattr__(name: str) -> object:
    # Resolved at first use: a part of the library loads what it needs, not all of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
