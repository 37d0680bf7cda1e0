"""A trained model in one file: its weights, and everything that is needed to use them on a new image."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.files import atomic_write
from acol.head import CONV1, Conv3Settings
from acol.network.model import ACoL
from acol.network.precision import PRECISIONS
from acol.network.weights import Provenance, load_failure, read_tensors, tensor_bytes


@dataclass(frozen=True)
class ModelCard:
    """How to build a model, its classes, and how to prepare images for it.

    Args:
        backbone, recipe, output_stride, classifier: as `acol.ACoL` takes them (`classifier`'s default: "conv1").
        classes: the names of the classes, in the order of their indices.
        preprocessing: how an image is resized and normalised.
        precision: the number format of the training, "float32" or "bfloat16".
        provenance: the facts about the weights with which the backbone started; None (default): unknown.
        pooling: whether features are averaged before the classifiers, as conv3 can do (default: False).

    >>> card = ModelCard("resnet18", "pn-0.9", 32, ("cat", "dog"), Preprocessing(224, 256), "float32")
    >>> card.classifier
    'conv1'
    """

    backbone: str
    recipe: str
    output_stride: int
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    precision: str
    provenance: Provenance | None = None
    classifier: str = CONV1
    pooling: bool = False


def save_model(path: str | Path, card: ModelCard, weights: dict[str, Tensor]) -> None:
    """Write a model's card and weights to a file, completely or not at all; equal models give identical bytes.

    Args:
        path: the file; its folder is made if it does not exist.
        card: describes the model.
        weights: the state dict of the `acol.ACoL` that `card` describes, such as `Training.best_state`.

    Raises `OSError` if the file cannot be written.

    >>> model, card = load_model("best.pt")
    >>> save_model("copy.pt", card, model.state_dict())
    >>> load_model("copy.pt")[1] == card
    True
    """
    provenance = card.provenance and card.provenance.values()
    content = {"card": asdict(card) | {"provenance": provenance}, "weights": weights}
    with atomic_write(path) as temporary:
        temporary.write_bytes(tensor_bytes(content))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[ACoL, ModelCard]:
    """Read a model and its card from a file. No code in the file is run.

    Args:
        path: a file of `save_model`.
        device: where the model is put (default: the CPU).

    Returns the model, in evaluation mode, and its card. Raises `InputError` for a file that is missing, damaged or no
    such checkpoint.

    >>> model, card = load_model("best.pt")
    >>> card.classes
    ('disc', 'square')
    """
    content = read_tensors(path)
    try:
        card = _card(content["card"])
        weights = content["weights"]
        # The width of conv3 is taken from its weights: a false one in a card could ask for any amount of memory.
        width = 1 if card.classifier == CONV1 else len(weights["classifiers.0.1.weight"])
        model = ACoL(
            card.backbone,
            card.recipe,
            len(card.classes),
            output_stride=card.output_stride,
            classifier=card.classifier,
            conv3=Conv3Settings(width, pooling=card.pooling),
        )
        model.load_state_dict(weights)
        model.backbone.provenance = card.provenance or model.backbone.provenance
        if not all(value.isfinite().all() for value in model.state_dict().values()):
            raise ValueError("weights that are not finite")
    except Exception as error:  # with a file of another origin the constructors raise errors of many types
        reason = load_failure(error)
        raise InputError(f"{path}: not a checkpoint of this version ({reason}); train the model again") from None
    return model.to(device, memory_format=torch.channels_last).eval(), card  # type: ignore[call-overload]


def _card(values: Any) -> ModelCard:
    """Return the card that was saved as plain values; raise any error if they make no valid card."""
    facts = values.get("provenance")
    provenance = None if facts is None else Provenance.of(facts)
    card = ModelCard(**values | {"preprocessing": Preprocessing(**values["preprocessing"]), "provenance": provenance})
    # Types are checked by hand, since annotations check nothing and the file may be of any origin.
    view = card.preprocessing
    valid = (
        type(card.classes) is tuple
        and len({name for name in card.classes if isinstance(name, str)}) == len(card.classes) > 0
        and card.precision in PRECISIONS
        and type(card.pooling) is bool
        and all(type(size) is int and size > 0 for size in (view.size, view.train_size))
        and all(len(triple) == 3 and all(map(math.isfinite, triple)) for triple in (view.mean, view.std))
        and min(view.std) > 0
    )
    if not valid:
        raise ValueError("a card that describes no model")
    return card
