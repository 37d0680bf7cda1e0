"""Run an exported model by onnxruntime on test images: the picture, the difference from ours, and the time.

    python -m benchmarks.exported_model lite0-pn-0.6 --out exported-model.jpg

Run in a project's folder whose cell is evaluated. The images are of different classes, drawn by a fixed seed. It prints
the largest difference from our own outputs in float32, and a table of the CPU time of one thread for the same images:
onnxruntime's in float32, and ours in the form in which a model is trained and in the one in which it answers
(`acol.network.inference_form`).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image

from acol.data.images import read_image
from acol.data.manifest import read_manifest
from acol.figures.pixels import PREDICTED, draw_box, overlay
from acol.figures.text import percent
from acol.network.precision import autocast, choose_device
from acol.prediction.export import Exported, export
from acol.prediction.predictor import Predictor
from pipeline.params import load_params
from pipeline.places import MANIFEST, model
from pipeline.tracking.registry import load_predictor

IMAGES, REPEATS = 4, 20
BATCHES = (1, 16)


def cpu_seconds(call: Callable[[], Any]) -> float:
    """The least CPU time of a call among a few, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times[1:])


def print_times(predictor: Predictor, session: onnxruntime.InferenceSession, pixels: np.ndarray) -> None:
    """Print a line for each size of the batch and precision."""
    forms = {"trained": predictor.model, "answering": predictor.network}
    print("| images | precision | onnxruntime, ms | " + " | ".join(f"{name}, ms (ratio)" for name in forms) + " |")
    print("| --: | :-- | --: | --: | --: |")
    for size in BATCHES:
        batch = np.resize(pixels, (size, *pixels.shape[1:]))
        images = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)
        theirs = cpu_seconds(lambda batch=batch: session.run(None, {"images": batch}))  # type: ignore[misc]
        for precision in ("float32", "bfloat16"):
            row = f"| {size} | {precision} | {1000 * theirs:.1f} |"
            for form in forms.values():
                ours = Exported(predictor)
                ours.model = form
                with torch.inference_mode(), autocast(torch.device("cpu"), precision):
                    own = cpu_seconds(lambda ours=ours, images=images: ours(images))  # type: ignore[misc]
                row += f" {1000 * own:.1f} ({own / theirs:.2f}) |"
            print(row, flush=True)


def main() -> None:
    """Export a cell's model, run it, and draw what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    choose_device("cpu")
    manifest = read_manifest(MANIFEST, load_params().data.root)
    tests = [*manifest.of("test")]
    np.random.default_rng(0).shuffle(tests)  # type: ignore[arg-type]
    first = {image.label: image for image in reversed(tests)}
    shown = [first[label] for label in sorted(first)][:IMAGES]
    predictor = load_predictor(str(model(arguments.cell) / "best.pt"), Path.cwd())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(predictor, file, "onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options)
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    photographs = [read_image(manifest.root / image.path) for image in shown]
    side = facts["size"]
    pixels = [np.asarray(photograph.resize((side, side)), np.float32) for photograph in photographs]
    batch = np.stack(pixels).transpose(0, 3, 1, 2) / 255
    ours = Exported(predictor)
    ours.model = predictor.network
    with torch.inference_mode():
        wanted = [out.numpy() for out in ours(torch.from_numpy(batch))]
    found = session.run(None, {"images": batch})
    worst = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
    print(f"largest difference {worst:.1e}")
    print_times(predictor, session, batch)
    tiles = []
    for image, photograph, probabilities, heat in zip(shown, photographs, *found, strict=True):
        rows, columns = np.nonzero(heat > facts["threshold"] * heat.max())
        small = np.asarray(photograph.resize((side * 2, side * 2)))
        large = np.asarray(Image.fromarray(heat).resize((side * 2, side * 2), Image.Resampling.BILINEAR))
        box = 2 * np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        tiles.append(draw_box(overlay(small, large), box.tolist(), PREDICTED))
        print(image.label, facts["classes"][probabilities.argmax()], percent(float(probabilities.max())))
    Image.fromarray(np.hstack(tiles)).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
