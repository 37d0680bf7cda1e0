"""One pass of a trained model over a split: the logits and maps of all images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from acol.data.transforms import Preprocessing
from acol.localization.fusion import CAM, fused
from acol.localization.maps import mean_cams, mean_norms
from acol.network.distributed import ALONE, World
from acol.network.feature_norms import features_and_norms, modules_of_depths
from acol.network.model import ACoL, ACoLOutput
from acol.network.precision import autocast
from acol.recipe import Recipe

if TYPE_CHECKING:  # a packaged model, which uses `run_views`, is installed without the code that loads a split
    from acol.data.loading import LabelledImages

_BY_CLASSIFIER = ("logits", "cams", "predicted_cams")  # images are their second axis


@dataclass(frozen=True)
class SplitOutputs:
    """The outputs of K classifiers for N images and C classes, in the order of the images, as float32."""

    # (K, N, C), with erasing by the maps of the true labels, as in training; those of the first classifier do not
    # depend on erasing
    logits: np.ndarray
    # (K, N, h, w) in [0, 1], the normalised map of each classifier for the true class (GT-known), and for the class
    # that the first classifier predicts. Erasing uses the maps of the same class
    cams: np.ndarray
    predicted_cams: np.ndarray
    # (N, h', w') in [0, 1], by name: the normalised norms of features before any erasing
    norms: Mapping[str, np.ndarray] = field(default_factory=dict)

    def sources(self, recipe: Recipe, predicted: bool = False) -> dict[str, Tensor]:
        """Return the sources of evidence (`acol.localization.fusion`) of the true or the predicted class."""
        cams = torch.from_numpy(self.predicted_cams if predicted else self.cams)
        return {CAM: fused(cams, recipe)} | {name: torch.from_numpy(maps) for name, maps in self.norms.items()}


@torch.inference_mode()
def run_views(
    model: ACoL,
    views: Iterable[Tensor],
    targets: Sequence[Tensor | None],
    depths: Mapping[str, str],
    device: torch.device,
    precision: str,
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Run a model on one batch of images at one or more sizes; the backbone runs once per size.

    Args:
        views: the images (N, 3, H, W) at each size, that of the model first.
        targets: classes whose maps are wanted: labels (N,), or None for those that are predicted at the first size.
        depths: of `acol.network.feature_norms.modules_of_depths`, whose norms are wanted.
        device, precision: how the model is run.

    Returns the logits (K, N, C) for the first view and target, the `mean_cams` of each target, and the `mean_norms`.
    """
    runs: list[list[ACoLOutput]] = [[] for _ in targets]
    norms: list[dict[str, Tensor]] = []
    for view in views:
        with autocast(device, precision):
            features, view_norms = features_and_norms(model.backbone, view.to(device), depths)
            for run, target in zip(runs, targets, strict=True):
                run.append(model.classify(features, run[0].target if run else target))
        norms.append({name: norm.squeeze(1) for name, norm in view_norms.items()})
    return runs[0][0].logits, [mean_cams(run) for run in runs], mean_norms(norms)


def run_split(
    model: ACoL,
    views: "Sequence[LabelledImages]",
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
    world: World = ALONE,
) -> SplitOutputs:
    """Run a model over a split.

    Args:
        views: the same images at one or more sizes, that of the model first. The logits are those of the first; the
            maps are means over all (`run_views`).
        preprocessing, device, precision, batch_size: how the model is run.
        world: the processes among which the batches are divided; each returns the outputs of all (default: this one).
    """
    from tqdm import tqdm  # a packaged model is installed without it

    model.eval()
    depths = modules_of_depths(model.backbone)
    parts: list[dict[str, np.ndarray]] = []
    count = len(views[0])
    starts = range(0, count, batch_size)
    for start in tqdm(starts[world.share(len(starts))], desc="evaluate", disable=None if world.first else True):
        indices = np.arange(start, min(start + batch_size, count))
        # The maps of the true class for GT-known scores, and those of the predicted one.
        targets = torch.from_numpy(views[0].labels[indices]).to(device), None
        sizes = (preprocessing.view(view.batch(indices)[0]) for view in views)
        logits, by_target, norms = run_views(model, sizes, targets, depths, device, precision)
        batch = dict(zip(_BY_CLASSIFIER, (logits, *by_target), strict=True)) | norms
        parts.append({name: values.cpu().numpy() for name, values in batch.items()})
    # Join the batches of all processes.
    gathered = world.gather(parts)
    joined = {
        name: np.concatenate([part[name] for part in gathered], axis=int(name in _BY_CLASSIFIER))
        for name in gathered[0]
    }
    split_logits, cams, predicted_cams = (joined.pop(name) for name in _BY_CLASSIFIER)
    return SplitOutputs(split_logits, cams, predicted_cams, joined)
