"""Where a trunk's weights are from, and what images they were trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

Triple = tuple[float, float, float]


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


def triple(values: Sequence[float]) -> Triple:
    """Return three numbers, a channel each; raises `ValueError` for more or fewer."""
    red, green, blue = values
    return float(red), float(green), float(blue)
