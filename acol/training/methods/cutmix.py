"""CutMix (Yun et al., ICCV 2019, arXiv 1905.04899): a rectangle of each image comes from another, with its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acol.setting_types import Probability, Rate
from acol.training.methods.plain import Batch, Plain


@dataclass(frozen=True)
class CutMix(Plain):
    """A batch is mixed with `probability`; the share of an image that stays is drawn from Beta(`alpha`, `alpha`).

    The defaults are those of the paper for ImageNet (section 3.1 and appendix B).
    """

    alpha: Rate = 1.0
    probability: Probability = 1.0

    redraws = True

    def partners(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a partner for each image, by a permutation of the batch."""
        return rng.permutation(count)

    def change(self, batch: Batch, count: int, share: slice, rng: np.random.Generator) -> Batch:
        """Replace a rectangle of each image by that of its partner, whose label gets the same share in the loss."""
        size = batch.inputs.shape[-1]
        x0, y0, x1, y1 = draw_cut(size, self, rng)
        (images, partners), (labels, partner_labels) = batch.inputs.chunk(2), batch.labels.chunk(2)
        mixed = images.clone()
        mixed[:, :, y0:y1, x0:x1] = partners[:, :, y0:y1, x0:x1]
        return Batch(mixed, labels, partner_labels, kept_share((x0, y0, x1, y1), size))


def draw_cut(size: int, settings: CutMix, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a rectangle for all images of a batch, half-open, xyxy in pixels.

    Its sides are sqrt(1 - lambda) of the image's, and its centre is random; it is cut off at the edges (equation 2).
    """
    if rng.random() >= settings.probability:
        return 0, 0, 0, 0
    half = int(size * np.sqrt(1 - rng.beta(settings.alpha, settings.alpha))) // 2
    x, y = rng.integers(size, size=2)
    x0, y0, x1, y1 = np.clip([x - half, y - half, x + half, y + half], 0, size).tolist()
    return x0, y0, x1, y1


def kept_share(cut: tuple[int, int, int, int], size: int) -> float:
    """Return the share of an image of `size` pixels per side that is not replaced: lambda."""
    x0, y0, x1, y1 = cut
    return 1 - (x1 - x0) * (y1 - y0) / size**2
