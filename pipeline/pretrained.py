"""pretrained: writes one verified file of weights for a backbone, from a package, torchvision, timm or a file.

This is the only stage that uses the network.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from acol.errors import InputError
from acol.files import atomic_folder, sha256
from acol.network.backbones import build_backbone, imagenet_classifier, load_weights, provenance_of
from acol.network.base_backbone import Backbone
from acol.network.weights import tensor_bytes, triple, weights_file
from pipeline import cli
from pipeline.params import Params, Pretrained
from pipeline.places import pretrained


def write_weights(params: Params, name: str) -> dict[str, Any]:
    """Write the files with which training starts into `pretrained/NAME`, and return the content of `source.json`.

    `source.json` says where the weights are from. `weights.pth` is the backbone's state dict with its library's names.
    `classifier.pth` is the backbone's ImageNet classifier, if it has one. There is no file of random weights, since
    each training draws its own.

    Raises `InputError` for weights that cannot be fetched, have another hash than in params.yaml, or are of another
    model.
    """
    source, model = params.source_of(name), params.model_of(name)
    backbone, path = _backbone_with_weights(name, model, source)
    facts = backbone.provenance
    settings = {key: value for key, value in asdict(source).items() if value is not None}
    description = {"backbone": name, **settings, **facts.values()}
    description["licence"] = facts.licence or "not stated by the publisher"
    if path is not None:
        description["sha256"] = sha256(path)
    with atomic_folder(pretrained(name)) as folder:
        if source.source != "none":
            content = weights_file(backbone.library_module.state_dict(), facts)
            (folder / "weights.pth").write_bytes(tensor_bytes(content))
            description["weights_sha256"] = sha256(folder / "weights.pth")
            with suppress(InputError):  # not every backbone has an ImageNet classifier
                classifier = imagenet_classifier(model, path or source.weights or "package")
                (folder / "classifier.pth").write_bytes(tensor_bytes(classifier._asdict()))
        (folder / "source.json").write_text(json.dumps(description, indent=2) + "\n")
    return description


def _backbone_with_weights(name: str, model: str, source: Pretrained) -> tuple[Backbone, Path | None]:
    """Return the backbone with its weights, and the file from which these were read, if known."""
    # For the package and torchvision the library finds its own file.
    if source.source not in ("file", "timm"):
        return build_backbone(model, weights=None if source.source == "none" else source.weights or "package"), None
    facts, path = None, Path(source.path or "")
    if source.source == "timm":
        from acol.network import timm_models

        path = timm_models.fetch(model, source.weights or "DEFAULT")
        facts = provenance_of(model, source.weights or "DEFAULT")
    elif not os.path.isfile(path):  # for names that no file system allows, Path.is_file would raise an error
        raise InputError(f"backbones.{name}.path: {path}: no such file; correct the path")
    if source.sha256 not in (None, actual := sha256(path)):
        raise InputError(f"backbones.{name}.sha256: {path} has {actual}; correct the key, or fetch the file again")
    # The mean and deviation of the settings come before those of the library.
    backbone = build_backbone(model)
    load_weights(backbone, path)
    facts = facts or backbone.provenance
    backbone.provenance = replace(facts, mean=triple(source.mean or facts.mean), std=triple(source.std or facts.std))
    return backbone, path


@cli.main
def main() -> None:
    """Make `pretrained/BACKBONE`."""
    params, name = cli.backbone_argument("Fetch and check the weights of one backbone.")
    source = write_weights(params, name)
    print(f"{pretrained(name)}: {source['model']}, weights {source['weights']}, licence {source['licence']}")


if __name__ == "__main__":
    main()
