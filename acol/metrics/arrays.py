"""What every metric takes: anything array-like, a torch tensor included, with values that it can use."""

from typing import Any

import numpy as np

from acol.errors import InputError

Array = np.ndarray[Any, Any]


def as_array(values: Any) -> Array:
    """Return a numpy array of anything array-like, a torch tensor on any device included."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # unknown to numpy
            values = values.float()
    return np.asarray(values)


def check_range(maps: Array, name: str) -> None:
    """Raise `InputError`, with `name` for the maps, for values that are not finite or not in [0, 1]."""
    if maps.size and not (maps.min() >= 0 and maps.max() <= 1):  # not finite fails too
        raise InputError(f"{name}: values from {maps.min():.4g} to {maps.max():.4g}; min-max normalise maps to [0, 1]")


def finite(values: Any, name: str, dimensions: int) -> Array:
    """Return values as float64. Raises `InputError` without values, for another shape, or for one not finite."""
    x = as_array(values).astype(np.float64)
    if x.size == 0 or x.ndim != dimensions:
        raise InputError(f"{name}: have shape {x.shape}; give the values of at least one image, images first")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: hold a value that is not finite; leave out images without a value")
    return x
