"""Weakly supervised object localization with Adversarial Complementary Learning (arXiv 1804.06962).

The names below are the library's; `acol.metrics` has the scores. docs/library.md shows an example of each.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acol.data.loading import load_split
    from acol.data.transforms import Preprocessing
    from acol.errors import InputError
    from acol.ingest.folder import read_folder
    from acol.localization.maps import localization_map
    from acol.losses import adversarial_loss, complementary_loss
    from acol.network.checkpoint import ModelCard, load_model, save_model
    from acol.network.model import ACoL, ACoLOutput
    from acol.prediction.predictor import Prediction, Predictor
    from acol.recipe import Recipe
    from acol.training.loop import Training
    from acol.training.settings import TrainingSettings

__all__ = [
    "ACoL",
    "ACoLOutput",
    "InputError",
    "ModelCard",
    "Prediction",
    "Predictor",
    "Preprocessing",
    "Recipe",
    "Training",
    "TrainingSettings",
    "adversarial_loss",
    "complementary_loss",
    "load_model",
    "load_split",
    "localization_map",
    "read_folder",
    "save_model",
]

_HOMES = {
    "data.loading": ("load_split",),
    "data.transforms": ("Preprocessing",),
    "errors": ("InputError",),
    "ingest.folder": ("read_folder",),
    "localization.maps": ("localization_map",),
    "losses": ("adversarial_loss", "complementary_loss"),
    "network.checkpoint": ("ModelCard", "load_model", "save_model"),
    "network.model": ("ACoL", "ACoLOutput"),
    "prediction.predictor": ("Prediction", "Predictor"),
    "recipe": ("Recipe",),
    "training.loop": ("Training",),
    "training.settings": ("TrainingSettings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    # Names are resolved at first use, so that each part of the library loads only what it needs.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
