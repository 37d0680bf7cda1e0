"""pretrained: one verified weights file for a backbone, from torchvision, from a file, or learnt on a proxy task here.

The only stage that touches the network.
"""

import argparse
import json
import os
from pathlib import Path

import torch

from acol.data.loading import LabelledImages
from acol.data.transforms import Preprocessing
from acol.drawing.proxy import PROXY_CLASSES, proxy_images
from acol.errors import InputError
from acol.files import atomic_folder, sha256
from acol.network.backbones import Backbone, build_backbone, load_weights, torchvision_weights
from acol.network.checkpoint import tensor_bytes
from acol.network.model import ACoL
from acol.network.precision import choose_device, choose_precision
from acol.training.loop import Training
from acol.training.settings import TrainingSettings
from pipeline import cli
from pipeline.params import Params, Pretrained, Proxy, load_params
from pipeline.places import pretrained


def from_file(name: str, source: Pretrained) -> Backbone:
    """Load the trunk of a weights file after checking the file's SHA-256."""
    path = Path(source.path or "")
    if not os.path.isfile(path):  # also False, not an error, for a name that no file system takes
        raise InputError(f"backbones.{name}.path: {path}: no such file; correct the path")
    found = sha256(path)
    if found != source.sha256:
        raise InputError(f"backbones.{name}.sha256: {path} has {found}; correct it, or fetch the file again")
    backbone = build_backbone(name)
    load_weights(backbone, path)
    return backbone


def from_torchvision(name: str, source: Pretrained) -> Backbone:
    """Fetch torchvision's weights; their file name carries the checksum that is verified."""
    return build_backbone(name, weights=source.weights)


def from_proxy(name: str, source: Pretrained, proxy: Proxy) -> tuple[Backbone, dict[str, float]]:
    """Train the trunk on the drawn proxy task; return it with the task's scores."""
    held_out = max(proxy.images // 10, 2 * len(PROXY_CLASSES))
    pixels, labels = proxy_images(proxy.images + held_out, size=proxy.size, seed=proxy.seed)
    names = [f"proxy-{index}" for index in range(len(labels))]
    parts = [
        LabelledImages(pixels[part], labels[part], names[part])
        for part in (slice(proxy.images), slice(proxy.images, None))
    ]
    torch.manual_seed(proxy.seed)
    device = choose_device()
    training = Training(
        model=ACoL(name, "p", len(PROXY_CLASSES)),
        train=parts[0],
        val=parts[1],
        preprocessing=Preprocessing(proxy.size, proxy.size, _triple(source.mean), _triple(source.std)),
        settings=TrainingSettings(**proxy.model_dump(exclude={"images", "size"})),
        device=device,
        precision=choose_precision("auto", device),
    )
    for result in training.epochs():
        print(f"proxy epoch {result.epoch}: loss {result.val.loss:.3f}, accuracy {result.val.accuracy:.3f}", flush=True)
    training.model.load_state_dict(training.best_state)
    return training.model.backbone.cpu(), {"accuracy": training.best.val.accuracy, "loss": training.best.val.loss}


def write_weights(name: str, params: Params, folder: Path) -> None:
    """Write `weights.pth`, the trunk's state dict by torchvision's names, and `source.json`, where it is from."""
    source = params.backbones[name]
    description = {"backbone": name, **source.model_dump(exclude_none=True)}
    if source.source == "proxy":
        backbone, scores = from_proxy(name, source, params.proxy)
        description["proxy"] = scores
    elif source.source == "file":
        backbone = from_file(name, source)
    else:
        backbone = from_torchvision(name, source)
        transforms = torchvision_weights(name, source.weights or "").transforms()
        description |= {"mean": list(transforms.mean), "std": list(transforms.std)}
    (folder / "weights.pth").write_bytes(tensor_bytes(backbone.state_dict()))
    description["weights_sha256"] = sha256(folder / "weights.pth")
    (folder / "source.json").write_text(json.dumps(description, indent=2) + "\n")


def _triple(values: list[float]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]


@cli.main
def main() -> None:
    """Make `pretrained/BACKBONE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backbone", help="an entry of params.yaml's backbones")
    name = parser.parse_args().backbone
    params = load_params()
    if name not in params.backbones:
        raise InputError(f"params.yaml: backbones has no {name}; add {name}: {{source: proxy}}")
    with atomic_folder(pretrained(name)) as folder:
        write_weights(name, params, folder)


if __name__ == "__main__":
    main()
