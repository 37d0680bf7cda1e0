"""train: trains one cell, and writes its checkpoints and history. An interrupted training can go on.

`main` makes a job from params.yaml (`job_of`), and `fit` runs it. The loop over epochs and steps is in
`acol.training.loop`. Around it, this file begins a training (`training_of`) or restores one, saves its state
(`saving`), and writes the results (`write_outputs`).
"""

import csv
import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

import acol
from acol.data.loading import load_split
from acol.data.manifest import Image, Manifest, read_manifest
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.files import atomic_folder, atomic_write, sha256
from acol.head import CONV1, Head
from acol.network.backbones import ImageNetClassifier
from acol.network.checkpoint import ModelCard, save_model
from acol.network.distributed import World, connected
from acol.network.model import ACoL
from acol.network.precision import choose_device, choose_precision
from acol.network.weights import read_tensors, tensor_bytes
from acol.training.initial_classifiers import start_classifiers
from acol.training.loop import Training
from acol.training.resume import RunState
from acol.training.settings import TrainingSettings
from acol.training.validation import mapped_images
from pipeline import cli
from pipeline.params import Cell, Params, part_of
from pipeline.places import CACHE, CHOICE, LABELS, RUNS, model, pretrained, read_json, timing
from pipeline.progress import announce, emit, emit_epoch, epoch_line

_SAVE_EVERY = 30.0  # seconds of training that are lost at most if the process is killed


@dataclass(frozen=True)
class Job:
    """Everything that determines a training: the same job gives the same bits on the same machine.

    `boxes` are the validation images with their boxes, if these choose the epoch.
    """

    cell: str
    backbone: str
    model: str
    head: Head
    manifest: Manifest
    weights: str | None
    classifier: ImageNetClassifier | None
    weights_sha256: str | None
    output_stride: int
    preprocessing: Preprocessing
    settings: TrainingSettings
    device: torch.device
    precision: str
    parameters: dict[str, Any]
    boxes: tuple[Image, ...] = ()

    def key(self, processes: int) -> str:
        """Return a digest of what is trained and of what in the machine changes its bits: device, torch, threads."""
        machine = [self.device.type, self.precision, torch.__version__, torch.get_num_threads(), processes]
        return digest([self.content(), machine])

    def content(self) -> str:
        """Return a digest of what is trained, the same on every machine: code, data, weights and settings."""
        start = tensor_bytes(self.classifier._asdict()) if self.classifier else b""
        return digest(
            [
                code_of("data", "network", "training"),
                hashlib.sha256(start).hexdigest(),
                [self.model, str(self.head.without_seed), self.weights_sha256 or self.weights, self.output_stride],
                [image.boxes for image in self.boxes],
                [self.manifest.digest(), asdict(self.preprocessing), asdict(self.settings)],
            ]
        )


def digest(facts: Sequence[Any]) -> str:
    """Return the SHA-256 of facts as JSON."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def code_of(*folders: str) -> list[str]:
    """Return the digests of all modules in the package acol itself and in some of its folders."""
    package = Path(str(acol.__file__)).parent
    files = [*package.glob("*.py"), *(file for name in folders for file in (package / name).rglob("*.py"))]
    return [sha256(file) for file in sorted(files)]


def fit(job: Job, folder: Path, timing_file: Path, runs: Path = RUNS, cache: Path = CACHE) -> None:
    """Train a job, or continue it where it was interrupted, and write its results into `folder` and `timing_file`.

    If `folder` holds the results already, nothing is done. Otherwise it gets best.pt, last.pt, val_maps.npz,
    history.csv and summary.json. SIGTERM and SIGINT save the state and exit with 143 and 130. Of the processes that
    `torchrun` starts, only the first writes.
    """
    with connected(job.device) as world:
        key = job.key(world.size)
        if is_trained(folder, key):
            print(f"{job.cell}: is trained already")
            if world.first:
                delete_states(job.cell, runs)  # it may have been killed before it could do this
            return
        state = RunState(runs / f"{job.cell}-{key[:16]}")
        with state.locked() if world.first else nullcontext():
            # Begin, or restore an interrupted training. Its earlier events are sent again, since their reader may be
            # new too.
            training = training_of(job, cache, world)
            saved = state.load()
            if saved:
                training.load_state_dict(saved)
            if world.first:
                emit("start", cell=job.cell, key=key, parameters=job.parameters)
                for result in training.results:
                    emit_epoch(result)
                if saved:
                    at = f"epoch {len(training.results)}, step {training.step}"
                    print(f"{job.cell}: going on after {at}", file=sys.stderr)

            # Train in every process. The first one reports each epoch and saves between steps.
            with saving(state) as after_step:
                for result in training.epochs(after_step):
                    if world.first:
                        emit_epoch(result)
                        print(f"{job.cell} {epoch_line(result)}", flush=True)

            # Write, and only then delete the states of this training and outdated states of the same cell.
            if world.first:
                write_outputs(job, key, training, folder, timing_file)
                delete_states(job.cell, runs)


def is_trained(folder: Path, key: str) -> bool:
    """Return whether a folder holds the finished training of a key. The folder is only written when it is complete."""
    summary = folder / "summary.json"
    return summary.exists() and read_json(summary).get("key") == key


def delete_states(cell: str, runs: Path) -> None:
    """Delete the saved states of a cell's trainings."""
    for state in runs.glob(f"{cell}-{'[0-9a-f]' * 16}"):
        RunState(state).clear()


