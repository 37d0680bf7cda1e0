"""The arguments of metrics: convert anything array-like, torch tensors included, and check its values."""

from typing import Any

import numpy as np

from acol.errors import InputError

Array = np.ndarray[Any, Any]


def as_array(values: Any) -> Array:
    """Return anything array-like, such as a torch tensor on any device, as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # NumPy has no such type
            values = values.float()
    return np.asarray(values)


def check_range(maps: Array, name: str) -> None:
    """Raise `InputError` for values that are not finite or not in [0, 1]; its message calls the maps `name`."""
    if maps.size and not (maps.min() >= 0 and maps.max() <= 1):  # fails for NaN too
        raise InputError(f"{name}: values from {maps.min():.4g} to {maps.max():.4g}; min-max normalise maps to [0, 1]")


def finite_values(values: Any, name: str, dimensions: int) -> Array:
    """Return values as float64, the images along the first of so many dimensions.

    Raises `InputError` if there are none, for another number of dimensions, and for a value that is not finite.
    """
    array = as_array(values).astype(np.float64)
    if array.size == 0 or array.ndim != dimensions:
        raise InputError(f"{name}: have shape {array.shape}; give the values of at least one image, images first")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: hold a value that is not finite; leave out images without a value")
    return array
