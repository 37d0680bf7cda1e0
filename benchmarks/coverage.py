"""Count how often the intervals hold the truth, and how often two equal cells are called different.

    python -m benchmarks.coverage [--results results] [--sizes 50 100 300 1000] [--draws 1000]

The images of a cell's results are taken as the whole world: their score is the truth. From them many test sets are
drawn with replacement, and each gets its interval. An interval of 95 % should hold the truth in 95 % of the draws.

For false alarms, each image of a drawn set gives its two values (of the two cells compared) in random order, so that
neither cell is better. The comparison should find a difference in 5 % of the draws.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acol.metrics.bootstrap import Interval, compare, max_interval, mean_interval, resample_max, resample_mean
from pipeline.results import read_images, read_iou_curves

Array = np.ndarray[Any, Any]


def hits(values: Array, draws: list[Array], interval: Callable[[Array], Interval]) -> dict[str, float]:
    """Return the shares of draws whose interval holds the whole world's value, lies above it, and lies below it."""
    truth = interval(values).value
    found = [interval(values[drawn]) for drawn in draws]
    above = float(np.mean([one.low > truth for one in found]))
    below = float(np.mean([one.high < truth for one in found]))
    return {"truth": truth, "held": 1 - above - below, "above": above, "below": below}


def alarms(a: Array, b: Array, draws: list[Array], resample: Callable[[Array], Any], seed: int) -> float:
    """Return the share of draws in which two cells that are equal by construction are called different."""
    rng = np.random.default_rng(seed)
    called = []
    for drawn in draws:
        pair = np.stack([a[drawn], b[drawn]])
        swap = rng.random(len(drawn)) < 0.5
        pair[:, swap] = pair[::-1, swap]
        called.append(compare([resample(pair[0])], [resample(pair[1])]).real)
    return float(np.mean(called))


def cases_of(folder: Path, thin: int) -> dict[str, tuple[Array, Callable[[Array], Interval], Callable[[Array], Any]]]:
    """Return the values of each image of a cell, their interval and their resampling, by the score's name.

    Of the thresholds of the IoU curves, every `thin`-th is used, to save time.
    """
    images = read_images(folder / "images.csv")
    cases: dict[str, Any] = {
        "accuracy": (images["correct"].to_numpy(float), mean_interval, resample_mean),
        "mean IoU": (images["iou"].to_numpy(float), mean_interval, resample_mean),
        "gt_known_loc": ((images["iou"] >= 0.5).to_numpy(float), mean_interval, resample_mean),
    }
    curves = read_iou_curves(folder / "maps.npz", images)
    if curves is not None:
        cases["max_box_acc_v2"] = (curves[:, ::thin], max_interval, resample_max)
    return cases


def main() -> None:
    """Print the table: intervals of the first cell, false alarms between the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--cells", nargs=2, metavar="CELL", help="by default the first two")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--thin", type=int, default=20)
    arguments = parser.parse_args()
    cells = arguments.cells or sorted(file.parent.name for file in arguments.results.glob("*/maps.npz"))[:2]
    if len(cells) < 2:
        parser.error(
            f"{arguments.results}: holds the maps of fewer than two cells; run `dvc repro` or `dvc pull` first"
        )
    one, two = (cases_of(arguments.results / cell, arguments.thin) for cell in cells)
    print(f"{cells[0]} and {cells[1]}, {arguments.draws} draws")
    print("| Score | Truth | Images | Interval holds it | Too high | Too low | False alarms |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for name, (values, interval, resample) in one.items():
        for size in arguments.sizes:
            rng = np.random.default_rng(size)
            draws = list(rng.integers(0, len(values), (arguments.draws, size)))
            row = hits(values, draws, interval)
            row["alarms"] = alarms(values, two[name][0], draws, resample, size)
            shares = " | ".join(f"{100 * row[key]:.1f}%" for key in ("held", "above", "below", "alarms"))
            print(f"| {name} | {row['truth']:.3f} | {size} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
