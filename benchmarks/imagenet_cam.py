"""Score the class activation maps of a trunk's own ImageNet classifier, without any training: the mark to beat.

    python -m benchmarks.imagenet_cam BACKBONE

Run in a project's folder whose images are split and whose weights are fetched (`dvc repro split pretrained`). Image
size, stride, scales, threshold and protocol are the project's. The classes of the images must bear the names of
ImageNet classes, such as "golf_ball".
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

import torch
from timm.data import ImageNetInfo

from acol.data.manifest import read_manifest
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.network.backbones import CLASSES
from acol.network.checkpoint import ModelCard
from acol.network.model import ACoL
from acol.network.precision import choose_device, choose_precision
from acol.network.weights import read_tensors
from pipeline import cli
from pipeline.evaluate import Subject, outputs_of, score
from pipeline.params import load_params
from pipeline.places import CACHE, MANIFEST, pretrained

SHOWN = ("accuracy_top1", "gt_known_loc", "top1_loc", "max_box_acc_v2")


def imagenet_indices(classes: Sequence[str]) -> list[int]:
    """Return which of ImageNet's 1,000 classes bear these names."""
    known = ImageNetInfo()
    names = {
        name.strip().lower().replace(" ", "_"): index
        for index in reversed(range(CLASSES))
        for name in known.index_to_description(index).split(",")
    }
    unknown = [name for name in classes if name.lower() not in names]
    if unknown:
        raise InputError(f"class {unknown[0]}: no ImageNet class has this name; ImageNet's classifier cannot find it")
    return [names[name.lower()] for name in classes]


@cli.main
def main() -> None:
    """Print the scores of the untrained classifier with their intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", help="an entry of params.yaml's backbones")
    backbone = parser.parse_args().backbone
    params = load_params()
    manifest = read_manifest(MANIFEST, params.data.root)
    source = json.loads((pretrained(backbone) / "source.json").read_text(encoding="utf-8"))
    classifier = read_tensors(pretrained(backbone) / "classifier.pth")
    device = choose_device(params.train.device)
    network = ACoL(
        params.model_of(backbone),
        "p",
        len(manifest.classes),
        pretrained(backbone) / "weights.pth",
        params.train.output_stride,
    )
    chosen = torch.tensor(imagenet_indices(manifest.classes))
    network.classifiers[0].load_state_dict(
        {"weight": classifier["weight"][chosen][:, :, None, None], "bias": classifier["bias"][chosen]}
    )
    card = ModelCard(
        backbone=network.backbone.name,
        recipe="p",
        output_stride=params.train.output_stride,
        classes=manifest.classes,
        preprocessing=Preprocessing(**asdict(params.image), mean=tuple(source["mean"]), std=tuple(source["std"])),
        precision=choose_precision(params.train.precision, device),
    )
    subject = Subject(network.to(device), card, manifest, CACHE, device)
    evaluation = score(subject, params.evaluate, outputs_of(subject, params.evaluate))
    for name in SHOWN:
        if name in evaluation.metrics:
            low, high = (100 * end for end in evaluation.details["intervals"][name])
            print(f"{name}: {100 * evaluation.metrics[name]:.1f} [{low:.1f}, {high:.1f}]")


if __name__ == "__main__":
    main()