def network_of(job: Job) -> ACoL:
    """Return the job's network before training. Raises `InputError` for settings that its backbone does not take."""
    torch.manual_seed(job.settings.seed)
    model = ACoL(
        job.model,
        job.head.recipe,
        len(job.manifest.classes),
        job.weights,
        job.output_stride,
        job.head.classifier,
        job.settings.conv3,
    )
    model.backbone.check_size(job.preprocessing.size)
    return model


def training_of(job: Job, cache: Path, world: World) -> Training:
    """Return the job's training at its beginning."""
    model, preprocessing = network_of(job), job.preprocessing
    train = load_split(job.manifest, "train", preprocessing.train_size, cache)
    if job.settings.classifiers == "auto" and job.head.classifier == CONV1 and job.classifier is not None:
        start_classifiers(model, job.classifier, train, preprocessing, job.device, job.precision)
    localize = None
    if job.boxes:
        # Imported here, since no other training depends on how maps are scored.
        from acol.localization.epochs import localization_of

        localize = partial(localization_of, images=[job.boxes[index] for index in mapped_images(len(job.boxes))])
    return Training(
        model=model,
        train=train,
        val=load_split(job.manifest, "val", preprocessing.size, cache),
        preprocessing=preprocessing,
        settings=job.settings,
        device=job.device,
        precision=job.precision,
        cache=cache,
        world=world,
        localize=localize,
        method=job.head.method,
    )


