"""From class maps to where the object is: maps, boxes, and every score of them against the truth."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acol.localization.maps import localization_map

__all__ = ["localization_map"]


def __getattr__(name: str) -> object:
    # Imported at first use, so that code which needs no network does not load torch.
    if name != "localization_map":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from acol.localization.maps import localization_map

    return localization_map
