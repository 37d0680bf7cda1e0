"""Compare thresholds that need no boxes with the fixed one, and with the best of the test images.

    python -m benchmarks.thresholds [--results results/CELL | untrained/BACKBONE ...]

Run in a project's folder whose cells are evaluated. For each folder of results the maps of the true class give the box
of their largest region above

    fixed       0.4 of the map's maximum, the default of evaluate.tau
    validation  what `evaluate` chose on the validation images, where these have boxes
    otsu        the map's own threshold by Otsu (1979): it divides the values into two groups of least variance
    triangle    the map's own threshold by Zack et al. (1977): the corner of the histogram
    mean        the mean of the map's values, as for the masks of SPG and later methods
    best        the one threshold that is best on these very images: what no rule can know

and GT-known Loc is the share of boxes with an IoU of at least 0.5. In brackets: the rule minus the fixed threshold.

A second table lets the boxes of a few random images choose the threshold of the others: the mean gain over the fixed
one, and that of the worst of 20 draws, when the first of equally good thresholds is taken, and when it is the nearest
to the fixed one, as `evaluate` does.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from acol.data.manifest import Image, read_manifest
from acol.localization.fusion import CAM
from acol.localization.map_scores import region_curves
from acol.localization.maps import FusedMaps
from acol.localization.regions import TAU, box_of, half_open_boxes
from acol.metrics.boxes import half_open_iou
from acol.metrics.comparison import compare
from acol.metrics.curves import choose_tau, iou_at
from acol.metrics.scored import MeanScore
from acol.setting_types import RIGHT_IOU
from pipeline.places import MANIFEST, read_json
from pipeline.results import read_results

Array = np.ndarray[Any, Any]
BOXES, DRAWS = (2, 5, 10, 40), 20  # images whose boxes choose, and how often they are drawn


def by_histogram(score_map: Array, method: int) -> float:
    """Return OpenCV's own threshold of a map in [0, 1], as a share of its maximum."""
    levels = np.rint(255 * score_map / max(float(score_map.max()), 1e-9)).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + method)[0]) / 255


RULES = {
    "otsu": lambda score_map: by_histogram(score_map, cv2.THRESH_OTSU),
    "triangle": lambda score_map: by_histogram(score_map, cv2.THRESH_TRIANGLE),
    "mean": lambda score_map: float(score_map.mean() / max(float(score_map.max()), 1e-9)),
}


def found(maps: list[Array], images: list[Image], taus: list[float]) -> Array:
    """Return whether each image's box is right at its threshold."""
    boxes = [box_of(score_map, tau) for score_map, tau in zip(maps, taus, strict=True)]
    iou = [
        half_open_iou(np.array(box, float), half_open_boxes(image)).max()
        for box, image in zip(boxes, images, strict=True)
    ]
    return np.array(iou) >= RIGHT_IOU


def maps_of(folder: Path) -> tuple[list[Array], list[Image]]:
    """Return the true class's maps of a folder of results, and their images, for all that have boxes."""
    tests = {image.path: image for image in read_manifest(MANIFEST, Path()).of("test")}
    results = read_results(folder)
    paths = [path for path in results.maps if tests[path].boxes]
    of_cell = torch.from_numpy(np.stack([results.maps[path] for path in paths]).astype(np.float32))
    return [each for part in FusedMaps({CAM: of_cell}) for each in part], [tests[path] for path in paths]


def row(folder: Path) -> list[str]:
    """Return the first table's row for a folder of results."""
    details = read_json(folder / "details.json")
    maps, images = maps_of(folder)
    fixed = found(maps, images, [TAU] * len(maps))
    cells = [folder.name, f"{100 * fixed.mean():.1f}"]
    chosen = details["tau"].get("validation")
    cells.append("-" if chosen is None else difference(found(maps, images, [chosen] * len(maps)), fixed))
    cells += [difference(found(maps, images, [rule(one) for one in maps]), fixed) for rule in RULES.values()]
    return [*cells, difference(found(maps, images, [details["tau"]["oracle"]] * len(maps)), fixed)]


def few(folder: Path) -> list[str]:
    """Return the second table's row for a folder of results."""
    maps, images = maps_of(folder)
    curves, cells = region_curves([np.stack(maps)], images), [folder.name]
    for n in BOXES:
        rng, gains = np.random.default_rng(0), []
        for _ in range(DRAWS):
            some, rest = np.split(rng.permutation(len(curves)), [n])
            taus = [choose_tau(curves[some], near=near) or 0.0 for near in (0, TAU)]
            gains.append([(iou_at(curves[rest], tau) >= RIGHT_IOU).mean() for tau in [*taus, TAU]])
        of_draws = 100 * np.array(gains)
        over = of_draws[:, :2] - of_draws[:, 2:]
        cells += [
            f"{mean:+.1f} ({least:+.1f})" for mean, least in zip(over.mean(axis=0), over.min(axis=0), strict=True)
        ]
    return cells


def difference(rule: Array, fixed: Array) -> str:
    """Return a rule's score, and its difference from the fixed threshold with its interval, in percent."""
    result = compare([MeanScore(rule)], [MeanScore(fixed)])
    low, high = 100 * result.low, 100 * result.high
    return f"{100 * rule.mean():.1f} ({100 * result.difference:+.1f} [{low:.1f}, {high:.1f}])"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, nargs="+", default=sorted(Path("results").glob("*-p")))
    print("| Maps | fixed | validation | " + " | ".join(RULES) + " | best |")
    print("| :-- | --: | --: | " + "--: | " * len(RULES) + "--: |")
    folders = parser.parse_args().results
    for folder in folders:
        print("| " + " | ".join(row(folder)) + " |", flush=True)
    print("\n| Maps | " + " | ".join(f"{n}, first | {n}, nearest" for n in BOXES) + " |")
    print("| :-- | " + "--: | " * 2 * len(BOXES))
    for folder in folders:
        print("| " + " | ".join(few(folder)) + " |", flush=True)


if __name__ == "__main__":
    main()
