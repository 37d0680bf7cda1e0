"""Compare the maps of `acol.localization.evidence` with plain CAM, and the rules that choose one, on test images.

    python -m benchmarks.maps CELL [--images 300] [--draws 60]

Run in a project's folder whose images are split and have boxes; CELL is a trained cell, or a backbone: then its
untrained ImageNet classifier is scored. It prints

- each map's MaxBoxAccV2 and its paired gain over plain CAM, with a 95 % interval;
- the map that is chosen without boxes, and by what numbers;
- the mean and the least gain on the other images when the boxes of n random ones choose the map, for several n.
"""

import argparse
from dataclasses import replace

import numpy as np

from acol.data.loading import LabelledImages
from acol.data.manifest import read_manifest
from acol.localization.choice import choose, curves_of, scores_of_maps, surely_better
from acol.localization.evidence import CAM, possible
from acol.localization.inference import run_split
from acol.metrics.scored import MaxScore
from acol.network.backbones import ImageNetClassifier
from acol.network.precision import choose_device
from acol.network.weights import read_tensors
from pipeline import cli
from pipeline.evaluate import Subject
from pipeline.params import load_params
from pipeline.places import CACHE, MANIFEST, model, pretrained
from pipeline.untrained import subject_of


@cli.main
def main() -> None:
    """Print the tables of one cell or backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", help="a trained cell, or an entry of params.yaml's backbones")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--draws", type=int, default=60)
    arguments = parser.parse_args()
    params, cell = load_params(), arguments.cell
    manifest = read_manifest(MANIFEST, params.data.root)
    if cell in params.backbones:
        known = ImageNetClassifier(**read_tensors(pretrained(cell) / "classifier.pth"))
        subject = subject_of(params, cell, manifest, known)
    else:
        subject = Subject.load(model(cell) / "best.pt", manifest, CACHE, choose_device(params.train.device))
    images, whole = manifest.of("test"), subject.view("test")
    boxed = np.random.default_rng(0).permutation([n for n, image in enumerate(images) if image.boxes])
    chosen = np.sort(boxed[: arguments.images])
    view = LabelledImages(whole.pixels[chosen], whole.labels[chosen], [whole.names[n] for n in chosen])
    card, some = subject.card, [images[n] for n in chosen]
    outputs = run_split(
        subject.network, [view], card.preprocessing, device=subject.device, precision=card.precision, batch_size=16
    )
    sources, recipe = outputs.sources(subject.network.recipe), subject.network.recipe
    curves = curves_of(sources, some, possible(sources))
    print("| Map | MaxBoxAccV2 | Over plain CAM |\n| :-- | --: | --: |")
    for name, row in scores_of_maps(curves).items():
        low, high = row.get("interval", (0, 0))
        gain = f"{100 * row.get('gain', 0):+.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        print(f"| {name} | {100 * row['max_box_acc_v2']:.1f} | {gain} |")
    found = choose(outputs, recipe, [replace(image, boxes=None, mask=None) for image in some], manifest.root)
    print(f"chosen without boxes: {found}\n\n| Boxes | Mean gain | Least |\n| --: | --: | --: |")
    rng = np.random.default_rng(0)
    for n in (n for n in (10, 20, 40, 80) if n + 40 <= len(some)):
        gains = []
        for _ in range(arguments.draws):
            few, rest = np.split(rng.permutation(len(some)), [n])
            values = {each: MaxScore(of_map[few]).contributions for each, of_map in curves.items()}
            name = surely_better(values, found.name)
            gains.append(MaxScore(curves[name][rest]).value - MaxScore(curves[CAM][rest]).value)
        print(f"| {n} | {100 * np.mean(gains):+.1f} | {100 * min(gains):+.1f} |", flush=True)


if __name__ == "__main__":
    main()
