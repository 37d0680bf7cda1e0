"""pretrained: one verified weights file for a backbone, from a package, torchvision, timm or a file.

The only stage that touches the network.
"""

import argparse
import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from acol.errors import InputError, did_you_mean
from acol.files import atomic_folder, sha256
from acol.network.backbones import build_backbone, imagenet_classifier, load_weights, provenance_of
from acol.network.features import Backbone
from acol.network.weights import tensor_bytes, triple, weights_file
from pipeline import cli
from pipeline.params import Params, Pretrained, load_params
from pipeline.places import pretrained


def trunk_of(name: str, model: str, source: Pretrained) -> tuple[Backbone, Path | None]:
    """Return the backbone with its weights, and the file that they came from, if known.

    Raises `InputError` for weights that cannot be fetched, have another hash than in params.yaml, or are of another
    model.
    """
    if source.source in ("package", "torchvision"):
        return build_backbone(model, weights=source.weights or "package"), None
    path = file_of(name, model, source)
    found = sha256(path)
    if source.sha256 is not None and found != source.sha256:
        raise InputError(f"backbones.{name}.sha256: {path} has {found}; correct the key, or fetch the file again")
    backbone = build_backbone(model)
    load_weights(backbone, path)
    facts = backbone.provenance
    if source.source == "timm":
        facts = provenance_of(model, source.weights or "DEFAULT")
    backbone.provenance = replace(facts, mean=triple(source.mean or facts.mean), std=triple(source.std or facts.std))
    return backbone, path


def file_of(name: str, model: str, source: Pretrained) -> Path:
    """Return the weights file that params.yaml names, or that timm fetches."""
    if source.source == "timm":
        from acol.network import timm_models

        return timm_models.fetch(model, source.weights or "DEFAULT")
    path = Path(source.path or "")
    if not os.path.isfile(path):  # False, not an error, for names that no file system allows
        raise InputError(f"backbones.{name}.path: {path}: no such file; correct the path")
    return path


def write_weights(name: str, params: Params, folder: Path) -> None:
    """Write the files that training starts from.

    They are `weights.pth`, the trunk's state dict with its library's names; `classifier.pth`, its ImageNet classifier,
    if it has one; and `source.json`, which says where both are from.
    """
    source, model = params.backbones[name], params.model_of(name)
    backbone, path = trunk_of(name, model, source)
    facts = backbone.provenance
    given = {key: value for key, value in asdict(source).items() if value is not None}
    description = {"backbone": name, **given, **facts.values()}
    description["licence"] = facts.licence or "not stated by the publisher"
    if path is not None:
        description["sha256"] = sha256(path)
    (folder / "weights.pth").write_bytes(tensor_bytes(weights_file(backbone.library_state(), facts)))
    description["weights_sha256"] = sha256(folder / "weights.pth")
    with suppress(InputError):  # not every backbone has one
        classifier = imagenet_classifier(model, path or source.weights or "package")
        (folder / "classifier.pth").write_bytes(tensor_bytes(classifier._asdict()))
    (folder / "source.json").write_text(json.dumps(description, indent=2) + "\n")


@cli.main
def main() -> None:
    """Make `pretrained/BACKBONE`."""
    parser = argparse.ArgumentParser(description="Fetch and check the weights of one backbone.")
    parser.add_argument("backbone", help="name of an entry under backbones in params.yaml")
    name = parser.parse_args().backbone
    params = load_params()
    if name not in params.backbones:
        raise InputError(f"params.yaml: backbones has no {name}; {did_you_mean(name, params.backbones)}")
    with atomic_folder(pretrained(name)) as folder:
        write_weights(name, params, folder)
        source = json.loads((folder / "source.json").read_text())
    print(f"{pretrained(name)}: {source['model']}, weights {source['weights']}, licence {source['licence']}")


if __name__ == "__main__":
    main()
