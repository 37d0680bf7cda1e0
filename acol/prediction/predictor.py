"""A trained model for its users: images in, class, probability and box out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from acol.data.images import resize
from acol.errors import InputError, did_you_mean
from acol.localization.fusion import CAM, combine, depths_for, fused
from acol.localization.inference import run_views
from acol.localization.maps import at_size
from acol.localization.regions import MAP_SIZE, TAU, Region, box_in_image, regions_in_image
from acol.metrics.calibration import Calibration
from acol.network.checkpoint import ModelCard, load_model
from acol.network.feature_norms import modules_of_depths
from acol.network.inference_form import for_inference
from acol.network.model import ACoL

LONGEST_SIDE = 1024  # pixels, of a map as PNG
BATCH = 16  # images of one forward pass; more at once make none of them cheaper


@dataclass(frozen=True)
class PreparedImage:
    """An image as the network takes it: `views` (s, s, 3) uint8, one for each scale.

    `size` (width, height) is the image's own; `known_label` is its class, if that is known.
    """

    views: tuple[np.ndarray, ...]
    size: tuple[int, int]
    known_label: str | None = None


@dataclass(frozen=True)
class Prediction:
    """The model's prediction for one image.

    `label` is the likeliest class, `probability` its probability in [0, 1] by the first classifier, `probabilities`
    every class's. `raw_map` (h, w) in [0, 1] is the map as the network gives it; `size` (width, height) is the image's,
    and `tau` the share of the map's maximum above which its regions are. All else is computed from these when needed.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    raw_map: np.ndarray
    size: tuple[int, int]
    tau: float = TAU

    @property
    def map(self) -> np.ndarray:
        """The map (H, W) in [0, 1] at the image's own size; it is not kept, since it may be large."""
        return at_size(self.raw_map, self.size)

    @cached_property
    def _scored_map(self) -> np.ndarray:
        # From the map at the size that is scored: at another size the largest region could be another one.
        return at_size(self.raw_map, (MAP_SIZE, MAP_SIZE))

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """The box of the largest region, half-open xyxy in the image's own pixels: the one that is scored."""
        return box_in_image(self._scored_map, self.tau, self.size)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the map, the largest, which the box is of, first."""
        return regions_in_image(self._scored_map, self.tau, self.size)

    @property
    def above_tau(self) -> float:
        """The share of the image that the regions fill."""
        return float((self._scored_map > self.tau * self._scored_map.max()).mean())

    def region_png(self) -> bytes:
        """Return where the regions are as an 8-bit PNG at the image's size: 255, else 0."""
        whole = self.map
        return _png((whole > self.tau * whole.max()).astype(np.uint8) * 255)

    def map_png(self) -> bytes:
        """Return the map as an 8-bit grayscale PNG at the image's size, its longest side at most `LONGEST_SIDE`."""
        factor = min(1.0, LONGEST_SIDE / max(self.size))
        width, height = (max(1, round(factor * side)) for side in self.size)
        return _png(np.rint(at_size(self.raw_map, (width, height)) * 255).astype(np.uint8))


def _png(gray: np.ndarray) -> bytes:
    return cv2.imencode(".png", gray)[1].tobytes()  # four times as fast as Pillow's


