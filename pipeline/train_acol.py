"""train_acol: train one model on a folder of labelled images, without DVC: model, scores, pictures and an MLflow run.

    acol train photos
    python -m pipeline.train_acol --image-path photos --model resnet101 --cls-recipe pp --delta-list 0.9

Settings that the command line does not name are from pipeline/defaults.yaml, wherever it is called, or from the file
that --params names. OUTPUT has the pipeline's layout: data/split, models/CELL, results/CELL and cams/CELL. It is never
another training's: without --output the runs are numbered (one-off, one-off-2), and a killed one goes on in its own.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

from acol.data.manifest import Manifest, read_manifest, write_manifest
from acol.data.transforms import Preprocessing
from acol.errors import Faults, InputError
from acol.files import sha256
from acol.head import Head
from acol.ingest.summary import summary
from acol.network.backbones import TIMM, ImageNetClassifier, imagenet_classifier, provenance_of, size_fault
from acol.network.pieces import FREEZE
from acol.network.precision import choose_device, choose_precision
from acol.network.weights import PACKAGE, PACKAGES
from acol.training.settings import TrainingSettings
from pipeline import cams, cli
from pipeline.evaluate import Subject, outputs_of, score, with_epochs, write_results
from pipeline.live import LiveRun
from pipeline.params import Params, Train, check, load_params, part_of
from pipeline.places import CACHE, MANIFEST, RUNS, model, read_json, results, timing
from pipeline.split import split
from pipeline.track import track_one
from pipeline.tracking.store import StoreError, database_of, failures, open_store, store_uri
from pipeline.train import Job, boxes_of, fit, network_of

EXPERIMENT = "train_acol"
DEFAULTS = Path(__file__).with_name("defaults.yaml")
MODEL = "timm/tf_efficientnet_lite0"  # its ImageNet weights are installed with the project
DELTA = 0.9  # default of every erasing step: the better one of the founding script
LARGEST = 1792  # pixels a side: training crops from images of 8/7 of it, which is 2048
UNREAD = Manifest(Path(), ("one class", "another"), ())  # stands for the images until all else has been checked
EXAMPLES = """\
examples:
  acol train photos
      photos/ holds a folder of images for each class, or train/, val/ and test/ with such folders
  acol train photos --model resnet101 --cls-recipe pp --delta-list 0.9 --epochs 10 --output mine
      with another backbone, recipe and output folder"""


def base_settings() -> Params:
    """Return the settings of the file that --params names, else the package's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--params", type=Path, default=DEFAULTS)
    return load_params(parser.parse_known_args()[0].params)


