"""Time our training against what one would write first, on the same images in one run.

    python -m benchmarks.training [--images FOLDER] [--backbones resnet18 resnet50] [--size 224]
    python -m benchmarks.training --epochs 5   # both to the end: is accuracy traded away?

The baseline: float32, default memory format, `ImageFolder` and `DataLoader` that decode every image anew in the main
process, and `.item()` at each step. Both sides have the same model, loss, optimizer, schedule, batch size and images.
They alternate in blocks of steps; the table gives medians of images/s and their ratio (ours has decoded its images
before). With --epochs, our validation after each epoch is within its time. Without --images, footballers are drawn.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from acol import ACoL
from acol.data.folder import read_folder
from acol.data.loading import LabelledImages, load_split
from acol.data.manifest import Manifest
from acol.data.synthetic import draw_footballers
from acol.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from acol.errors import InputError
from acol.losses import classifier_losses
from acol.precision import choose_device, choose_precision
from acol.training import Training, TrainingSettings
from pipeline import cli

LR, CLASSIFIER_LR, WEIGHT_DECAY, WARMUP = 1e-3, 2e-3, 0.02, 0.2


class Baseline:
    """The training loop of a first script."""

    def __init__(
        self, model: ACoL, root: Path, size: int, batch_size: int, device: torch.device, epochs: int, steps: int | None
    ) -> None:
        normalised = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        larger = round(size * 8 / 7)
        augment = [transforms.Resize((larger, larger)), transforms.RandomCrop(size), transforms.RandomHorizontalFlip()]
        self.model, self.device = model.to(device), device
        self.train = DataLoader(
            ImageFolder(root / "train", transforms.Compose([*augment, *normalised])), batch_size, True, drop_last=True
        )
        resized = transforms.Compose([transforms.Resize((size, size)), *normalised])
        self.val = DataLoader(ImageFolder(root / "val", resized), batch_size)
        if not len(self.train):
            raise InputError(f"{root / 'train'}: fewer images than a batch of {batch_size}; choose a smaller one")
        parameters = [
            {"params": model.backbone.parameters(), "lr": LR},
            {"params": model.classifiers.parameters(), "lr": CLASSIFIER_LR},
        ]
        self.optimizer = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY)
        total_steps = epochs * (steps or len(self.train)) + 1
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [LR, CLASSIFIER_LR], total_steps, pct_start=WARMUP, cycle_momentum=False
        )
        self.losses: list[float] = []

    def steps(self) -> Iterator[int]:
        """Train without end, yielding each batch's size."""
        self.model.train()
        while True:
            for images, labels in self.train:
                target = labels.to(self.device)
                logits = self.model(images.to(self.device), target).logits
                loss = classifier_losses(logits, target, self.model.recipe).sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                self.losses.append(loss.item())
                yield len(labels)

    @torch.no_grad()
    def accuracy(self) -> float:
        """Return the share of validation images that the model gets right."""
        self.model.eval()
        right = [(self.model(x.to(self.device)).logits[0].argmax(1).cpu() == y).sum().item() for x, y in self.val]
        return float(sum(right) / len(self.val.dataset))  # type: ignore[arg-type]


def ours(
    model: ACoL, manifest: Manifest, size: int, batch_size: int, epochs: int, device: torch.device, steps: int | None
) -> Training:
    """Return our training of the same model; with `steps`, an epoch is that many batches."""
    preprocessing = Preprocessing(size, round(size * 8 / 7))
    with tempfile.TemporaryDirectory() as cache:
        train = load_split(manifest, "train", preprocessing.train_size, Path(cache))
        val = load_split(manifest, "val", size, Path(cache))
    if steps is not None:
        train, val = first(train, steps * batch_size), first(val, 1)
    return Training(
        model=model,
        train=train,
        val=val,
        preprocessing=preprocessing,
        settings=TrainingSettings(
            epochs, batch_size, LR, CLASSIFIER_LR, "adamw", weight_decay=WEIGHT_DECAY, warmup=WARMUP
        ),
        device=device,
        precision=choose_precision("auto", device),
    )


