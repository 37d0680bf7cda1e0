"""Time our localization evaluator against OpenCV, on the same maps in one run.

    python -m benchmarks.localization [--maps results/CELL/maps.npz] [--images 60] [--size 224]

There are two baselines: the literal loop over a thousand thresholds, and one over the grey levels that a map has.
Without --maps: smooth maps, as a CAM of 7 x 7 or 14 x 14 becomes when it is upsampled, and noise. All sides alternate,
the table gives medians of CPU time, which other programs disturb little, and the curves are checked to be bit-identical
on the way. The time to compile is of an empty cache: that of a fresh machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from acol.metrics import box_iou_curve, box_iou_curves
from acol.metrics.curves import Contours
from benchmarks import reference

Array = np.ndarray[Any, Any]


def normalised(maps: Array) -> Array:
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.asarray((maps - low) / np.where(high > low, high - low, 1))


def upsampled(maps: Array, size: int) -> Array:
    """Return maps (N, h, w) at (N, size, size), bilinear, normalised to [0, 1]."""
    return normalised(np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in maps]))


def cam_like(rng: np.random.Generator, images: int, side: int, size: int) -> Array:
    """Draw a few blobs over a little noise on a coarse grid, as class activation maps are."""
    y, x = np.mgrid[:side, :side] / side
    maps = 0.1 * rng.random((images, side, side))
    for _ in range(3):
        cx, cy, strength = rng.random((3, images, 1, 1))
        maps += strength * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.02, 0.15, (images, 1, 1)))
    return upsampled(maps, size)


def map_sets(path: Path | None, images: int, size: int) -> dict[str, Array]:
    """Return the named sets of maps (N, size, size): of the cell's first classifier if a file is given, and noise."""
    rng = np.random.default_rng(0)
    sets = {"noise": rng.random((images, size, size))}
    if path is None:
        return {f"smooth {side} x {side}": cam_like(rng, images, side, size) for side in (7, 14)} | sets
    with np.load(path) as file:
        cams = file["cams"][:, 0].astype(np.float64)
    chosen = cams[np.linspace(0, len(cams) - 1, min(images, len(cams))).astype(int)]
    return {f"{path.parent.name} {cams.shape[1]} x {cams.shape[2]}": upsampled(chosen, size)} | sets


def boxes_for(images: int, size: int) -> list[Array]:
    """Draw one to three true boxes an image."""
    rng = np.random.default_rng(1)
    drawn = [np.sort(rng.integers(0, size, (int(rng.integers(1, 4)), 2, 2)), axis=1) for _ in range(images)]
    return [corners.reshape(-1, 4) for corners in drawn]


def compilation() -> float:
    """Return the CPU seconds until the first curve of a process whose cache is empty, less those of a second one."""
    code = (
        "import time, numpy as np; from acol.metrics import box_iou_curve; start = time.process_time()\n"
        "box_iou_curve(np.eye(8), [[0, 0, 7, 7]]); print(time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        first, second = (
            float(
                subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True).stdout
            )
            for _ in range(2)
        )
    return first - second


def row(name: str, maps: Array, boxes: list[Array], contours: Contours, baseline_images: int) -> str:
    times: dict[str, list[float]] = {"loop": [], "levels": [], "ours": []}
    for n, score_map in enumerate(maps[:baseline_images]):  # one image of each baseline, then all images of ours
        start = time.process_time()
        curve = reference.box_iou_curve(score_map, boxes[n], 1000, contours)
        half = time.process_time()
        by_level = reference.box_iou_curve_by_level(score_map, boxes[n], 1000, contours)
        end = time.process_time()
        times["loop"].append(half - start)
        times["levels"].append(end - half)
        box_iou_curves(maps, boxes, 1000, contours, threads=1)
        times["ours"].append((time.process_time() - end) / len(maps))
        ours = box_iou_curves(maps[n : n + 1], boxes[n : n + 1], 1000, contours)[0]
        if not (np.array_equal(ours, curve) and np.array_equal(ours, by_level)):
            raise SystemExit(f"{name}: our curve differs from OpenCV's on map {n}")
    loop, levels, ours_ms = (1000 * statistics.median(times[key]) for key in ("loop", "levels", "ours"))
    shown = f"| {name} | {contours} | {loop:.1f} | {levels:.1f} | {ours_ms:.2f}"
    return f"{shown} | {loop / ours_ms:.0f}x | {levels / ours_ms:.1f}x |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the localization evaluator against OpenCV.")
    parser.add_argument("--maps", type=Path, help="a cell's results/CELL/maps.npz; default: drawn smooth maps")
    parser.add_argument("--images", type=int, default=60, help="maps for ours")
    parser.add_argument("--baseline-images", type=int, default=6, help="maps for OpenCV, which takes 0.01-15 s each")
    parser.add_argument("--size", type=int, default=224, help="side of the maps in pixels")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"compiled in {compilation():.1f} s of CPU time, once on a machine")
    box_iou_curve(np.eye(8), [[0, 0, 7, 7]])  # compiled or read from the cache
    print(f"ms an image at {arguments.size} x {arguments.size}, 1000 thresholds; load {os.getloadavg()[0]:.1f} before")
    print("| Maps | Contours | Loop over thresholds | Loop over grey levels | Ours | Ratio | Ratio |")
    print("| :-- | :-- | --: | --: | --: | --: | --: |")
    for name, maps in map_sets(arguments.maps, arguments.images, arguments.size).items():
        boxes = boxes_for(len(maps), arguments.size)
        for contours in ("all", "largest"):
            few = 2 if name == "noise" else arguments.baseline_images
            print(row(name, maps, boxes, contours, few), flush=True)


if __name__ == "__main__":
    main()
