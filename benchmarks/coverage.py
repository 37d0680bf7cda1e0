"""Count how often the intervals hold the truth, and how often two equal cells are called different.

    OMP_NUM_THREADS=1 python -m benchmarks.coverage [--results results] [--sizes 50 100 300 1000] [--draws 1000]
    OMP_NUM_THREADS=1 python -m benchmarks.coverage --sampled --sizes 20 40 80
    OMP_NUM_THREADS=1 python -m benchmarks.coverage --pixels --sizes 50 100 300 --draws 300

The images of a cell's results are taken as the whole world: their score is the truth. From them many test sets are
drawn with replacement, and each gets its interval. An interval of 95 % should hold the truth in 95 % of the draws.

For false alarms, each image of a drawn set gives its two values (of the two cells compared) in random order, so that
neither cell is better. The comparison should find a difference in 5 % of the draws.

It also counts the comparisons in which a test and its interval disagree, of the drawn sets as they are.

The second table is of several trainings. Each draw has a new test set and new trainings: each training shifts all
images' values (the IoU of the box) by a random effect of its own. The truth is the world's.

The third table is of calibration: drawn validation sets of two models of four classes, whose logits are too large.

With --sampled there is one table alone, of samples of the first cell's images: as `acol sample` draws them, at random
without replacement, and at random with replacement. The truth of all three is the score of all images.

With --pixels there is one table alone, of the scores from masks of the first cell, in a project's folder.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from acol.data.manifest import Image, read_manifest
from acol.localization.map_scores import mask_counts
from acol.localization.maps import at_size
from acol.localization.regions import MAP_SIZE
from acol.metrics.calibration import calibration_error, fit_calibration
from acol.metrics.comparison import compare, over_seeds
from acol.metrics.intervals import Interval, max_interval, mean_interval
from acol.metrics.pxap import pixel_intervals
from acol.metrics.scored import MaxScore, MeanScore, Score
from pipeline.params import load_params
from pipeline.places import MANIFEST
from pipeline.results import read_images, read_iou_curves, read_results
from pipeline.sample import draw_sample

Array = np.ndarray[Any, Any]
Case = tuple[Array, Callable[[Array], Interval], Callable[[Array], Score]]  # values, their interval, their score
SPREADS = (0.0, 0.01, 0.03)  # standard deviation between trainings


def hits(values: Array, draws: Array, interval: Callable[[Array], Interval]) -> dict[str, float]:
    """Return the shares of draws whose interval holds the whole world's value, lies above it, and lies below it."""
    truth = interval(values).value
    found = [interval(values[drawn]) for drawn in draws]
    above = float(np.mean([one.low > truth for one in found]))
    below = float(np.mean([one.high < truth for one in found]))
    return {"truth": truth, "held": 1 - above - below, "above": above, "below": below}


def alarms(a: Array, b: Array, draws: Array, score: Callable[[Array], Score], seed: int) -> float:
    """Return the share of draws in which two cells that are equal by construction are called different."""
    rng = np.random.default_rng(seed)
    called = []
    for drawn in draws:
        pair = np.stack([a[drawn], b[drawn]])
        swap = rng.random(len(drawn)) < 0.5
        pair[:, swap] = pair[::-1, swap]
        called.append(compare([score(pair[0])], [score(pair[1])]).real)
    return float(np.mean(called))


def disagreements(a: Array, b: Array, draws: Array, score: Callable[[Array], Score]) -> int:
    """Return in how many draws the test calls two cells different and their interval does not, or the other way."""
    found = [compare([score(a[drawn])], [score(b[drawn])]) for drawn in draws]
    return sum(one.real != (one.low > 0 or one.high < 0) for one in found)


