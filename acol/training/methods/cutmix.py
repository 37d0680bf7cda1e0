"""CutMix (Yun et al., ICCV 2019, arXiv 1905.04899): a rectangle of each image, and its label, come from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acol.bounds import Probability, Rate
from acol.training.methods.plain import Batch, Plain

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CutMix(Plain):
    """A batch is mixed with `probability`; the kept share of each image is drawn from Beta(`alpha`, `alpha`).

    The defaults are the paper's for ImageNet (section 3.1 and appendix B).
    """

    alpha: Rate = 1.0
    probability: Probability = 1.0

    redraws = True

    def partners(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a partner for each image: a permutation."""
        return rng.permutation(count)

    def change(self, batch: Batch, count: int, mine: slice, rng: np.random.Generator) -> Batch:
        """Paste a rectangle of each image's partner into it; the loss has a share of the partner's label."""
        size = batch.inputs.shape[-1]
        cut = draw_cut(size, self, rng)
        (images, partners), (labels, others) = batch.inputs.chunk(2), batch.labels.chunk(2)
        return Batch(paste(images, partners, cut), labels, others, cut.kept(size))


@dataclass(frozen=True)
class Cut:
    """A rectangle, half-open xyxy pixels, which is the same in all images of a batch."""

    x0: int
    y0: int
    x1: int
    y1: int

    def kept(self, size: int) -> float:
        """Return the share of an image of `size` pixels a side that is its own: lambda."""
        return 1 - (self.x1 - self.x0) * (self.y1 - self.y0) / size**2


def draw_cut(size: int, settings: CutMix, rng: np.random.Generator) -> Cut:
    """Draw the rectangle: of side sqrt(1 - lambda), around a random centre, without what lies outside (equation 2)."""
    if rng.random() >= settings.probability:
        return Cut(0, 0, 0, 0)
    half = int(size * np.sqrt(1 - rng.beta(settings.alpha, settings.alpha))) // 2
    x, y = rng.integers(size, size=2)
    x0, y0, x1, y1 = np.clip([x - half, y - half, x + half, y + half], 0, size).tolist()
    return Cut(x0, y0, x1, y1)


def paste(images: Tensor, partners: Tensor, cut: Cut) -> Tensor:
    """Return images (N, 3, S, S) whose rectangle is that of `partners` of the same shape."""
    mixed = images.clone()
    mixed[:, :, cut.y0 : cut.y1, cut.x0 : cut.x1] = partners[:, :, cut.y0 : cut.y1, cut.x0 : cut.x1]
    return mixed
