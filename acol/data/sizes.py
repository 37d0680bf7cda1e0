"""The sizes of images in training and in all later use."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from acol.errors import InputError

_Side = Annotated[int, Ge(32), Le(2048)]


@dataclass(frozen=True)
class ImageSizes:
    """Pixels per side: training images are resized to `train_size`, then cropped at random to `size`; others to `size`.

    The protocol of wsolevaluation (arXiv 2001.07437) has 256 and 224. Raises `InputError` if the crop does not fit.
    """

    size: _Side = 224
    train_size: _Side = 248

    def __post_init__(self) -> None:
        if self.train_size < self.size:
            raise InputError(f"train_size {self.train_size} is smaller than size {self.size}; raise it")