@contextmanager
def saving(state: RunState) -> Iterator[Callable[[Training], None]]:
    """Yield a function that must be called after each step: it saves the training's state every 30 seconds.

    After SIGTERM or SIGINT in any of its processes, it saves at once and ends the process.
    """
    received, last, warned = 0, time.monotonic(), False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = received or number

    def after_step(training: Training) -> None:
        nonlocal last, warned
        stop = training.world.largest(received)  # all processes must stop after the same step
        if training.world.first and (stop or time.monotonic() - last > _SAVE_EVERY):
            steps = len(training.results) * training.steps_per_epoch + training.step
            try:
                state.save(steps, training.state_dict())
            except OSError as error:
                lost = "the steps since the last state are lost" if stop else "training goes on without a newer state"
                if stop or not warned:
                    print(f"warning: {error.filename}: {error.strerror}; {lost}", file=sys.stderr)
                warned = True
            last = time.monotonic()
        if stop:
            if training.world.first:
                print("stopped; run the same command again to continue", file=sys.stderr)
            sys.exit(128 + stop)

    handlers = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield after_step
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def write_outputs(job: Job, key: str, training: Training, folder: Path, timing_file: Path) -> None:
    """Write the files of a finished training."""
    # What a checkpoint must say of its model, so that it can be used anywhere.
    card = ModelCard(
        backbone=job.model,
        recipe=str(job.head.recipe),
        classifier=job.head.classifier,
        pooling=job.head.classifier != CONV1 and job.settings.conv3.pooling,
        output_stride=job.output_stride,
        classes=job.manifest.classes,
        preprocessing=job.preprocessing,
        precision=job.precision,
        provenance=training.model.backbone.provenance,
    )
    # What the later stages and MLflow show of the training.
    summary = {
        "cell": job.cell,
        "key": key,
        "backbone": job.backbone,
        "head": str(job.head.without_seed),
        "recipe": str(job.head.recipe),
        "letters": job.head.recipe.letters,
        "deltas": job.head.recipe.deltas,
        "classifier": job.head.classifier,
        "method": job.head.method,
        "seed": job.settings.seed,
        "num_classes": len(job.manifest.classes),
        "classes": job.manifest.classes,
        "parameters": job.parameters,
        "best_epoch": training.best.epoch,
        "epochs_run": len(training.results),
        "stopped_early": training.stopped_early,
        "best_val_accuracy": training.best.val.accuracy,
        "best_val_loss": training.best.val.loss,
        "best_by": training.best_by,
        "data_sha256": job.manifest.digest(),
        "weights_sha256": job.weights_sha256,
        "device": job.device.type,
        "precision": job.precision,
    }
    # Times differ between equal trainings. So they are in a file of their own, and no score depends on it.
    with atomic_write(timing_file) as temporary:
        write_table(temporary, [result.timing() for result in training.results])
    with atomic_folder(folder) as temporary:
        save_model(temporary / "best.pt", card, training.best_state)
        last = {name: value.cpu() for name, value in training.model.state_dict().items()}
        save_model(temporary / "last.pt", card, last)
        paths = np.array([training.val.names[index] for index in mapped_images(len(training.val))])
        np.savez(temporary / "val_maps.npz", paths=paths, maps=torch.stack(training.maps).numpy())
        write_table(temporary / "history.csv", [result.row() for result in training.results])
        (temporary / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def write_table(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows, which have the same columns, as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def job_of(params: Params, cell: Cell) -> Job:
    """Return the job of a cell, from its settings, data and pretrained weights."""
    train, source_file = params.train, pretrained(cell.backbone) / "source.json"
    choice = CHOICE / f"{train.best_by}.json"
    if not source_file.exists():
        raise InputError(f"{source_file}: missing; run `dvc repro pretrained@{cell.backbone}` first")
    source = read_json(source_file)
    weights, classifier = (source_file.with_name(f"{name}.pth") for name in ("weights", "classifier"))
    device = choose_device(train.device)
    # Say in the cell's run in MLflow where the weights are from.
    facts = ("model", "weights", "licence", "library", "mean", "std", "size", "interpolation", "sha256")
    origin = {f"pretrained.{key}": source[key] for key in facts if key in source}
    return Job(
        cell=cell.name,
        backbone=cell.backbone,
        model=params.model_of(cell.backbone),
        head=cell.head,
        manifest=read_manifest(LABELS, params.data.root),
        weights=str(weights) if weights.exists() else None,
        classifier=ImageNetClassifier(**read_tensors(classifier)) if classifier.exists() else None,
        weights_sha256=source.get("weights_sha256"),
        output_stride=train.output_stride,
        preprocessing=Preprocessing(**asdict(params.image), mean=tuple(source["mean"]), std=tuple(source["std"])),
        settings=part_of(TrainingSettings, train, seed=cell.seed),
        device=device,
        precision=choose_precision(train.precision, device),
        parameters=params.flat("image", "train") | {"pretrained": source["source"]} | origin,
        boxes=boxes_of(read_manifest(choice, params.data.root).images, cell.name, train.best_by),
    )


def boxes_of(validation: Sequence[Image], cell: str, best_by: str) -> tuple[Image, ...]:
    """Return the validation images whose boxes choose the epoch; none if accuracy chooses.

    If localization should choose but images lack boxes, a line on stderr says so.
    """
    if best_by != "localization":
        return ()
    if not validation or not all(image.boxes for image in validation):
        print(f"{cell}: not all validation images have boxes, so accuracy chooses the epoch", file=sys.stderr)
        return ()
    return tuple(validation)


@cli.main
def main() -> None:
    """Train the cell that the command line names."""
    params, cell = cli.cell_arguments("Train one cell, or go on with its training.")
    announce(params, cell, Path())
    fit(job_of(params, cell), model(cell.name), timing(cell.name))


if __name__ == "__main__":
    main()
