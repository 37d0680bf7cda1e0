"""sample: draws test images of the project in this folder at random, and writes them as tasks for annotators.

Each task has a draft of the box, which the annotator corrects. It is predicted for the image's true class. With the
same seed, a larger --n adds images to those of a smaller one. Without --format the tasks are for Label Studio.
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


def draw_sample(images: Sequence[Image], count: int, seed: int) -> list[Image]:
    """Return `count` random images in proportion to their classes, sorted by path."""
    placed, rng = [], np.random.default_rng(seed)
    for label in sorted({image.label for image in images}):
        of_class = [image for image in images if image.label == label]
        # Spread the images of each class evenly over [0, 1], in random order. The first `count` places then hold each
        # class in proportion. The random start gives each image the same chance, also those of small classes.
        start = rng.random()
        shuffled = rng.permutation(len(of_class))
        placed += [((n + start) / len(of_class), of_class[index]) for n, index in enumerate(shuffled)]
    chosen = [image for _, image in sorted(placed, key=lambda pair: pair[0])[:count]]
    return sorted(chosen, key=lambda image: image.path)


@cli.main
def main() -> None:
    """Draw the images, and predict them."""
    parser = cli.parser("pipeline.sample", "Draw test images at random, as tasks with draft boxes.")
    parser.add_argument("--n", type=int, default=40, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    predict.add_options(parser, ["label-studio"])
    options, root = parser.parse_args(), load_params().data.root
    tested = read_manifest(MANIFEST, root).of("test")
    if not 0 < options.n <= len(tested):
        raise InputError(f"--n {options.n}: there are {len(tested)} test images; choose 1 to {len(tested)}")
    labels = {root / image.path: image.label for image in draw_sample(tested, options.n, options.seed)}
    paths, base = [*labels], Path(os.path.abspath(root))
    predict.predict_files(paths, base, predict.check_and_load(paths, base, options), labels, options)


if __name__ == "__main__":
    main()
