"""train_acol: trains one model on a folder of labelled images, without DVC: model, scores, pictures and an MLflow run.

The output folder becomes a project with a grid of one cell: a params.yaml, and what the stages write. Settings that the
command line does not name are those of pipeline/defaults.yaml, or of the file that --params names. The output folder
never holds another training: without --output the folders are numbered. A killed training goes on in its own folder.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acol.data.manifest import Manifest, read_manifest
from acol.errors import Faults, InputError
from acol.files import atomic_write, sha256
from acol.ingest.names import OWN_SETTINGS
from acol.network.base_backbone import TIMM
from acol.network.pieces import FREEZE
from acol.network.precision import choose_device
from acol.network.weights import PACKAGE, PACKAGES, is_path
from pipeline import cli, live
from pipeline.check import faults_of
from pipeline.outcome import REPORT, outcome
from pipeline.params import Cell, Params, load_params
from pipeline.places import MANIFEST, model, results
from pipeline.split import split, write
from pipeline.strict_yaml import DEFAULTS, parse_settings, read_yaml
from pipeline.track import track_one
from pipeline.tracking.store import StoreError, database_of, failures, open_store, store_uri

EXPERIMENT = "train_acol"
MODEL = "timm/tf_efficientnet_lite0"  # its ImageNet weights are installed with the project
DELTA = 0.9  # default of each erasing step: the better one of the founding script
LARGEST = 2048  # pixels a side of the images from which training crops
OF_IMAGES = ("val_fraction", "test_fraction", "seed", "unreadable")  # keys of data that suit any folder
OF_FOLDER = ("annotations", "images", "masks", "test_from")  # keys of data that are options of the command line
OPTIONS = {  # the key of params.yaml that each option sets, and what it means
    "--image-size": ("image.size", "pixels a side"),
    "--batch-size": ("train.batch_size", "images a step, at most as many as there are to train on"),
    "--epochs": ("train.epochs", "over the images"),
    "--lr": ("train.lr", "learning rate"),
    "--weight-decay": ("train.weight_decay", "weight decay"),
    "--seed": ("train.seed", "of what training draws"),
    "--output-stride": ("train.output_stride", "pixels that a value of the map covers: 32, 16 or 8"),
    "--device": ("train.device", "auto, cpu, cuda"),
}
EXAMPLES = """\
examples:
  acol train photos
      photos/ holds a folder of images for each class, or train/, val/ and test/ with such folders
  acol train photos --model resnet101 --cls-recipe pp --delta-list 0.9 --epochs 10 --output mine
      with another backbone, recipe and output folder"""


def read_arguments() -> argparse.Namespace:
    """Read the command line. Raises `InputError` without a folder of images."""
    default = load_params(DEFAULTS)
    parser = cli.parser("pipeline.train_acol", "Train one ACoL model on a folder of labelled images.", EXAMPLES)
    add = parser.add_argument
    # The images, as the first argument or by one of two options.
    add("image_path", metavar="FOLDER", type=Path, nargs="?", help="class folders, or train, val, test")
    add("--image-path", "--input-path", dest="named_path", metavar="FOLDER", type=Path, help="same")
    meaning = "boxes within FOLDER, such as voc:annotations or coco:boxes.json"
    add("--annotations", metavar="FORMAT:PATH", type=lambda text: text.split(":", 1), help=meaning)
    add("--masks", metavar="PATH", help="masks within FOLDER")
    add("--images", metavar="PATH", help="the class folders within FOLDER (default: FOLDER itself)")
    meaning = "if FOLDER has train and val but no test: test on val, or on a part of train"
    add("--test-from", choices=("val", "train"), help=meaning)
    # The network: what it is, and where its training starts.
    add("--model", default=MODEL, help="torchvision's name, or timm/NAME (default: %(default)s)")
    meaning = "a letter per classifier, p or n, or a whole head such as pp-0.6-conv3 (default: %(default)s)"
    add("--cls-recipe", default="pp", help=meaning)
    add("--delta-list", default="", help=f"a threshold for each erasing step, e.g. 0.9,0.7 (default: {DELTA} for each)")
    meaning = "package (installed weights), a name such as DEFAULT, a file, or none (default: package, or else DEFAULT)"
    add("--weights", help=meaning)
    meaning = f"part of the backbone that is not trained: {', '.join(FREEZE)}, or a module (default: "
    add("--freeze", help=f"{meaning}{default.train.freeze} for a model that the settings name, else none)")
    # Settings of params.yaml, and a file with all others.
    defaults = default.flat("image", "train")
    for option, (key, meaning) in OPTIONS.items():
        add(option, dest=key, metavar="VALUE", type=_value, help=f"{meaning} (default: {defaults[key]})")
    add("--params", type=Path, default=DEFAULTS, help="a file like params.yaml, for what no option sets")
    add("--output", type=Path, help="output folder (default: NAME, NAME-2, ...)")
    add("--name", default="one-off", help="of the output folder, if that is not named (default: %(default)s)")
    arguments = parser.parse_args()
    if (arguments.image_path is None) == (arguments.named_path is None):
        raise InputError("name one folder of images, such as acol train photos")
    arguments.image_path = arguments.image_path or arguments.named_path
    return arguments


def _value(text: str) -> Any:
    with suppress(YAMLError, ValueError):
        return YAML(typ="safe", pure=True).load(text)
    return text


def content_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the content of params.yaml for the command line. What that does not name comes from --params."""
    # The grid is one cell, on the images of the command line.
    before, base = load_params(arguments.params), read_yaml(arguments.params)
    content = {name: dict(base[name]) for name in ("image", "train", "evaluate", "cams", "compare")}
    backbone = re.sub(r"\W", "_", arguments.model.removeprefix(TIMM))[:60]  # it names files
    content["grid"] = {"backbones": [backbone], "heads": [head_of(arguments)]}
    content["backbones"] = {backbone: {"model": arguments.model, **source_of(arguments)}}
    content["data"] = {key: base["data"][key] for key in OF_IMAGES if key in base["data"]}
    content["data"]["path"] = str(arguments.image_path.absolute())
    content["data"] |= {name: value for name in OF_FOLDER if (value := getattr(arguments, name)) is not None}
    if boxes := arguments.annotations:
        content["data"]["annotations"] = dict(zip(("format", "path"), boxes, strict=False))
    content["tracking"] = {"experiment": EXPERIMENT}
    # Options replace settings. The size from which training crops and the rate of the classifiers keep their
    # proportion to the size and the rate that options may have changed.
    for key, _ in OPTIONS.values():
        section, name = key.split(".")
        if (value := getattr(arguments, key)) is not None:
            content[section][name] = value
    size, rate = content["image"].get("size"), content["train"].get("lr")
    if isinstance(size, int):
        content["image"]["train_size"] = min(LARGEST, round(size * before.image.train_size / before.image.size))
    if isinstance(rate, int | float):
        content["train"]["classifier_lr"] = before.train.classifier_lr / before.train.lr * rate
    # The part that is not trained may be a module's name, which only the networks of --params are known to have.
    known = {entry.model or name for name, entry in before.backbones.items()}
    fits = before.train.freeze in FREEZE or arguments.model in known
    content["train"]["freeze"] = arguments.freeze or (before.train.freeze if fits else "none")
    return content


