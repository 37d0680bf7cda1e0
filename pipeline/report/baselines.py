"""What a cell must beat to have learnt anything: predictions that need no training on these images.

For localization these are the centred box; the CAM of the untrained backbone's own ImageNet classifier, its own map and
the maps of the cells; and the norm of the backbone's features, which knows no class. For accuracy it is the class that
most training images have.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from acol.data.manifest import Image, Manifest
from acol.errors import InputError
from acol.localization.regions import MAP_SIZE, true_boxes
from acol.metrics.boxes import IOU
from acol.metrics.max_box_acc import centred_box_curves
from acol.metrics.scored import MaxScore, MeanScore
from pipeline import places
from pipeline.places import read_json
from pipeline.report.differences import Baseline, scores_of
from pipeline.report.metrics import METRICS
from pipeline.results import read_images, read_iou_curves

CENTRED_BOX = "centred_box"
CAM, NORM = "cam", "norm"  # names of acol.localization.fusion, which would load torch
OF_MAP = "max_box_acc_v2:"  # begins a column of images.csv; the rest names the map that its values score


def baselines_of(manifest: Manifest, backbones: Mapping[str, Collection[str]]) -> list[Baseline]:
    """Return the baselines that exist for the test images and the backbones.

    `backbones` has for each backbone the names of its cells' maps.

    Raises `InputError` if results of an untrained backbone are missing, broken, or of other images.
    """
    tests = manifest.of("test")
    untrained = [baseline for name, maps in backbones.items() for baseline in _untrained(name, tests, maps)]
    return [*_centred_box(tests), *untrained, _majority(manifest, tests)]


def _centred_box(tests: Sequence[Image]) -> list[Baseline]:
    boxed = [image for image in tests if image.boxes]
    if not boxed:
        return []
    curves = centred_box_curves([true_boxes(image) for image in boxed], (MAP_SIZE, MAP_SIZE))
    at = {f"max_box_acc_v2_{round(100 * iou)}": MaxScore(curves, (iou,)).value for iou in IOU}
    return [Baseline(CENTRED_BOX, "centred box", {"max_box_acc_v2": MaxScore(curves)}, at)]


def _untrained(backbone: str, tests: Sequence[Image], maps: Collection[str]) -> list[Baseline]:
    folder = places.untrained(backbone)
    metrics = read_json(folder / "metrics.json")
    if not metrics:
        return []
    images = read_images(folder / "images.csv")
    if list(images["path"]) != [image.path for image in tests]:
        raise InputError(f"{folder / 'images.csv'}: is of another test split; run the stage untrained again")
    own, baselines = read_json(folder / "details.json").get("map", CAM), []
    for name in [column.removeprefix(OF_MAP) for column in images if column.startswith(OF_MAP)] or [own]:
        title = f"untrained ImageNet CAM of {backbone}" + ("" if name == CAM else f" ({name})")
        if name == own:
            # The map by which the untrained backbone was evaluated has all metrics.
            scores = scores_of(images, read_iou_curves(folder / "maps.npz", images))
            compared = {key: scores[key] for key in ("max_box_acc_v2",) if key in scores}
            further = {key: value for key, value in metrics.items() if key in METRICS and key != "loss"}
            baselines.append(Baseline("imagenet_cam", title, compared, further, backbone))
        elif name in {CAM, NORM, *maps}:
            values = images[OF_MAP + name].dropna().to_numpy()
            key = "norm" if name == NORM else "imagenet_cam"
            title = f"norm of untrained {backbone}'s features" if name == NORM else title
            baselines.append(Baseline(key, title, {"max_box_acc_v2": MeanScore(values, shares=True)}, {}, backbone))
    return baselines


def _majority(manifest: Manifest, tests: Sequence[Image]) -> Baseline:
    """Return the scores of naming the class of most training images (the first of several) for every test image."""
    counts = Counter(image.label for image in manifest.of("train"))
    largest = max(manifest.classes, key=lambda name: counts[name])
    right = np.array([image.label == largest for image in tests])
    classes = len({image.label for image in tests})
    balanced = {"balanced_accuracy": 1 / classes if right.any() else 0.0}
    return Baseline("majority_class", "majority class", {"accuracy_top1": MeanScore(right)}, balanced)
