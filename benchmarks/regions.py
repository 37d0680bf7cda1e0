"""Compare one box an image with a box for each region above the threshold, by average precision on boxed test images.

    python -m benchmarks.regions models/CELL/best.pt

Run in a project's folder. A box is right if its class is, and if its IoU with a true box that no box of a higher score
has is at least 0.5. Precision and recall are of all boxes of all images together, in order of their scores; the
intervals are of 2000 bootstrap resamples of the images, the same for both.
"""

import argparse
from pathlib import Path

import numpy as np

from acol.data.images import read_image
from acol.data.manifest import Image, read_manifest
from acol.metrics.boxes import half_open_iou
from acol.metrics.scored import resampled_weights
from acol.prediction.label_files import PredictedImage
from acol.setting_types import RIGHT_IOU
from pipeline.params import load_params
from pipeline.places import MANIFEST
from pipeline.tracking.registry import load_predictor

Found = list[tuple[int, float, bool]]  # image, score, right


def matched(number: int, image: Image, row: PredictedImage) -> Found:
    """Match an image's drafts, the highest score first, each with the best true box that is left."""
    left = [np.array(box, float) for box in image.boxes or ()]
    found: Found = []
    for draft in sorted(row.drafts, key=lambda draft: -draft.score):
        iou = [float(half_open_iou(np.array(draft.box, float), box)) for box in left]
        right = row.label == image.label and bool(iou) and max(iou) >= RIGHT_IOU
        if right:
            left.pop(int(np.argmax(iou)))
        found.append((number, draft.score, right))
    return found


def average_precision(found: Found, truths: np.ndarray, weights: np.ndarray) -> float:
    """Return the area under precision by recall, each image counted as often as its weight says."""
    images, scores, right = (np.array(column) for column in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    counts, hits = weights[images[order]], right[order]
    recalled = (counts * hits).cumsum()
    precision = recalled / np.maximum(counts.cumsum(), 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * np.diff(recalled, prepend=0)).sum() / (truths * weights).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    arguments = parser.parse_args()
    manifest = read_manifest(MANIFEST, load_params().data.root)
    images = [image for image in manifest.of("test") if image.boxes]
    predictor = load_predictor(arguments.model, Path.cwd())
    found: dict[str, Found] = {"largest": [], "all": []}
    for number, image in enumerate(images):
        picture = read_image(manifest.root / image.path)
        prediction = predictor.predict([picture])[0]
        for name in found:
            row = PredictedImage.of(image.path, image.path, prediction, name == "all")
            found[name] += matched(number, image, row)
    truths = np.array([len(image.boxes or ()) for image in images], float)
    draws = np.concatenate(list(resampled_weights(len(images), 2000, 0)))
    print(f"{len(images)} images with {truths.sum():.0f} boxes, {(truths > 1).sum()} images with several")
    print("| Boxes | Written | Right | Average precision |\n| :-- | --: | --: | --: |")
    drawn = {}
    for name, drafts in found.items():
        value = average_precision(drafts, truths, np.ones(len(images)))
        drawn[name] = [average_precision(drafts, truths, weights) for weights in draws]
        low, high = np.quantile(drawn[name], (0.025, 0.975))
        right = sum(hit for *_, hit in drafts)
        print(f"| {name} | {len(drafts)} | {right} | {100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}] |")
    low, high = 100 * np.quantile(np.subtract(drawn["all"], drawn["largest"]), (0.025, 0.975))
    print(f"all minus largest: [{low:.1f}, {high:.1f}] points")


if __name__ == "__main__":
    main()