def head_of(arguments: argparse.Namespace) -> str:
    """Return the head that the options name. Without deltas each erasing step has `DELTA`."""
    letters, deltas = arguments.cls_recipe, [delta for delta in arguments.delta_list.split(",") if delta]
    return "-".join([letters, *(deltas if "-" in letters else deltas or [str(DELTA)] * (len(letters) - 1))])


def source_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the entry under `backbones` for --weights."""
    weights = arguments.weights or (PACKAGE if arguments.model.removeprefix(TIMM) in PACKAGES else "DEFAULT")
    if weights in (PACKAGE, "none"):
        return {"source": weights}
    if Path(weights).is_file():
        return {"source": "file", "path": str(Path(weights).absolute()), "sha256": sha256(weights)}
    if is_path(weights):
        raise InputError(f"--weights {weights}: no such file; correct the path")
    return {"source": "timm" if arguments.model.startswith(TIMM) else "torchvision", "weights": weights}


def check_settings(content: dict[str, Any]) -> Params:
    """Check everything that needs no images, and return the settings. Raises `Faults` that name the options."""
    options = {f"{key}: ": f"{option}: " for option, (key, _) in OPTIONS.items()}
    options |= {f"data.{name}": f"--{name.replace('_', '-')}" for name in OF_FOLDER}
    try:
        params = parse_settings(Params, content)
        choose_device(params.train.device)
        if faults := list(faults_of(params)):
            raise Faults(faults)
        return params
    except Faults as error:
        keys = re.compile("|".join(map(re.escape, options)))
        raise Faults([keys.sub(lambda key: options[key[0]], line, count=1) for line in error.faults]) from None


def output_of(content: dict[str, Any], manifest: Manifest, named: Path | None, name: str = "one-off") -> Path:
    """Return the folder `named`, or else the first of `name`, `name`-2, ... that is new or holds this training.

    A new one is made at once, so that another training that starts now takes the next number. Raises `InputError` if
    the folder `named` holds another training.
    """
    folders = (Path(f"{name}-{number}" if number > 1 else name) for number in count(1))
    for output in [named] if named else folders:
        images, settings = output / MANIFEST, output / "params.yaml"
        if not named:
            with suppress(FileExistsError):
                output.mkdir(parents=True)
                return output
        digest = None
        with suppress(InputError):  # another version wrote the manifest
            digest = read_manifest(images, manifest.root).digest() if images.exists() else None
        before = read_yaml(settings) if settings.exists() else None
        other = "with other settings" if before != content and (before or images.exists()) else None
        if images.exists() and digest != manifest.digest():
            other = "on other images"
        if not other and (named or settings.exists()):
            return output
    raise InputError(f"--output {named}: holds a training {other}; name another folder")


def run_stages(cell: Cell) -> None:
    """Run the stages for the one cell of the params.yaml in this folder."""
    backbone, both = [cell.backbone], [cell.backbone, str(cell.head)]
    stages = {"pretrained": backbone, "untrained": backbone, "train": both, "evaluate": both, "cams": both}
    stages["compare"] = []
    for number, (name, arguments) in enumerate(stages.items(), 1):
        print(f"step {number} of {len(stages)}: {name}", flush=True)
        sys.argv = [name, *arguments]
        import_module(f"pipeline.{name}").main()


@contextmanager
def live_curve(root: Path) -> Iterator[None]:
    """Show the training's curve meanwhile, in the MLflow store of the folder `root`, from a thread."""
    with tempfile.NamedTemporaryFile(prefix="acol-", suffix=".jsonl") as events:
        os.environ["ACOL_EVENTS"] = events.name
        run = live.LiveRun(Path(events.name), root, lambda: EXPERIMENT, os.environ.pop("MLFLOW_RUN_ID", None))
        run.start()
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except SystemExit as stop:  # a stage failed, or received a signal
            status = live.run_status(int(stop.code or 0), interrupted=False)
            raise
        finally:
            run.end(status)
            run.join(10)


