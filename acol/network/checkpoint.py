"""A trained model as one file: its weights and all that is needed to use them on a new image."""

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
    """What a model is: how to build it, its classes in the order of their indices, and what its images look like.

    `backbone`, `recipe`, `output_stride` and `classifier` are as `acol.ACoL` takes them; `pooling` is conv3's.
    `precision` is a name of `acol.network.precision.PRECISIONS`, such as "float32". `provenance`: of the trunk's
    weights (default: none known).

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
    provenance: Provenance | None = None  # of the trunk's weights, if it has some
    classifier: str = CONV1
    pooling: bool = False  # before conv3


def save_model(path: str | Path, card: ModelCard, weights: dict[str, Tensor]) -> None:
    """Write a model's card and state dict, whole or not at all; equal models give identical bytes.

    `weights` is the state dict of an `acol.ACoL` that `card` describes, such as `Training.best_state`.

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
    """Return the model of a file, in evaluation mode, and its card. No code is unpickled.

    `path` is a file of `save_model`; the model is put on `device` (default: the CPU). Raises `InputError` for a file
    that is missing, damaged or not such a checkpoint.

    >>> model, card = load_model("best.pt")
    >>> card.classes
    ('disc', 'square')
    """
    content = read_tensors(path)
    try:
        card = _card(content["card"])
        weights = content["weights"]
        # The width of conv3 is that of its weights: a card that says another one could ask for any amount of memory.
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
    except Exception as error:  # what a stranger's content makes the constructors raise is any of many types
        reason = load_failure(error)
        raise InputError(f"{path}: not a checkpoint of this version ({reason}); train the model again") from None
    return model.to(device, memory_format=torch.channels_last).eval(), card  # type: ignore[call-overload]


def _card(values: Any) -> ModelCard:
    said = values.get("provenance")
    provenance = None if said is None else Provenance.of(said)
    card = ModelCard(**values | {"preprocessing": Preprocessing(**values["preprocessing"]), "provenance": provenance})
    view = card.preprocessing
    whole = (
        type(card.classes) is tuple
        and len({name for name in card.classes if isinstance(name, str)}) == len(card.classes) > 0
        and card.precision in PRECISIONS
        and type(card.pooling) is bool
        and all(type(size) is int and size > 0 for size in (view.size, view.train_size))
        and all(len(triple) == 3 and all(map(math.isfinite, triple)) for triple in (view.mean, view.std))
        and min(view.std) > 0
    )
    if not whole:
        raise ValueError("a card that describes no model")
    return card