def first(images: LabelledImages, count: int) -> LabelledImages:
    """Return the first images, over again where there are too few."""
    chosen = np.sort(np.resize(np.arange(len(images)), count))
    return LabelledImages(images.pixels[chosen], images.labels[chosen], [images.names[n] for n in chosen])


def timed(steps: Iterator[int], count: int) -> float:
    """Return images/s over the next `count` steps."""
    started = time.perf_counter()
    images = sum(next(steps) for _ in range(count))
    return images / (time.perf_counter() - started)


def speed(manifest: Manifest, backbone: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """Print the medians of both sides' images/s over rounds of alternating blocks, and the ratio."""
    models = [ACoL(backbone, arguments.recipe, len(manifest.classes)) for _ in range(2)]
    rounds, steps = arguments.rounds + 1, arguments.steps  # the first warms up
    size, batch_size = arguments.size, arguments.batch_size
    baseline = Baseline(models[0], manifest.root, size, batch_size, device, rounds, steps).steps()
    epochs = ours(models[1], manifest, arguments.size, arguments.batch_size, rounds, device, steps).epochs()
    pairs = [(timed(baseline, steps), next(epochs).train_images_per_s) for _ in range(rounds)][1:]
    theirs, fast = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"| {backbone} | {arguments.size} | {theirs:.1f} | {fast:.1f} | {ratio:.2f} |", flush=True)


def accuracy(manifest: Manifest, backbone: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """Train both to the end; print validation accuracy and seconds of each."""
    epochs = arguments.epochs
    torch.manual_seed(0)
    baseline = Baseline(
        ACoL(backbone, arguments.recipe, len(manifest.classes), arguments.weights),
        manifest.root,
        arguments.size,
        arguments.batch_size,
        device,
        epochs,
        None,
    )
    started = time.perf_counter()
    steps = baseline.steps()
    for _ in range(epochs * len(baseline.train)):
        next(steps)
    theirs, seconds = baseline.accuracy(), time.perf_counter() - started
    torch.manual_seed(0)
    model = ACoL(backbone, arguments.recipe, len(manifest.classes), arguments.weights)
    started = time.perf_counter()
    results = list(ours(model, manifest, arguments.size, arguments.batch_size, epochs, device, None).epochs())
    fast = time.perf_counter() - started
    print(f"| {backbone} | {arguments.size} | {theirs:.3f} in {seconds:.0f} s | ", end="")
    print(f"{results[-1].val.accuracy:.3f} in {fast:.0f} s | {seconds / fast:.2f} |", flush=True)


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time our training against a first script's.")
    parser.add_argument("--images", type=Path, help="train/, val/ and test/ class folders (default: drawn ones)")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--recipe", default="p")
    parser.add_argument("--weights", help="pretrained weights, for --epochs")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="of a timed block (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed blocks of each side (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="train both to the end, and compare accuracy")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.images or drawn(Path(folder), arguments.size)
        manifest, _ = read_folder(root, val_fraction=0.2, test_fraction=0.2, seed=0, unreadable="stop")
        precision = choose_precision("auto", device)
        print(f"{device.type}, {torch.get_num_threads()} threads, {precision}, torch {torch.__version__}; images/s")
        print("| Backbone | Size | Baseline | Ours | Ratio |\n| :-- | --: | --: | --: | --: |")
        for backbone in arguments.backbones:
            (accuracy if arguments.epochs else speed)(manifest, backbone, arguments, device)


def drawn(folder: Path, size: int) -> Path:
    """Draw footballers as train/, val/ and test/ class folders of JPEG files."""
    for split, count, seed in (("train", 160, 0), ("val", 40, 1), ("test", 4, 2)):
        draw_footballers(folder / split, per_class=count, size=max(size, 256), seed=seed)
        for kind in ("masks", "annotations"):
            shutil.rmtree(folder / split / kind)
        for of_class in (folder / split / "images").iterdir():
            of_class.rename(folder / split / of_class.name)
        (folder / split / "images").rmdir()
    return folder


if __name__ == "__main__":
    main()
