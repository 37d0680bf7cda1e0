"""Compare the maps of `acol.localization.fusion` with plain CAM, and the rules that choose one, on test images.

    python -m benchmarks.maps CELL [--images 300] [--draws 60] [--pictures FILE.png]

Run in a project's folder whose images are split and have boxes; CELL is a trained cell, or a backbone: then its
untrained ImageNet classifier is scored. Sizes and scales are those of params.yaml. It prints

- each map's MaxBoxAccV2 and its paired gain over plain CAM, with a 95 % interval;
- the map that is chosen without boxes, and by what numbers;
- the mean and the least gain on the other images when the boxes of n random ones choose the map, for several n.

The pictures are of the images on which the map that is chosen on the validation images gains and loses most: first by
the image's contributions to MaxBoxAccV2, then by the IoU of the box at the threshold that is best for IoU 0.5.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from acol.data.loading import LabelledImages
from acol.data.manifest import Image, read_manifest
from acol.figures.panels import CellPrediction, gallery
from acol.figures.text import write_png
from acol.localization.choice import MapValues, choose, curves_of, surely_better
from acol.localization.fusion import CAM, combine, possible
from acol.localization.inference import SplitOutputs, run_split
from acol.localization.maps import fused_maps
from acol.localization.regions import box_in_image
from acol.metrics.curves import taus_of
from acol.metrics.scored import MaxScore
from acol.network.backbones import ImageNetClassifier
from acol.network.precision import choose_device
from acol.network.weights import read_tensors
from pipeline import cli
from pipeline.evaluate import Subject
from pipeline.params import load_params
from pipeline.pictures import photograph
from pipeline.places import CACHE, MANIFEST, model, pretrained
from pipeline.untrained import subject_of

SHOWN = 3  # images of largest gain, and of largest loss


def outputs_of(subject: Subject, split: str, scales: tuple[float, ...], chosen: np.ndarray) -> SplitOutputs:
    """Return the outputs of some images of a split, at all scales."""
    views = []
    for scale in scales:
        whole = subject.view(split, scale)
        views.append(LabelledImages(whole.pixels[chosen], whole.labels[chosen], [whole.names[n] for n in chosen]))
    card = subject.card
    return run_split(
        subject.answering, views, card.preprocessing, device=subject.device, precision=card.precision, batch_size=16
    )


def draw(
    file: Path, outputs: SplitOutputs, subject: Subject, images: list[Image], curves: dict[str, np.ndarray], name: str
) -> None:
    """Draw the images of largest gain and of largest loss of the map `name` over plain CAM."""
    sources = outputs.sources(subject.network.recipe)
    at = {each: int((curves[each] >= 0.5).mean(axis=0).argmax()) for each in (CAM, name)}
    iou = {each: curves[each][:, tau] for each, tau in at.items()}
    gain = MaxScore(curves[name]).contributions - MaxScore(curves[CAM]).contributions
    order = np.lexsort((iou[name] - iou[CAM], gain))
    probabilities = torch.from_numpy(outputs.logits[0]).softmax(1).numpy()
    rows = []
    for n in [*order[::-1][:SHOWN], *order[:SHOWN]]:
        image, views = images[n], []
        for each, tau in at.items():
            own = {source: maps[n : n + 1] for source, maps in sources.items()}
            box = box_in_image(fused_maps(own, each)[0], taus_of(1000)[tau], (image.width, image.height))
            answer = CellPrediction(
                subject.card.classes[probabilities[n].argmax()], float(probabilities[n].max()), box, float(iou[each][n])
            )
            views.append((answer, combine(own, each)[0].numpy()))
        rows.append((photograph(image, subject.manifest), views))
    title = "Gains, losses"  # it has little room
    write_png(gallery(rows, [CAM, name], title), file)


@cli.main
def main() -> None:
    """Print the tables of one cell or backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", help="a trained cell, or an entry of params.yaml's backbones")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    params, cell = load_params(), arguments.cell
    manifest = read_manifest(MANIFEST, params.data.root)
    if cell in params.backbones:
        known = ImageNetClassifier(**read_tensors(pretrained(cell) / "classifier.pth"))
        subject = subject_of(params, cell, manifest, known)
    else:
        subject = Subject.load(model(cell) / "best.pt", manifest, CACHE, choose_device(params.train.device))
    tests, recipe, scales = manifest.of("test"), subject.network.recipe, params.evaluate.scales
    boxed = np.random.default_rng(0).permutation([n for n, image in enumerate(tests) if image.boxes])
    chosen = np.sort(boxed[: arguments.images])
    images = [tests[n] for n in chosen]
    outputs = outputs_of(subject, "test", scales, chosen)
    sources = outputs.sources(recipe)
    curves = curves_of(sources, images, possible(sources))
    # Each map against plain CAM.
    values = MapValues(
        "boxes", [*range(len(images))], {name: MaxScore(each).contributions for name, each in curves.items()}
    )
    print("| Map | MaxBoxAccV2 | Over plain CAM |\n| :-- | --: | --: |")
    for name, row in values.table().items():
        low, high = row.get("interval", (0, 0))
        gain = f"{100 * row.get('gain', 0):+.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        print(f"| {name} | {100 * row['max_box_acc_v2']:.1f} | {gain} |")
    # The choice without boxes, and with those of some of the images.
    found = choose(outputs, recipe, [replace(image, boxes=None, mask=None) for image in images], manifest.root)
    print(f"chosen without boxes: {found}\n\n| Boxes | Mean gain | Least |\n| --: | --: | --: |")
    rng = np.random.default_rng(0)
    for n in (n for n in (10, 20, 40, 80) if n + 40 <= len(images)):
        gains = []
        for _ in range(arguments.draws):
            few, rest = np.split(rng.permutation(len(images)), [n])
            drawn = {each: MaxScore(of_map[few]).contributions for each, of_map in curves.items()}
            name = surely_better(drawn, found.name)
            gains.append(MaxScore(curves[name][rest]).value - MaxScore(curves[CAM][rest]).value)
        print(f"| {n} | {100 * np.mean(gains):+.1f} | {100 * min(gains):+.1f} |", flush=True)
    if arguments.pictures:
        held_out = manifest.of("val")
        own = outputs_of(subject, "val", scales, np.arange(len(held_out))) if held_out else outputs
        name = choose(own, recipe, held_out, manifest.root, manifest.mask_values).name
        draw(arguments.pictures, outputs, subject, images, curves, name)


if __name__ == "__main__":
    main()
