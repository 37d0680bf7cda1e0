"""predict: what a model says of image files, as overlays and a line of JSON each.

    python -m pipeline.predict IMAGE... --out DIR [--model models:/acol@champion]

writes into DIR, which must be new or empty: predictions.jsonl, and for the N-th image N-NAME.overlay.png (its map and
box drawn over it) and N-NAME.map.png (its map, grayscale), neither larger than 1024 pixels a side. The box in
predictions.jsonl is in the image's own pixels. Images that cannot be read are all named, and nothing is written.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from acol.data.images import read_image
from acol.errors import Faults, InputError
from acol.figures import panels as viz
from acol.files import atomic_folder
from acol.prediction.predictor import LONGEST_SIDE, Prediction, Predictor
from pipeline import cli
from pipeline.tracking.registry import load_predictor
from pipeline.tracking.store import StoreError


def predict(paths: Sequence[Path], predictor: Predictor, folder: Path) -> None:
    """Predict image files into `folder`, whole or not at all. Raises `InputError` for a file that cannot be read."""
    digits = len(str(len(paths)))
    with atomic_folder(folder) as partial, (partial / "predictions.jsonl").open("w", encoding="utf-8") as lines:
        for number, path in enumerate(paths, 1):
            image = read_image(path)
            found = predictor.predict([image])[0]
            stem = f"{number:0{digits}d}-{path.stem[:40]}"  # a name has at most 255 bytes
            Image.fromarray(overlay(image, found)).save(partial / f"{stem}.overlay.png")
            (partial / f"{stem}.map.png").write_bytes(found.map_png())
            row = {
                "path": str(path),
                "label": found.label,
                "probability": found.probability,
                "probabilities": found.probabilities,
                "box": found.box,
                "overlay": f"{stem}.overlay.png",
                "map": f"{stem}.map.png",
            }
            print(json.dumps(row), file=lines)


def overlay(image: Image.Image, found: Prediction) -> viz.Pixels:
    """Draw a prediction over its image, the longest side at most `LONGEST_SIDE` -> (h, w, 3) uint8."""
    small = image.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    heat = Image.fromarray(found.map.astype(np.float32)).resize(small.size, Image.Resampling.BILINEAR)
    box = np.asarray(found.box) * np.tile([small.width / image.width, small.height / image.height], 2)
    tile = viz.overlay(np.asarray(small), np.asarray(heat))
    return viz.draw_box(tile, box, viz.PREDICTED, thickness=max(1, round(min(small.size) / 150)), dashed=True)


def check(paths: Sequence[Path], folder: Path) -> None:
    """Raise `Faults` naming every file that cannot be read, and a `folder` that holds something or is none."""
    faults = []
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        faults.append(f"--out {folder}: exists and is not an empty folder; name a new one")
    for path in paths:
        try:
            read_image(path)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise Faults(faults)


@cli.main
def main() -> None:
    """Predict the images of the command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description="Predict image files.")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder, new or empty")
    parser.add_argument(
        "--model", default="models:/acol@champion", help="registered model or checkpoint (default: %(default)s)"
    )
    arguments = parser.parse_args()
    check(arguments.images, arguments.out)
    try:
        predictor = load_predictor(arguments.model, Path.cwd())
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    try:
        predict(arguments.images, predictor, arguments.out)
    except OSError as error:
        raise InputError(f"--out {arguments.out}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    main()
