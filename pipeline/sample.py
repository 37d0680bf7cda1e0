"""sample: draws test images of the project in this folder, and predicts them as tasks to draw or correct boxes in.

With the same seed a larger --n adds images to the smaller one's. A draft is of the class that the project knows of its
image. Without --format they are tasks for Label Studio.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acol.data.manifest import Image, read_manifest
from acol.errors import InputError
from pipeline import cli, predict
from pipeline.params import load_params
from pipeline.places import MANIFEST


def drawn(images: Sequence[Image], count: int, seed: int) -> list[Image]:
    """Return `count` of the images, at random within each class and in proportion to the classes; by path."""
    order, rng = [], np.random.default_rng(seed)
    for label in sorted({image.label for image in images}):
        of_class = [image for image in images if image.label == label]
        # Of any number of images that is drawn, each class has its share, and each image the same chance: a class whose
        # share is less than an image comes in by its own random start.
        start = rng.random()
        order += [
            ((n + start) / len(of_class), of_class[index]) for n, index in enumerate(rng.permutation(len(of_class)))
        ]
    chosen = [image for _, image in sorted(order, key=lambda each: each[0])[:count]]
    return sorted(chosen, key=lambda image: image.path)


@cli.main
def main() -> None:
    """Draw the images, and predict them."""
    parser = cli.parser("pipeline.sample", "Draw test images at random, as tasks with draft boxes.")
    parser.add_argument("--n", type=int, default=40, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    predict.add_options(parser, ["label-studio"])
    arguments, root = parser.parse_args(), load_params().data.root
    tested = read_manifest(MANIFEST, root).of("test")
    if not 0 < arguments.n <= len(tested):
        raise InputError(f"--n {arguments.n}: there are {len(tested)} test images; choose 1 to {len(tested)}")
    labels = {root / image.path: image.label for image in drawn(tested, arguments.n, arguments.seed)}
    predict.run([*labels], Path(os.path.abspath(root)), arguments, labels)


if __name__ == "__main__":
    main()
