"""Time our training against what one would write first, on the same images in one run.

    python -m benchmarks.training --images FOLDER [--backbones resnet18 resnet50] [--size 224]
    python -m benchmarks.training --images FOLDER --epochs 5   # both to the end: is accuracy traded away?

The baseline: float32, default memory format, `ImageFolder` and `DataLoader` that decode every image anew in the main
process, and `.item()` at each step. Both sides have the same model, loss, optimizer, schedule, batch size and images.
What is timed alternates in blocks of steps; the table gives medians over the blocks of images/s, and of the ratios
within a round. Ours has decoded its images before, and computed what a frozen part makes of them. "One fixed batch" is
our step without its data: the same batch each time, normalised and on the device. With --epochs the time includes all
of that, and our validation after each epoch; a further cell finds decoded images and frozen features. The ratio is of
CPU time, which wanders less where other programs run.
With --freeze ours alone leaves a part of the backbone as it is: a first script trains all of it.
Without --images, footballers are drawn.

What a CPU without AVX-512 does can be tried on one that has it, as long as the precision is named:

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.training --precision float32 ...
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from acol import ACoL
from acol.data.loading import LabelledImages, load_split
from acol.data.manifest import Manifest
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.ingest.folder import read_folder
from acol.losses import classifier_losses
from acol.network.precision import PRECISIONS, autocast, choose_device, choose_precision
from acol.training.loop import Training
from acol.training.settings import TrainingSettings
from examples.footballers.draw import draw_footballers
from pipeline import cli

LR, CLASSIFIER_LR, WEIGHT_DECAY, WARMUP = 1e-3, 2e-3, 0.02, 0.2


@dataclass(frozen=True)
class Setting:
    """What both sides train, on which images, and for how many epochs of how many steps (None: all images)."""

    manifest: Manifest
    backbone: str
    recipe: str
    weights: str | None
    size: int
    batch_size: int
    device: torch.device
    output_stride: int
    freeze: str
    precision: str
    epochs: int
    steps: int | None

    def model(self) -> ACoL:
        torch.manual_seed(0)
        return ACoL(self.backbone, self.recipe, len(self.manifest.classes), self.weights, self.output_stride)

    @property
    def train_size(self) -> int:
        return round(self.size * 8 / 7)


class Baseline:
    """The training loop of a first script."""

    def __init__(self, setting: Setting) -> None:
        self.device = setting.device
        self.model = setting.model().to(self.device)
        mean, std = self.model.backbone.mean, self.model.backbone.std
        normalised = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        root, size, larger, batch_size = setting.manifest.root, setting.size, setting.train_size, setting.batch_size
        augment = [transforms.Resize((larger, larger)), transforms.RandomCrop(size), transforms.RandomHorizontalFlip()]
        self.train = DataLoader(
            ImageFolder(Path(root, "train"), transforms.Compose([*augment, *normalised])),
            batch_size,
            True,
            drop_last=True,
        )
        resized = transforms.Compose([transforms.Resize((size, size)), *normalised])
        self.val = DataLoader(ImageFolder(Path(root, "val"), resized), batch_size)
        if not len(self.train):
            raise InputError(f"{Path(root, 'train')}: fewer images than a batch of {batch_size}; choose a smaller one")
        parameters = [
            {"params": self.model.backbone.parameters(), "lr": LR},
            {"params": self.model.classifiers.parameters(), "lr": CLASSIFIER_LR},
        ]
        self.optimizer = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY)
        total_steps = setting.epochs * (setting.steps or len(self.train)) + 1
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


def ours(setting: Setting, cache: Path) -> Training:
    """Return our training of the same model; with `steps`, an epoch is that many batches."""
    model = setting.model().to(setting.device)
    preprocessing = Preprocessing(setting.size, setting.train_size, model.backbone.mean, model.backbone.std)
    settings = TrainingSettings(
        setting.epochs,
        setting.batch_size,
        LR,
        CLASSIFIER_LR,
        "adamw",
        weight_decay=WEIGHT_DECAY,
        warmup=WARMUP,
        freeze=setting.freeze,
    )
    train = load_split(setting.manifest, "train", preprocessing.train_size, cache)
    val = load_split(setting.manifest, "val", preprocessing.size, cache)
    if setting.steps is not None:
        train, val = first(train, setting.steps * setting.batch_size), first(val, 1)
    return Training(
        model=model,
        train=train,
        val=val,
        preprocessing=preprocessing,
        settings=settings,
        device=setting.device,
        precision=setting.precision,
        cache=cache,
    )


def first(images: LabelledImages, count: int) -> LabelledImages:
    """Return the first images, over again where there are too few."""
    chosen = np.sort(np.resize(np.arange(len(images)), count))
    return LabelledImages(images.pixels[chosen], images.labels[chosen], [images.names[n] for n in chosen])


def fixed_batch(setting: Setting, cache: Path) -> Iterator[int]:
    """Train our way on one batch that lies ready on the device, yielding its size."""
    training = ours(setting, cache)
    training.model.train()
    pixels, labels = (part.to(setting.device) for part in training.train.batch(np.arange(setting.batch_size)))
    images = training.preprocessing.training_view(pixels, training.preprocessing.draw_crops(len(labels)))
    while True:
        with autocast(setting.device, training.precision):
            logits = training.model(images, labels).logits
        training.optimizer.zero_grad(set_to_none=True)
        classifier_losses(logits, labels, training.model.recipe).sum().backward()
        training.optimizer.step()
        yield len(labels)


def block(steps: Iterator[int], count: int, device: torch.device) -> float:
    """Return images/s over the next `count` steps."""
    started = time.perf_counter()
    images = sum(next(steps) for _ in range(count))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - started)


def speed(setting: Setting, other: str, cache: Path) -> None:
    """Print images/s of the baseline, ours, ours of another recipe, and a fixed batch, and the ratios."""
    assert setting.steps is not None
    count, device = setting.steps, setting.device
    baseline, fixed = Baseline(setting).steps(), fixed_batch(setting, cache)
    epochs, others = ours(setting, cache).epochs(), ours(replace(setting, recipe=other), cache).epochs()
    contenders: dict[str, Callable[[], float]] = {
        f"baseline, {setting.recipe}": lambda: block(baseline, count, device),
        f"ours, {setting.recipe}": lambda: next(epochs).train_images_per_s,
        f"ours, {other}": lambda: next(others).train_images_per_s,
        f"one fixed batch, {setting.recipe}": lambda: block(fixed, count, device),
    }
    rounds = [[run() for run in contenders.values()] for _ in range(setting.epochs)][1:]  # the first warms up
    for nth, name in enumerate(contenders):
        per_s, to_baseline, to_ours = (
            statistics.median(each[nth] / each[base] if base is not None else each[nth] for each in rounds)
            for base in (None, 0, 1)
        )
        print(f"| {setting.backbone} | {setting.size} | {name} | {per_s:.1f} | {to_baseline:.2f} | {to_ours:.2f} |")


def accuracy(setting: Setting, cache: Path) -> None:
    """Train both to the end, and ours once more; print validation accuracy and seconds of each."""

    def first_script() -> float:
        baseline = Baseline(setting)
        steps = baseline.steps()
        for _ in range(setting.epochs * len(baseline.train)):
            next(steps)
        return baseline.accuracy()

    slow = 0.0
    for name, train in (
        ("baseline", first_script),
        ("ours", lambda: [*ours(setting, cache).epochs()][-1].val.accuracy),
        ("ours, a further cell", lambda: [*ours(setting, cache).epochs()][-1].val.accuracy),
    ):
        began, began_used = time.perf_counter(), time.process_time()
        reached = train()
        seconds, used = time.perf_counter() - began, time.process_time() - began_used
        slow = slow or used
        what = f"{setting.backbone} | {setting.size} | {name}"
        print(f"| {what} | {reached:.3f} | {seconds:.0f} | {used:.0f} | {slow / used:.2f} |", flush=True)


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time our training against a first script's.")
    parser.add_argument("--images", type=Path, help="train/ and val/ class folders (default: drawn ones)")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--weights", help="pretrained weights: a path, a name, or package; for --epochs")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--output-stride", type=int, default=32)
    parser.add_argument("--freeze", default="none", help="what ours leaves as pretrained, in the words of train.freeze")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="ours; the baseline's is float32")
    parser.add_argument("--steps", type=int, default=4, help="of a timed block (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed blocks of each (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="train both to the end, and compare accuracy")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device, epochs = choose_device(arguments.device), arguments.epochs
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.images or drawn(Path(folder, "drawn"), arguments.size)
        manifest = read_folder(root, val_fraction=0.2, test_fraction=0.2, seed=0, unreadable="stop").manifest
        precision = choose_precision(arguments.precision, device)
        print(f"{device.type}, {torch.get_num_threads()} threads, {precision}, torch {torch.__version__}")
        columns = ("Accuracy", "Seconds", "CPU s", "Ratio") if epochs else ("Images/s", "To baseline", "To ours")
        print(f"| Backbone | Size | What | {' | '.join(columns)} |")
        print(f"| :-- | --: | :-- | {' | '.join(['--:'] * len(columns))} |", flush=True)
        for backbone in arguments.backbones:
            setting = Setting(
                manifest,
                backbone,
                "p",
                arguments.weights,
                arguments.size,
                arguments.batch_size,
                device,
                arguments.output_stride,
                arguments.freeze,
                precision,
                epochs or arguments.rounds + 1,
                None if epochs else arguments.steps,
            )
            if epochs:
                accuracy(setting, Path(folder, "cache"))
            else:
                speed(setting, "pnp-0.9-0.7", Path(folder, "cache"))


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
