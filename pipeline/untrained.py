"""untrained: scores the maps of a backbone's own ImageNet classifier on the test images: a baseline without training.

    python -m pipeline.untrained BACKBONE

The classifier of each class is a mixture of ImageNet's classifiers, the one from which training may start
(`acol.training.initial_classifiers`). It needs only the labels of some training images. For a backbone without an
ImageNet classifier `metrics.json` is empty.
"""

from dataclasses import asdict, replace

import torch

from acol.data.loading import load_split
from acol.data.manifest import Manifest, read_manifest
from acol.data.transforms import Preprocessing
from acol.files import atomic_folder
from acol.localization.fusion import MAPS
from acol.network.backbones import ImageNetClassifier
from acol.network.checkpoint import ModelCard
from acol.network.model import ACoL
from acol.network.precision import choose_device, choose_precision
from acol.network.weights import read_tensors
from acol.training.initial_classifiers import start_classifiers
from pipeline import cli
from pipeline.evaluate import Subject, outputs_of, score, write_results
from pipeline.params import Params
from pipeline.places import CACHE, MANIFEST, pretrained, read_json, untrained


def subject_of(params: Params, backbone: str, manifest: Manifest, classifier: ImageNetClassifier) -> Subject:
    """Return the model with the ImageNet classifier, mixed for the classes of the images, ready to be evaluated."""
    source, folder = read_json(pretrained(backbone) / "source.json"), pretrained(backbone)
    device = choose_device(params.train.device)
    precision = choose_precision(params.train.precision, device)
    preprocessing = Preprocessing(**asdict(params.image), mean=tuple(source["mean"]), std=tuple(source["std"]))
    stride, classes = params.train.output_stride, manifest.classes
    torch.manual_seed(0)
    model = ACoL(params.model_of(backbone), "p", len(classes), folder / "weights.pth", stride)
    images = load_split(manifest, "train", params.image.train_size, CACHE)
    start_classifiers(model, classifier, images, preprocessing, device, precision)
    card = ModelCard(params.model_of(backbone), "p", stride, classes, preprocessing, precision)
    return Subject(model, card, manifest, CACHE, device)


def score_untrained(params: Params, backbone: str) -> None:
    """Write into `untrained/BACKBONE` what `evaluate` writes for a cell, or an empty metrics.json."""
    file, folder = pretrained(backbone) / "classifier.pth", untrained(backbone)
    if not file.exists():
        with atomic_folder(folder) as temporary:
            (temporary / "metrics.json").write_text("{}\n")
        return
    manifest = read_manifest(MANIFEST, params.data.root)
    subject = subject_of(params, backbone, manifest, ImageNetClassifier(**read_tensors(file)))
    settings = replace(params.evaluate, faithfulness=0)
    outputs = outputs_of(subject, settings)
    write_results(score(subject, settings, outputs, MAPS), outputs["test"], folder)


@cli.main
def main() -> None:
    """Make `untrained/BACKBONE`."""
    score_untrained(*cli.backbone_argument("Score a backbone's own ImageNet classifier on the test images."))


if __name__ == "__main__":
    main()