@dataclass(eq=False, repr=False)
class Predictor:
    """A trained model that predicts; usually `load` makes it.

    Raises `InputError` for a map that the backbone does not give.

    >>> [prediction] = Predictor.load("best.pt").predict([np.zeros((60, 80, 3), np.uint8)])
    >>> prediction.map.shape, len(prediction.box)
    ((60, 80), 4)
    """

    model: ACoL  # can be exported; what predicts is `network`
    card: ModelCard  # its classes, preprocessing and precision
    tau: float  # regions are above this share of their map's maximum, in (0, 1); the largest has the box that is scored
    scales: Sequence[float]  # maps are averaged over these multiples of the model's image size; the first is 1
    device: torch.device  # where the model is
    calibration: Calibration = field(default_factory=Calibration)  # makes the probabilities (default: the softmax)
    map_name: str = CAM  # one of `acol.localization.fusion.MAPS`

    def __post_init__(self) -> None:
        self.scales = tuple(self.scales)
        self.depths = depths_for(self.map_name, modules_of_depths(self.model.backbone))
        self.network = for_inference(self.model)

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
        """Load a checkpoint of `acol.network.checkpoint.save_model`; the other arguments are those of the class.

        Raises `InputError` for a file that cannot be used, and for a map that the backbone does not give.
        """
        model, card = load_model(checkpoint, device)
        return cls(model, card, tau, scales, torch.device(device), calibration or Calibration(), map_name)

    @property
    def about(self) -> str:
        """What made a prediction, in words, for files of labels."""
        return (
            f"predicted by acol; map {self.map_name}; box threshold {self.tau:.4g}; "
            f"probabilities up to {self.calibration.most:.3g}, by {self.calibration.images} validation images"
        )

    def record_of(self, prediction: Prediction) -> dict[str, Any]:
        """Return what users get of a prediction, without its map, by the names that they read."""
        return {
            "label": prediction.label,
            "probability": prediction.probability,
            "probabilities": prediction.probabilities,
            "calibrated": self.calibration.calibrated,
            "calibrated_on": self.calibration.images,
            "box": prediction.box,
            "threshold": self.tau,
            "map_name": self.map_name,
        }

    def predict(
        self, images: Iterable[Image.Image | np.ndarray], labels: Iterable[str | None] | None = None
    ) -> list[Prediction]:
        """Predict each image.

        Args:
            images: RGB Pillow images, or uint8 arrays (H, W, 3), of any sizes; they are taken one at a time.
            labels: the class of each image, whose object is then looked for; None for an image is the likeliest class
                (default: that for all).

        Raises `InputError` for a label that is none of the model's classes.
        """
        pairs = zip(images, repeat(None) if labels is None else labels, strict=labels is not None)
        prepared = (self.prepare(image, label) for image, label in pairs)
        predictions: list[Prediction] = []
        while batch := [*islice(prepared, BATCH)]:
            predictions += self.predict_batch(batch)
        return predictions

    def prepare(self, image: Image.Image | np.ndarray, known_label: str | None = None) -> PreparedImage:
        """Return an image as `predict_batch` takes it. For arguments and errors see `predict`."""
        classes = self.card.classes
        if known_label is not None and known_label not in classes:
            raise InputError(f"label {known_label!r}: no class of the model; {did_you_mean(known_label, classes)}")
        rgb = (image if isinstance(image, Image.Image) else Image.fromarray(image)).convert("RGB")
        sizes = (round(scale * self.card.preprocessing.size) for scale in self.scales)
        return PreparedImage(tuple(resize(rgb, size) for size in sizes), rgb.size, known_label)

    def predict_batch(self, batch: Sequence[PreparedImage]) -> list[Prediction]:
        """Predict images in one forward pass. The other images of the batch change a value by rounding alone."""
        # The views of each scale, and the index of each image's known class, or -1.
        preprocessing, classes = self.card.preprocessing, self.card.classes
        stacked = (torch.from_numpy(np.stack(views)) for views in zip(*(image.views for image in batch), strict=True))
        known = torch.tensor([-1 if (label := image.known_label) is None else classes.index(label) for image in batch])
        # Two sets of CAMs of one pass: of the known classes, and of the predicted ones.
        targets = [known.clamp(min=0).to(self.device), None] if (known >= 0).any() else [None]
        logits, cams, norms = run_views(
            self.network,
            (preprocessing.view(pixels.permute(0, 3, 1, 2)) for pixels in stacked),
            targets,
            self.depths,
            self.device,
            self.card.precision,
        )
        # Each image's map, and its calibrated probabilities.
        chosen = torch.where((known >= 0).to(self.device)[:, None, None], cams[0], cams[-1])
        sources = {CAM: fused(chosen, self.model.recipe)} | norms
        maps = combine({name: source.cpu() for name, source in sources.items()}, self.map_name).numpy()
        softmax = (logits[0].cpu().double() / self.calibration.temperature).softmax(-1)
        predictions = []
        for image, raw_map, values in zip(batch, maps, self.calibration.bounded(softmax).tolist(), strict=True):
            probabilities = dict(zip(classes, values, strict=True))
            label = image.known_label or max(probabilities, key=probabilities.__getitem__)
            predictions.append(Prediction(label, probabilities[label], probabilities, raw_map, image.size, self.tau))
        return predictions