def calibrations(spread: float, images: int, draws: int) -> dict[str, float]:
    """Return means over drawn validation sets of a world whose model is right more often the larger `spread` is.

    `claimed` is by how much the surest fifth of the world's probabilities exceed their share of right answers, `plain`
    the same of the network's own; `held` how often the error's interval, of as many test images, holds the world's.
    """
    rng, world = np.random.default_rng(images), 4000
    truth = rng.integers(0, 4, world)
    logits = 3 * spread * (rng.normal(size=(world, 4)) + spread * np.eye(4)[truth])
    right = logits.argmax(axis=1) == truth

    def too_sure(probabilities: Array) -> float:
        surest = probabilities >= np.quantile(probabilities, 0.8)
        return float(probabilities[surest].mean() - right[surest].mean())

    rows = []
    for _ in range(draws):
        drawn, tested = rng.integers(0, world, (2, images))
        found = fit_calibration(logits[drawn], truth[drawn])
        given = found.bounded(softmax(logits / found.temperature, axis=1)).max(axis=1)
        whole = calibration_error(given, right, resamples=1).value
        interval = calibration_error(given[tested], right[tested], resamples=300)
        rows.append((found.most, too_sure(given), whole, interval.low <= whole <= interval.high, found.calibrated))
    names = ("most", "claimed", "error", "held", "calibrated")
    plain = {"right": float(right.mean()), "plain": too_sure(softmax(logits, axis=1).max(axis=1))}
    return plain | dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def of_seeds(a: Array, b: Array, draws: Array, seeds: int, spread: float, seed: int) -> dict[str, float]:
    """Return how often the mean over `seeds` trainings is held, and how often two equal recipes are called different.

    `a` and `b` are per-image values in [0, 1] of two trainings: a new one takes each image's value from either at
    random, and shifts all of them by its own effect, normal with standard deviation `spread`.
    """
    rng = np.random.default_rng(seed)
    truth = float(np.mean([a.mean(), b.mean()]))
    held, called = [], []
    for drawn in draws:
        pairs = np.stack([a[drawn], b[drawn]])

        def trained(pairs: Array = pairs) -> list[Score]:
            chosen = [np.where(rng.random(pairs.shape[1]) < 0.5, pairs[0], pairs[1]) for _ in range(seeds)]
            return [MeanScore(values + rng.normal(0, spread)) for values in chosen]

        one, other = trained(), trained()
        interval = over_seeds(one)
        held.append(interval.low <= truth <= interval.high)
        called.append(compare(one, other).real)
    return {"held": float(np.mean(held)), "alarms": float(np.mean(called))}


def cases_of(folder: Path, thin: int) -> dict[str, Case]:
    """Return the cases of a cell by the score's name. Of the IoU curves' thresholds every `thin`-th is used."""
    images = read_images(folder / "images.csv")
    cases: dict[str, Case] = {
        "accuracy": (images["correct"].to_numpy(float), mean_interval, MeanScore),
        "mean IoU": (images["iou"].to_numpy(float), mean_interval, MeanScore),
        "gt_known_loc": ((images["iou"] >= 0.5).to_numpy(float), mean_interval, MeanScore),
    }
    curves = read_iou_curves(folder / "maps.npz", images)
    if curves is not None:
        cases["max_box_acc_v2"] = (curves[:, ::thin], max_interval, MaxScore)
    return cases


def print_sampled(folder: Path, cases: dict[str, Case], sizes: list[int], draws: int) -> None:
    """Print how often the intervals of small samples of a cell's images hold the score of all of them."""
    rows = read_images(folder / "images.csv")[["path", "label"]].itertuples(index=False)
    images = [Image(str(path), str(label), "test", "", 0, 0) for path, label in rows]
    place = {image.path: index for index, image in enumerate(images)}
    print("| Score | Truth | Images | Draw | Interval holds it | Too high | Too low |")
    print("| :-- | --: | --: | :-- | --: | --: | --: |")
    for size in sizes:
        rng = np.random.default_rng(size)
        ways = {
            "acol sample": [[place[image.path] for image in draw_sample(images, size, seed)] for seed in range(draws)],
            "without replacement": [rng.permutation(len(images))[:size] for _ in range(draws)],
            "with replacement": rng.integers(0, len(images), (draws, size)),
        }
        for name, (values, interval, _) in cases.items():
            for way, chosen in ways.items():
                row = hits(values, np.asarray(chosen), interval)
                shares = " | ".join(f"{100 * row[key]:.1f}%" for key in ("held", "above", "below"))
                print(f"| {name} | {row['truth']:.3f} | {size} | {way} | {shares} |", flush=True)