def read_arguments(params: Params) -> argparse.Namespace:
    """Read the command line; its defaults are the params'. Raises `InputError` without a folder of images."""
    train = params.train
    parser = argparse.ArgumentParser(
        prog=cli.program("pipeline.train_acol"),
        description="Train one ACoL model on a folder of labelled images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # The images, in place or by one of two names.
    parser.add_argument("image_path", metavar="FOLDER", type=Path, nargs="?", help="class folders, or train, val, test")
    parser.add_argument("--image-path", "--input-path", dest="named_path", metavar="FOLDER", type=Path, help="same")
    parser.add_argument(
        "--test-from",
        choices=("val", "train"),
        help="if FOLDER has train and val but no test: test on val, or on a part of train",
    )
    # The network: what it is, and where its training starts.
    parser.add_argument("--model", default=MODEL, help="torchvision's name, or timm/NAME (default: %(default)s)")
    parser.add_argument(
        "--cls-recipe",
        default="pp",
        help="a letter per classifier, p or n, or a whole head such as pp-0.6-conv3 (default: %(default)s)",
    )
    parser.add_argument(
        "--delta-list", default="", help=f"a threshold for each erasing step, e.g. 0.9,0.7 (default: {DELTA} for each)"
    )
    parser.add_argument(
        "--weights",
        help="package (installed weights), a name such as DEFAULT, a file, or none (default: package where it has "
        "weights of the model, else DEFAULT)",
    )
    parser.add_argument(
        "--freeze",
        help=f"part of the backbone that is not trained: {', '.join(FREEZE)}, or a module (default: {train.freeze} for "
        "a model that the settings name, else none)",
    )
    # The training. All defaults are those of the settings file.
    size = params.image.size
    parser.add_argument("--image-size", type=int, default=size, help="pixels a side (default: %(default)s)")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=train.batch_size,
        help="images a step, at most as many as there are to train on (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=train.epochs, help="over the images (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=train.lr, help="learning rate (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=train.weight_decay, help="default: %(default)s")
    parser.add_argument("--device", default=train.device, help="auto, cpu, cuda (default: %(default)s)")
    # Where results go, and the settings that have no option.
    parser.add_argument("--output", type=Path, help="output folder (default: one-off, one-off-2, ...)")
    parser.add_argument("--params", type=Path, help="a file like params.yaml, for what no option sets")
    arguments = parser.parse_args()
    # What argparse cannot say: one folder by either name, and defaults that depend on the model.
    if (arguments.image_path is None) == (arguments.named_path is None):
        raise InputError("name one folder of images, such as acol train photos")
    arguments.image_path = arguments.image_path or arguments.named_path
    if arguments.weights is None:
        arguments.weights = PACKAGE if arguments.model.removeprefix(TIMM) in PACKAGES else "DEFAULT"
    if arguments.freeze is None:
        # A module's name is valid only for its own network; the words of FREEZE are valid for all.
        known = {entry.model or name for name, entry in params.backbones.items()}
        arguments.freeze = train.freeze if train.freeze in FREEZE or arguments.model in known else "none"
    return arguments


def head_of(arguments: argparse.Namespace) -> Head:
    """Return the head of the letters and deltas, or the one given; without any delta each erasing step has `DELTA`.

    Raises `InputError` for a malformed head, and for a seed, which is a setting here.
    """
    letters = arguments.cls_recipe
    deltas = [delta for delta in arguments.delta_list.split(",") if delta]
    if "-" not in letters:
        deltas = deltas or [str(DELTA)] * (len(letters) - 1)
    head = Head.parse("-".join([letters, *deltas]))
    if head.seed is not None:
        raise InputError(f"--cls-recipe {letters}: names a seed; remove it, and set train.seed by --params FILE")
    return head


def settings_from(arguments: argparse.Namespace, params: Params) -> TrainingSettings:
    """Return the training settings: the command line's, else the params'. Raises `Faults` for bad values."""
    named = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr", "weight_decay", "freeze")}
    try:
        checked = check(Train, asdict(params.train) | named)
    except Faults as error:
        raise Faults([f"--{line.replace('_', '-', 1)}" for line in error.faults]) from None
    # The fresh classifiers keep their rate in proportion to the trunk's.
    rate = params.train.classifier_lr / params.train.lr * checked.lr
    return part_of(TrainingSettings, checked, classifier_lr=rate)


def size_of(arguments: argparse.Namespace) -> int:
    """Return the images' side in pixels. Raises `InputError` if the backbone does not take it."""
    if not 32 <= arguments.image_size <= LARGEST:
        raise InputError(f"--image-size {arguments.image_size}: choose 32 to {LARGEST} pixels")
    if fault := size_fault(arguments.model, arguments.image_size):
        raise InputError(f"--image-size {arguments.image_size}: {fault}")
    return int(arguments.image_size)


def job_of(arguments: argparse.Namespace, params: Params) -> Job:
    """Return the training that the command line asks for, without images yet.

    Raises `InputError` for all that can be refused without reading them.
    """
    head = head_of(arguments)
    settings, size = settings_from(arguments, params), size_of(arguments)
    weights = None if arguments.weights == "none" else arguments.weights
    path = Path(weights) if weights and Path(weights).is_file() else None
    facts = provenance_of(arguments.model, path or weights)
    backbone = re.sub(r"\W", "_", arguments.model.removeprefix("timm/"))  # it names files
    device = choose_device(arguments.device)
    crop_from = round(size * params.image.train_size / params.image.size)
    preprocessing = Preprocessing(size, crop_from, facts.mean, facts.std)
    job = Job(
        cell=f"{backbone}-{head}",
        backbone=backbone,
        model=arguments.model,
        head=head,
        manifest=UNREAD,
        weights=str(path) if path else weights,
        classifier=classifier_of(arguments.model, path or weights, settings),
        weights_sha256=sha256(path) if path else None,
        output_stride=params.train.output_stride,
        preprocessing=preprocessing,
        settings=settings,
        device=device,
        precision=choose_precision(params.train.precision, device),
        parameters={f"train.{name}": value for name, value in asdict(settings).items()}
        | {"train.output_stride": params.train.output_stride, "pretrained": weights}
        | {f"image.{name}": value for name, value in asdict(preprocessing).items()},
    )
    network_of(job).backbone.freeze(settings.freeze)
    return job


def with_images(job: Job, manifest: Manifest, best_by: str) -> Job:
    """Return the job on these images; its batches are no larger than their training set."""
    settings, images = job.settings, len(manifest.of("train"))
    if settings.batch_size > images:
        print(f"--batch-size {settings.batch_size}: only {images} images to train on, so {images}", file=sys.stderr)
        settings = replace(settings, batch_size=images)
    return replace(
        job,
        manifest=manifest.for_training(),
        settings=settings,
        boxes=boxes_of(manifest.of("val"), job.backbone, best_by),
        parameters=job.parameters | {"train.batch_size": settings.batch_size},
    )


def output_of(job: Job, manifest: Manifest, named: Path | None) -> Path:
    """Return the named folder, else the first of one-off, one-off-2, ... that holds no other training.

    Raises `InputError` where the named one holds another training.
    """
    if named is not None:
        if held := _held(job, manifest, named):
            raise InputError(f"--output {named}: holds {held}; name another folder")
        return named
    folders = (Path(f"one-off-{number}" if number > 1 else "one-off") for number in count(1))
    return next(folder for folder in folders if _held(job, manifest, folder) is None)


def _held(job: Job, manifest: Manifest, output: Path) -> str | None:
    """Say what of another training `job` would overwrite there; None if nothing."""
    if (output / MANIFEST).exists():
        with suppress(InputError):  # raised for one that another version wrote
            if read_manifest(output / MANIFEST, manifest.root).digest() == manifest.digest():
                return _other_settings(job, output)
        return "a training on other images"
    return _other_settings(job, output)


def _other_settings(job: Job, output: Path) -> str | None:
    keys = [state.name[-16:] for state in (output / RUNS).glob(f"{job.cell}-{'[0-9a-f]' * 16}")]  # unfinished
    if (summary := output / model(job.cell) / "summary.json").exists():
        keys.append(read_json(summary)["key"][:16])
    ours = job.key(int(os.environ.get("WORLD_SIZE", "1")))[:16]
    return f"a training of {job.cell} with other settings" if keys and ours not in keys else None


def classifier_of(backbone: str, weights: str | Path | None, settings: TrainingSettings) -> ImageNetClassifier | None:
    """Return the ImageNet classifier that training may start from, if the weights have one."""
    if weights is None or settings.classifiers == "fresh":
        return None
    with suppress(InputError):
        return imagenet_classifier(backbone, weights)
    return None


def run(job: Job, manifest: Manifest, params: Params, output: Path) -> None:
    """Train, evaluate and draw into `output`."""
    folder = output / model(job.cell)
    fit(job, folder, output / timing(job.cell), output / RUNS, output / CACHE)
    subject = Subject.load(folder / "best.pt", manifest, output / CACHE, job.device)
    outputs = outputs_of(subject, params.evaluate)
    evaluation = with_epochs(score(subject, params.evaluate, outputs), folder, manifest)
    write_results(evaluation, outputs["test"], output / results(job.cell))
    cams.draw_cell(output, job.cell, job.head.recipe, manifest, params.cams)
    print(json.dumps(evaluation.metrics, indent=2))


def watched(job: Job, manifest: Manifest, params: Params, output: Path) -> None:
    """Do `run` while a thread shows the training's curve in the MLflow store of this folder."""
    with tempfile.NamedTemporaryFile(prefix="acol-", suffix=".jsonl") as events:
        os.environ["ACOL_EVENTS"] = events.name
        live = LiveRun(Path(events.name), Path.cwd(), lambda: EXPERIMENT, os.environ.pop("MLFLOW_RUN_ID", None))
        live.start()
        status = "FAILED"
        try:
            run(job, manifest, params, output)
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            live.end(status)
            live.join(10)


def record(cell: str, output: Path) -> str:
    """Complete the run of a trained cell in MLflow, and return where it is; warn if MLflow fails."""
    try:
        uri = store_uri(Path.cwd())
        with failures(uri):
            open_store(Path.cwd(), EXPERIMENT)
        os.environ["MLFLOW_TRACKING_URI"] = uri  # the store of this folder, not of the output folder
        track_one(cell, output, EXPERIMENT)
    except StoreError as error:
        print(f"warning: {error}; the files in {output} are complete", file=sys.stderr)
        return "none"
    place = database_of(uri) or "the server that MLFLOW_TRACKING_URI names"
    return f"{cell}, in the experiment {EXPERIMENT} of {place}"


@cli.main
def main() -> None:
    """Train, evaluate, draw and track one model, and print where all results are."""
    params = base_settings()
    arguments = read_arguments(params)
    job, data = job_of(arguments, params), params.data
    section = {name: getattr(data, name) for name in ("val_fraction", "test_fraction", "seed", "unreadable")}
    section["path"] = str(arguments.image_path.absolute())
    if arguments.test_from:
        section["test_from"] = arguments.test_from
    reading = split(section)
    print(summary(reading))
    manifest = reading.manifest
    job = with_images(job, manifest, params.train.best_by)
    output = output_of(job, manifest, arguments.output)
    write_manifest(output / MANIFEST, manifest)
    watched(job, manifest, params, output)
    tracked, checkpoint = record(job.cell, output), output / model(job.cell) / "best.pt"
    lines = [
        f"model:      {checkpoint}",
        f"scores:     {output / results(job.cell) / 'metrics.json'}",
        f"pictures:   {output / 'cams' / job.cell}",
        f"MLflow run: {tracked}",
        f"next:       acol predict IMAGE... --model {checkpoint} --out predictions",
    ]
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
