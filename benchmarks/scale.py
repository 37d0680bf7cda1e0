"""Measure what one image costs outside the network, and how that grows with images and classes.

    python -m benchmarks.scale [--images 1000 4000] [--classes 10 1000]

Data: JPEG files of 500 x 375 pixels, validated as `split` does, then decoded and resized to 256 pixels as a training
does once. Manifest: read, as every stage does, with 100 times as many entries as there are images. Scores: all that
`evaluate` computes of two classifiers' maps of 14 x 14 without the forward pass, boxes at 100 thresholds, three IoUs,
and 1,000 bootstrap resamples. Each row runs in a process of its own; memory is by how much that process grew.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from acol.data.loading import load_split
from acol.data.manifest import Image, Manifest, read_manifest, write_manifest
from acol.ingest.folder import read_folder
from acol.localization.evaluation import evaluate
from acol.localization.inference import SplitOutputs
from acol.recipe import Recipe
from pipeline import cli

SIDE = 256


def peak() -> float:
    """Return this process's peak memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def current() -> int:
    """Return this process's memory now, in bytes (Linux only)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def data(count: int, classes: int) -> str:
    """Return a row on `count` image files."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder, "images", f"class {number % classes}", f"{number}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = Picture.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
            coarse.resize((500, 375), Picture.Resampling.BICUBIC).save(path, quality=90)
        before, times = peak(), [time.perf_counter()]
        reading = read_folder(Path(folder, "images"), val_fraction=0.1, test_fraction=0.1)
        times.append(time.perf_counter())
        memory = peak() - before
        decoded = len(load_split(reading.manifest, "train", SIDE, Path(folder, "cache")))
        times.append(time.perf_counter())
        disk = sum(path.stat().st_size for path in Path(folder, "cache").rglob("*") if path.is_file())
    check, decode = np.diff(times)
    cells = [f"{1e3 * check / count:.1f}", f"{1e3 * decode / decoded:.1f}", f"{disk / decoded / 1024:.0f}"]
    return row(count, *cells, f"{memory:.0f}")


def manifest(count: int, classes: int) -> str:
    """Return a row on a manifest of 100 times `count` images."""
    count *= 100
    names = tuple(f"n{number:08}" for number in range(classes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.json")
        entries = (
            Image(f"train/{label}/{label}_{number}.JPEG", label, "train", f"{number:064x}", 500, 375)
            for number, label in zip(range(count), itertools.cycle(names), strict=False)
        )
        write_manifest(path, Manifest(Path(folder), names, tuple(entries)))
        size = path.stat().st_size
        code = "from benchmarks.scale import read; read()"
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    seconds, held, most, _ = map(float, done.stdout.split())
    return row(
        count, f"{1e6 * seconds / count:.0f}", f"{size / count:.0f}", f"{held / count:.0f}", f"{most / count:.0f}"
    )


def read() -> None:
    """Read the manifest that the command line names: seconds, bytes held, most bytes taken, and images."""
    before, started = current(), time.perf_counter()
    images = read_manifest(sys.argv[1], Path()).images
    print(time.perf_counter() - started, current() - before, peak() * 2**20 - before, len(images))


def scores(count: int, classes: int) -> str:
    """Return a row on the evaluation of `count` images."""
    rng = np.random.default_rng(0)
    coarse = rng.random((2, count, 4, 4), dtype=np.float32)
    maps = np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3)[:, :, :14, :14]
    low, high = maps.min((2, 3), keepdims=True), maps.max((2, 3), keepdims=True)
    maps = (maps - low) / (high - low)
    logits = rng.normal(size=(2, count, classes)).astype(np.float32)
    names = [f"class {number}" for number in range(classes)]
    images = [
        Image(f"{n}.jpg", names[n % classes], "test", f"{n:064}", 224, 224, ((40, 40, 180, 200),)) for n in range(count)
    ]

    def run(number: int) -> None:
        outputs = SplitOutputs(logits[:, :number], maps[:, :number], maps[:, :number])
        settings: dict[str, Any] = {"fixed_tau": 0.4, "validation": None, "faithful": {}, "resamples": 1000, "seed": 0}
        evaluate(outputs, images[:number], names, Recipe.parse("pn-0.9"), Path(), **settings)

    run(32)  # compiles what is compiled
    before, started = peak(), time.perf_counter()
    run(count)
    return row(count, classes, f"{1e3 * (time.perf_counter() - started) / count:.2f}", f"{(peak() - before):.0f}")


def row(*cells: object) -> str:
    """Return cells as a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


HEADS = {
    "data": row("Images", "Check, ms", "Decode, ms", "Decoded, KiB", "Memory of the check, MiB in all"),
    "manifest": row("Images", "Read, µs", "On disk, bytes", "In memory, bytes", "While reading, bytes"),
    "scores": row("Images", "Classes", "Scores, ms an image", "Memory, MiB in all"),
}


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Measure what an image costs outside the network.")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--one", choices=HEADS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(
            {"data": data, "manifest": manifest, "scores": scores}[arguments.one](
                arguments.images[0], arguments.classes[0]
            )
        )
        return
    for name, head in HEADS.items():
        print(head, "|" + " --: |" * (head.count("|") - 1), sep="\n", flush=True)
        for images in arguments.images:
            for classes in arguments.classes[: None if name == "scores" else 1]:
                command = [sys.executable, "-m", "benchmarks.scale", "--one", name]
                options = ["--images", str(images), "--classes", str(classes)]
                subprocess.run([*command, *options], check=True, env=os.environ)
        print()


if __name__ == "__main__":
    main()