def print_pixels(folder: Path, sizes: list[int], draws: int, thin: int) -> None:
    """Print how often the intervals of PxAP and the best pixel IoU hold those of all images that have a mask."""
    manifest = read_manifest(MANIFEST, load_params().data.root)
    images = [image for image in manifest.of("test") if image.masked]
    maps = read_results(folder, [image.path for image in images]).maps
    scored = np.stack([at_size(maps[image.path].astype(np.float32), (MAP_SIZE, MAP_SIZE)) for image in images])
    counts = mask_counts([scored], images, manifest.root, manifest.mask_values)
    values = np.add.reduceat(counts, range(0, counts.shape[-1], thin), axis=-1)
    print("| Score | Truth | Images | Interval holds it | Too high | Too low |")
    print("| :-- | --: | --: | --: | --: | --: |")
    for nth, name in enumerate(("PxAP", "best pixel IoU")):
        for size in sizes:
            chosen = np.random.default_rng(size).integers(0, len(values), (draws, size))
            row = hits(values, chosen, partial(_pixel_interval, nth))
            shares = " | ".join(f"{100 * row[key]:.1f}%" for key in ("held", "above", "below"))
            print(f"| {name} | {row['truth']:.3f} | {size} | {shares} |", flush=True)


def _pixel_interval(nth: int, counts: Array) -> Interval:
    return pixel_intervals(counts, resamples=500)[nth]


def print_tables(one: dict[str, Case], two: dict[str, Case], sizes: list[int], count: int) -> None:
    """Print the tables: intervals of one cell and false alarms between two, calibration, several trainings."""
    print("| Score | Truth | Images | Interval holds it | Too high | Too low | False alarms |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    unlike = made = 0
    for name, (values, interval, score) in one.items():
        for size in sizes:
            draws = np.random.default_rng(size).integers(0, len(values), (count, size))
            row = hits(values, draws, interval)
            row["alarms"] = alarms(values, two[name][0], draws, score, size)
            unlike, made = unlike + disagreements(values, two[name][0], draws, score), made + len(draws)
            shares = " | ".join(f"{100 * row[key]:.1f}%" for key in ("held", "above", "below", "alarms"))
            print(f"| {name} | {row['truth']:.3f} | {size} | {shares} |", flush=True)
    print(f"\n{made} comparisons of the drawn sets: test and interval disagree in {unlike}")
    print("\n| Right | Validation images | Largest probability | Too sure | Before | Error | Held | Calibrated |")
    print("| --: | --: | --: | --: | --: | --: | --: | --: |")
    for spread in (1.5, 3.0):
        for size in (8, 20, 50, 200):
            row = calibrations(spread, size, count)
            parts = ("most", "claimed", "plain", "error", "held", "calibrated")
            shares = " | ".join(f"{100 * row[key]:.1f}%" for key in parts)
            print(f"| {100 * row['right']:.0f}% | {size} | {shares} |", flush=True)
    print("\n| Spread between trainings | Trainings | Images | Interval holds the truth | False alarms |")
    print("| --: | --: | --: | --: | --: |")
    values, others = one["mean IoU"][0], two["mean IoU"][0]
    for spread in SPREADS:
        for seeds in (2, 3, 5):
            for size in sizes:
                draws = np.random.default_rng(size).integers(0, len(values), (count, size))
                row = of_seeds(values, others, draws, seeds, spread, size)
                shares = " | ".join(f"{100 * row[key]:.1f}%" for key in ("held", "alarms"))
                print(f"| {100 * spread:g} points | {seeds} | {size} | {shares} |", flush=True)


def main() -> None:
    """Print the tables that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--cells", nargs=2, metavar="CELL", help="by default the first two")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--thin", type=int, default=20)
    parser.add_argument("--sampled", action="store_true", help="print the table of `acol sample` alone")
    parser.add_argument("--pixels", action="store_true", help="print the table of scores from masks alone")
    arguments = parser.parse_args()
    cells = arguments.cells or sorted(file.parent.name for file in arguments.results.glob("*/maps.npz"))[:2]
    if len(cells) < 2:
        parser.error(
            f"{arguments.results}: holds the maps of fewer than two cells; run `dvc repro` or `dvc pull` first"
        )
    if arguments.pixels:
        print_pixels(arguments.results / cells[0], arguments.sizes, arguments.draws, arguments.thin)
        return
    one, two = (cases_of(arguments.results / cell, arguments.thin) for cell in cells)
    if arguments.sampled:
        print_sampled(arguments.results / cells[0], one, arguments.sizes, arguments.draws)
        return
    print(f"{cells[0]} and {cells[1]}, {arguments.draws} draws")
    print_tables(one, two, arguments.sizes, arguments.draws)


if __name__ == "__main__":
    main()
