"""A trained model for its users: images in, class, probability and box out."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from acol.data.images import resize
from acol.errors import InputError, did_you_mean
from acol.localization.evidence import CAM, combine, depths_for, fused, upsample
from acol.localization.inference import run_views
from acol.localization.maps import fused_maps
from acol.localization.regions import TAU, Region, box_in_image, regions_in_image
from acol.metrics.calibration import Calibration
from acol.network.checkpoint import ModelCard, load_model
from acol.network.feature_norms import modules_of_depths
from acol.network.inference_form import for_inference
from acol.network.model import ACoL

LONGEST_SIDE = 1024  # pixels, of a map as PNG


@dataclass(frozen=True)
class Prediction:
    """The model's prediction for one image.

    `label` is the likeliest class, `probability` its probability in [0, 1] by the first classifier, `probabilities`
    every class's; `box` half-open xyxy and `map` (H, W) in [0, 1] are in the image's own pixels. The `regions` of the
    map are those above the model's threshold, the largest, which the box is of, first.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    box: tuple[float, float, float, float]
    map: np.ndarray
    regions: tuple[Region, ...] = ()

    def region_png(self, tau: float) -> bytes:
        """Return where the map is above `tau` times its maximum as an 8-bit PNG at the image's size: 255, else 0."""
        return _png(Image.fromarray(np.where(self.map > tau * self.map.max(), 255, 0).astype(np.uint8)))

    def map_png(self) -> bytes:
        """Return the map as an 8-bit grayscale PNG at the image's size, its longest side at most `LONGEST_SIDE`."""
        gray = Image.fromarray(np.rint(self.map * 255).astype(np.uint8))
        gray.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return _png(gray)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)  # 6, the default, takes three times as long for a tenth less
    return file.getvalue()


class Predictor:
    """A checkpoint ready to predict.

    A map's region is above `tau` in (0, 1) times its maximum. Its box, which is also the one that is scored, comes from
    `acol.localization.regions.box_in_image`. Maps are averaged over `scales`, multiples of the model's image size; the
    first is 1. `calibration` makes the probabilities (None: the softmax). `map_name` is one of
    `acol.localization.evidence.MAPS`; raises `InputError` if the backbone does not give it. Usually made by `load`.

    >>> [prediction] = Predictor.load("best.pt").predict([np.zeros((60, 80, 3), np.uint8)])
    >>> prediction.map.shape, len(prediction.box)
    ((60, 80), 4)
    """

    def __init__(
        self,
        model: ACoL,
        card: ModelCard,
        tau: float,
        scales: Sequence[float],
        device: torch.device,
        calibration: Calibration | None = None,
        map_name: str = CAM,
    ) -> None:
        self.model, self.card, self.tau, self.scales, self.device = model, card, tau, tuple(scales), device
        self.calibration, self.map_name = calibration or Calibration(), map_name
        self.depths = depths_for(map_name, modules_of_depths(model.backbone))
        self.network = for_inference(model)  # what answers; `model` is what can be exported

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        tau: float = TAU,
        scales: Sequence[float] = (1.0,),
        calibration: Calibration | None = None,
        map_name: str = CAM,
        device: str = "cpu",
    ) -> "Predictor":
        """Load a checkpoint of `acol.network.checkpoint.save_model`; raises `InputError` if it cannot be used."""
        return cls(*load_model(checkpoint, device), tau, scales, torch.device(device), calibration, map_name)

    @property
    def about(self) -> str:
        """What made a prediction, in words, for files of labels."""
        its = self.calibration
        return (
            f"predicted by acol; map {self.map_name}; box threshold {self.tau:.4g}; "
            f"probabilities up to {its.most:.3g}, by {its.images} validation images"
        )

    def predict(
        self, images: Sequence[Image.Image | np.ndarray], labels: Sequence[str | None] | None = None
    ) -> list[Prediction]:
        """Predict each image: RGB Pillow images, or uint8 arrays (H, W, 3), of any sizes.

        An image of which `labels` give the class is searched for that class; of another (None) for the likeliest.
        Raises `InputError` for a label that is none of the model's classes.
        """
        for label in labels or ():
            if label is not None and label not in self.card.classes:
                raise InputError(f"label {label!r}: no class of the model; {did_you_mean(label, self.card.classes)}")
        upright = [image if isinstance(image, Image.Image) else Image.fromarray(image) for image in images]
        known = labels or [None] * len(upright)
        return [self._predict_one(image.convert("RGB"), label) for image, label in zip(upright, known, strict=True)]

    def _predict_one(self, image: Image.Image, known: str | None) -> Prediction:
        its = self.card.preprocessing
        resized = (torch.from_numpy(resize(image, round(scale * its.size))) for scale in self.scales)
        views = (its.view(pixels.permute(2, 0, 1).unsqueeze(0)) for pixels in resized)
        target = None if known is None else torch.tensor([self.card.classes.index(known)], device=self.device)
        logits, (cams,), norms = run_views(self.network, views, [target], self.depths, self.device, self.card.precision)
        found = {CAM: fused(cams, self.model.recipe)} | norms
        sources = {name: maps.cpu() for name, maps in found.items()}
        score_map = upsample(combine(sources, self.map_name), (image.height, image.width))[0].clamp(0, 1).numpy()
        softmax = (logits[0, 0].double() / self.calibration.temperature).softmax(0)
        values = self.calibration.bounded(softmax).tolist()
        probabilities = dict(zip(self.card.classes, values, strict=True))
        label = known or max(probabilities, key=probabilities.__getitem__)
        # From the map at the size that is scored: at another size the largest region could be another one.
        scored = fused_maps(sources, self.map_name)[0], self.tau, image.size
        box, regions = box_in_image(*scored), regions_in_image(*scored)
        return Prediction(label, probabilities[label], probabilities, box, score_map, regions)
