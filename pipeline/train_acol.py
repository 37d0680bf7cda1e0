"""train_acol: train one model on a folder of labelled images, without DVC: model, scores, pictures and an MLflow run.

    python -m pipeline.train_acol --image-path DIR --model resnet101 --cls-recipe pp --delta-list 0.9

What the command line does not name is as in params.yaml. OUTPUT gets the pipeline's own layout: data/split,
models/CELL, results/CELL and cams/CELL.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from acol.data.manifest import Manifest, write_manifest
from acol.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from acol.errors import Faults, InputError
from acol.files import sha256
from acol.ingest.folder import read_folder
from acol.network.backbones import torchvision_weights
from acol.network.precision import choose_device, choose_precision
from acol.recipe import Recipe
from acol.training.settings import TrainingSettings
from pipeline import cams, cli
from pipeline.evaluate import Subject, outputs_of, score, write_results
from pipeline.live import LiveRun
from pipeline.params import Params, explain, load_params
from pipeline.places import CACHE, MANIFEST, RUNS, model, results, timing
from pipeline.track import track_one
from pipeline.tracking.locations import store_uri
from pipeline.tracking.store import StoreError, failures, open_store
from pipeline.train import Job, fit

EXPERIMENT = "train_acol"


def read_arguments(params: Params) -> argparse.Namespace:
    """Read the command line; its defaults are the params'."""
    train = params.train
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.train_acol", description="Train one ACoL model on a folder of labelled images."
    )
    parser.add_argument(
        "--image-path", "--input-path", type=Path, required=True, help="class folders, or train/val/test"
    )
    parser.add_argument("--model", default="resnet50", help="torchvision name of the backbone (default: %(default)s)")
    parser.add_argument("--cls-recipe", default="pp", help="p and n, a letter a classifier (default: %(default)s)")
    parser.add_argument("--delta-list", default="", help="a threshold for each erasing step, e.g. 0.9,0.7")
    parser.add_argument(
        "--weights", default="DEFAULT", help="torchvision weights, a file, or none (default: %(default)s)"
    )
    parser.add_argument("--image-size", type=int, default=224, help="pixels a side (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=train.batch_size, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=train.epochs, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=train.lr, help="of the trunk (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=train.weight_decay, help="default: %(default)s")
    parser.add_argument("--device", default=train.device, help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("one-off"), help="folder (default: %(default)s)")
    return parser.parse_args()


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that letters and deltas make."""
    return Recipe.parse("-".join([arguments.cls_recipe, *filter(None, arguments.delta_list.split(","))]))


def job_of(arguments: argparse.Namespace, params: Params, manifest: Manifest) -> Job:
    """Return the training that the command line asks for."""
    recipe, size = recipe_of(arguments), arguments.image_size
    if not 32 <= size <= 1792:
        raise InputError(f"--image-size {size}: choose 32 to 1792 pixels")
    settings = params.train.model_dump(exclude={"output_stride", "device", "precision"})
    named = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr", "weight_decay")}
    try:
        checked = type(params.train).model_validate(params.train.model_dump() | named)
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in explain(fault)]
        raise Faults([f"--{line.replace('_', '-', 1)}" for line in lines]) from None
    ratio = params.train.classifier_lr / params.train.lr
    settings |= checked.model_dump(include=set(named)) | {"classifier_lr": ratio * checked.lr}
    mean, std, weights = IMAGENET_MEAN, IMAGENET_STD, None if arguments.weights == "none" else arguments.weights
    path = Path(weights) if weights and Path(weights).is_file() else None
    if weights and path is None and "/" not in weights and not weights.endswith((".pt", ".pth")):
        transforms = torchvision_weights(arguments.model, weights).transforms()
        mean, std = tuple(transforms.mean), tuple(transforms.std)
    device = choose_device(arguments.device)
    preprocessing = Preprocessing(size, round(size * 8 / 7), mean, std)
    return Job(
        cell=f"{arguments.model}-{recipe}",
        backbone=arguments.model,
        recipe=recipe,
        manifest=manifest.for_training(),
        weights=str(path) if path else weights,
        weights_sha256=sha256(path) if path else None,
        output_stride=params.train.output_stride,
        preprocessing=preprocessing,
        settings=TrainingSettings(**settings),
        device=device,
        precision=choose_precision(params.train.precision, device),
        parameters={f"train.{name}": value for name, value in settings.items()}
        | {"train.output_stride": params.train.output_stride, "pretrained": weights}
        | {f"image.{name}": value for name, value in asdict(preprocessing).items()},
    )


def run(job: Job, manifest: Manifest, params: Params, output: Path) -> None:
    """Train, evaluate and draw into `output`."""
    folder = output / model(job.cell)
    fit(job, folder, output / timing(job.cell), output / RUNS, output / CACHE)
    subject = Subject.load(folder / "best.pt", manifest, output / CACHE, job.device)
    outputs = outputs_of(subject, params.evaluate)
    evaluation = score(subject, params.evaluate, outputs)
    write_results(evaluation, outputs["test"], output / results(job.cell))
    cams.draw_cell(output, job.cell, job.recipe, manifest, params.cams)
    print(json.dumps(evaluation.metrics, indent=2))


@cli.main
def main() -> None:
    """Train, evaluate, draw and track one model."""
    params = load_params()
    arguments = read_arguments(params)
    data = params.data
    recipe_of(arguments)  # refused before a long look at the images
    manifest, left_out = read_folder(
        arguments.image_path,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.seed,
        unreadable=data.unreadable,
    )
    for image in left_out:
        print(f"left out: {image.path}: {image.reason}", file=sys.stderr)
    job, project, output = job_of(arguments, params, manifest), Path.cwd(), arguments.output
    write_manifest(output / MANIFEST, manifest)
    with tempfile.NamedTemporaryFile(prefix="acol-", suffix=".jsonl") as events:
        os.environ["ACOL_EVENTS"] = events.name
        live = LiveRun(Path(events.name), project, lambda: EXPERIMENT, os.environ.pop("MLFLOW_RUN_ID", None))
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
    try:
        uri = store_uri(project)
        with failures(uri):
            open_store(project, EXPERIMENT)
        os.environ["MLFLOW_TRACKING_URI"] = uri  # the project's store, though the files lie in the output folder
        track_one(job.cell, output, EXPERIMENT)
    except StoreError as error:
        print(f"warning: {error}; the files in {output} are complete", file=sys.stderr)


if __name__ == "__main__":
    main()
