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
from collections.abc import Callable
from functools import partial
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
from acol.network.model import ACoL
from acol.network.precision import autocast, choose_device
from acol.prediction.export import ExportedModel, export
from acol.prediction.predictor import Predictor
from benchmarks.cpu_time import cpu_seconds
from pipeline.params import load_params
from pipeline.places import MANIFEST, model
from pipeline.tracking.registry import load_predictor

IMAGES, REPEATS = 4, 20
BATCHES = (1, 16)


def print_times(predictor: Predictor, session: onnxruntime.InferenceSession, pixels: np.ndarray) -> None:
    """Print a line for each size of the batch: medians of the times, and of the ratios within a round."""
    contenders: list[tuple[str, ACoL, str]] = [
        (f"{form}, {precision}", network, precision)
        for precision in ("float32", "bfloat16")
        for form, network in (("trained", predictor.model), ("answering", predictor.network))
    ]
    print("| images | onnxruntime, ms | " + " | ".join(f"{name}, ms (ratio)" for name, _, _ in contenders) + " |")
    print("| --: | --: |" + " --: |" * len(contenders))
    for size in BATCHES:
        batch = np.resize(pixels, (size, *pixels.shape[1:]))
        images = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)

        def ours(network: ACoL, precision: str, images: torch.Tensor = images) -> Callable[[], Any]:
            form = ExportedModel(predictor)
            form.model = network

            def call() -> None:
                with torch.inference_mode(), autocast(torch.device("cpu"), precision):
                    form(images)

            return call

        theirs = partial(session.run, None, {"images": batch})
        times = cpu_seconds([theirs, *(ours(network, precision) for _, network, precision in contenders)], REPEATS)
        ms, ratios = 1000 * np.median(times, axis=0), np.median(times / times[:, :1], axis=0)
        cells = [f"{its:.1f} ({ratio:.2f})" for its, ratio in zip(ms[1:], ratios[1:], strict=True)]
        print(f"| {size} | {ms[0]:.1f} | {' | '.join(cells)} |", flush=True)


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
    ours = ExportedModel(predictor)
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
