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
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from acol.data.manifest import Image, read_manifest
from acol.localization.evidence import CAM
from acol.localization.maps import FusedMaps
from acol.localization.regions import TAU, box_of, half_open_boxes
from acol.metrics.boxes import RIGHT, half_open_iou
from acol.metrics.comparison import compare
from acol.metrics.scored import MeanScore
from pipeline.places import MANIFEST, read_json
from pipeline.results import read_results

Array = np.ndarray[Any, Any]


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
    return np.array(iou) >= RIGHT


def row(folder: Path) -> list[str]:
    """Return a table's row for a folder of results."""
    details = read_json(folder / "details.json")
    tests = {image.path: image for image in read_manifest(MANIFEST, Path()).of("test")}
    results = read_results(folder)
    paths = [path for path in results.maps if tests[path].boxes]
    of_cell = torch.from_numpy(np.stack([results.maps[path] for path in paths]).astype(np.float32))
    maps, images = [each for part in FusedMaps({CAM: of_cell}) for each in part], [tests[path] for path in paths]
    fixed = found(maps, images, [TAU] * len(maps))
    cells = [folder.name, f"{100 * fixed.mean():.1f}"]
    chosen = details["tau"].get("validation")
    cells.append("-" if chosen is None else difference(found(maps, images, [chosen] * len(maps)), fixed))
    cells += [difference(found(maps, images, [rule(one) for one in maps]), fixed) for rule in RULES.values()]
    return [*cells, difference(found(maps, images, [details["tau"]["oracle"]] * len(maps)), fixed)]


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
    for folder in parser.parse_args().results:
        print("| " + " | ".join(row(folder)) + " |", flush=True)


if __name__ == "__main__":
    main()
