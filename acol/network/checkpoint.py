"""A trained model as one file: its weights and all that is needed to use them on a new image."""

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.files import atomic_write
from acol.network.archive import check_archive, load_failure
from acol.network.model import ACoL
from acol.network.precision import PRECISIONS

_FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """What a model is: how to build it, its classes in the order of their indices, and what its images look like."""

    backbone: str
    recipe: str
    output_stride: int
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    precision: str


def save_model(path: str | Path, card: ModelCard, weights: dict[str, Tensor]) -> None:
    """Write a model's card and state dict, whole or not at all; equal models give identical bytes."""
    content = {"format": _FORMAT, "card": asdict(card), "weights": weights}
    with atomic_write(path) as temporary:
        temporary.write_bytes(tensor_bytes(content))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[ACoL, ModelCard]:
    """Return the model of a file, in evaluation mode, and its card. No code is unpickled.

    Raises `InputError` for a file that is missing, damaged or not such a checkpoint.
    """
    content = read_tensors(path)
    try:
        card = _card(content["card"])
        model = ACoL(card.backbone, card.recipe, len(card.classes), output_stride=card.output_stride)
        model.load_state_dict(content["weights"])
        if not all(value.isfinite().all() for value in model.state_dict().values()):
            raise ValueError("weights that are not finite")
    except Exception as error:  # what a stranger's content makes the constructors raise is any of many types
        reason = load_failure(error)
        raise InputError(f"{path}: not a checkpoint of this version ({reason}); train the model again") from None
    return model.to(device, memory_format=torch.channels_last).eval(), card  # type: ignore[call-overload]


def tensor_bytes(content: Any) -> bytes:
    """Serialise tensors and plain values; the bytes depend on the content alone."""
    buffer = io.BytesIO()  # torch.save to a path would put the file's name into the bytes
    torch.save(content, buffer)
    return buffer.getvalue()


def read_tensors(path: str | Path) -> Any:
    """Read what `tensor_bytes` made. Raises `InputError` for a missing or damaged file."""
    try:
        check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train the model first") from None
    except Exception as error:
        reason = load_failure(error)
        raise InputError(f"{path}: damaged or not a checkpoint ({reason}); train the model again") from None


def _card(values: Any) -> ModelCard:
    card = ModelCard(**values | {"preprocessing": Preprocessing(**values["preprocessing"])})
    view = card.preprocessing
    whole = (
        type(card.classes) is tuple
        and len({name for name in card.classes if isinstance(name, str)}) == len(card.classes) > 0
        and card.precision in PRECISIONS
        and all(type(size) is int and size > 0 for size in (view.size, view.train_size))
        and all(len(triple) == 3 and all(map(math.isfinite, triple)) for triple in (view.mean, view.std))
        and min(view.std) > 0
    )
    if not whole:
        raise ValueError("a card that describes no model")
    return card