def log_run(cell: str, output: Path) -> str:
    """Log a trained cell completely into MLflow, and return where its run is. Print a warning if MLflow fails."""
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
    """Train, evaluate, draw, compare and track one model, and print its scores and where the results are."""
    # Refuse everything that can be refused before anything is written.
    arguments = read_arguments()
    cli.check_outside("--output", arguments.output or Path(arguments.name), [arguments.image_path])
    content = content_of(arguments)
    batch = check_settings(content).train.batch_size
    print(f"reading the images in {arguments.image_path}", flush=True)
    try:
        manifest = split(content["data"]).manifest
    except InputError as error:
        if "data." in str(error):
            own = f"{arguments.image_path / OWN_SETTINGS}, without the word data, in place of options"
            print(f"note: settings of data go into {own}", file=sys.stderr)
        raise
    if batch > (images := len(manifest.of("train"))):
        print(f"--batch-size {batch}: only {images} images to train on, so {images}", file=sys.stderr)
        content["train"]["batch_size"] = images
    (cell,) = parse_settings(Params, content).cells()
    output = output_of(content, manifest, arguments.output, arguments.name)
    # Make the output folder a project like any other, and run its stages.
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / "params.yaml") as temporary:
        YAML(typ="safe", pure=True).dump(content, temporary)
    with live_curve(Path.cwd()), chdir(output):
        write(manifest)
        run_stages(cell)
    tracked, checkpoint = log_run(cell.name, output), output / model(cell.name) / "best.pt"
    lines = [
        f"model:      {checkpoint}",
        f"scores:     {output / results(cell.name) / 'metrics.json'}",
        f"pictures:   {output / 'cams' / cell.name}",
        f"report:     {output / REPORT / 'index.html'}",
        f"MLflow run: {tracked}",
        f"next:       acol predict IMAGE... --model {checkpoint} --out predictions",
    ]
    print(*outcome(output), *lines, sep="\n")


if __name__ == "__main__":
    main()
