"""One pass over a split: a trained model's logits and maps of every image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from acol.data.transforms import Preprocessing
from acol.localization.evidence import CAM, fused
from acol.localization.maps import mean_cams, mean_norms
from acol.network.distributed import ALONE, World
from acol.network.feature_norms import features_and_norms, modules_of_depths
from acol.network.model import ACoL, ACoLOutput
from acol.network.precision import autocast
from acol.recipe import Recipe

if TYPE_CHECKING:  # a packaged model, which predicts by `run_views`, is installed without what loads a split
    from acol.data.loading import LabelledImages

_BY_CLASSIFIER = ("logits", "cams", "predicted_cams")  # their second axis is the images'


@dataclass(frozen=True)
class SplitOutputs:
    """N images' outputs of K classifiers over C classes, in the images' order, as float32 on the CPU.

    `logits` (K, N, C): erasing followed the true labels, as in training; the first classifier's do not depend on them.
    `cams` and `predicted_cams` (K, N, h, w) in [0, 1]: each classifier's map of the true class (GT-known), and of the
    class that the first classifier predicts, each after its predecessors' erasing by that same class.
    `norms` (N, h', w') in [0, 1], by name: of the features before any erasing, normalised.
    """

    logits: np.ndarray
    cams: np.ndarray
    predicted_cams: np.ndarray
    norms: Mapping[str, np.ndarray] = field(default_factory=dict)

    def sources(self, recipe: Recipe, predicted: bool = False) -> dict[str, Tensor]:
        """Return the sources of evidence (`acol.localization.evidence`) of the true or the predicted class."""
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
    """Run the model over one batch of images at several sizes, its own size first; the backbone runs once for each.

    Returns the logits (K, N, C) of the first view and target; for each of the `targets`, labels (N,) or None for the
    class that the first view predicts, the `mean_cams` of all views; and the `mean_norms` of the `depths`.
    """
    runs: list[list[ACoLOutput]] = [[] for _ in targets]
    norms: list[dict[str, Tensor]] = []
    for view in views:
        with autocast(device, precision):
            features, strength = features_and_norms(model.backbone, view.to(device), depths)
            for run, target in zip(runs, targets, strict=True):
                run.append(model.classify(features, run[0].target if run else target))
        norms.append({name: norm.squeeze(1) for name, norm in strength.items()})
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
    """Run the model over a split.

    `views` are the same images at one or more sizes, the model's own size first. The first view gives the logits, all
    views give the maps (`run_views`). Of several processes, each runs its share of the batches; all return all outputs.
    """
    from tqdm import tqdm  # a packaged model has none

    model.eval()
    depths = modules_of_depths(model.backbone)
    parts: list[dict[str, np.ndarray]] = []
    count = len(views[0])
    starts = range(0, count, batch_size)
    for start in tqdm(starts[world.share(len(starts))], desc="evaluate", disable=None if world.first else True):
        indices = np.arange(start, min(start + batch_size, count))
        targets = torch.from_numpy(views[0].labels[indices]).to(device), None
        sizes = (preprocessing.view(view.batch(indices)[0]) for view in views)
        logits, by_target, norms = run_views(model, sizes, targets, depths, device, precision)
        found = dict(zip(_BY_CLASSIFIER, (logits, *by_target), strict=True)) | norms
        parts.append({name: each.cpu().numpy() for name, each in found.items()})
    gathered = world.gather(parts)
    whole = {
        name: np.concatenate([part[name] for part in gathered], axis=int(name in _BY_CLASSIFIER))
        for name in gathered[0]
    }
    scores, known, predicted = (whole.pop(name) for name in _BY_CLASSIFIER)
    return SplitOutputs(scores, known, predicted, whole)
