"""What every metric takes: anything array-like, a torch tensor included."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def as_array(values: Any) -> Array:
    """Return a numpy array of anything array-like, a torch tensor on any device included."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # unknown to numpy
            values = values.float()
    return np.asarray(values)
