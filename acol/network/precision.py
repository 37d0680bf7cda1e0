"""The device and the number format of a computation."""

import ctypes
import os
import sys
from contextlib import AbstractContextManager

import torch

from acol.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
PRECISIONS = ("auto", "bfloat16", "float32")


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" is the first GPU if there is one, else the CPU.

    Each process that `torchrun` starts on a machine gets its own GPU; call this before weights are loaded, so that it
    uses no other. On the CPU the process keeps up to 1 GiB of the memory that it frees.

    Raises `InputError` for a device that torch does not know or find, and for more processes than GPUs.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            device = _own_gpu()
        torch.zeros(1, device=device).item()  # refuses "meta", whose tensors have no values
        if device.type == "cpu":
            _keep_freed_memory()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise InputError(f"device {name!r}: {str(error).splitlines()[0]:.160}; use auto, cpu or cuda") from None
    return device


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for large tensors, for which it would ask the system each time.

    The system sets new memory to 0, page by page. For 16 images that took as long as the forward pass itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # other C libraries than glibc may not have it
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**30)


def _own_gpu() -> torch.device:
    """Return the GPU of this process among those that `torchrun` started on this machine."""
    local, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= count:
        raise InputError(f"--nproc-per-node: {local + 1} processes or more, but {count} GPUs; start at most {count}")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def choose_precision(name: str, device: torch.device) -> str:
    """Return "bfloat16" for "auto" if the hardware can multiply it, else "float32"; return another name as it is."""
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the autocast context for a name that `choose_precision` returned."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
