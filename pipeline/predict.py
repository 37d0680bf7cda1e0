"""predict: predicts image files, and writes an overlay, a map and a line of JSON for each.

    acol predict IMAGE|FOLDER|GLOB... --out DIR [--model models:/acol@champion]
    python -m pipeline.predict ...

takes image files, folders (every image below them) and quoted patterns such as "new/*.jpg" (`**` stands for any
folders). It prints a table of the labels, probabilities and boxes (x0 y0 x1 y1), unless --quiet, and writes into DIR,
which must be new or empty: predictions.jsonl, and for the N-th image N-NAME.overlay.png (its map, box and label drawn
over it) and N-NAME.map.png (its map, grayscale), neither larger than 1024 pixels a side; contact-sheet.jpg has the
first overlays side by side. The box in predictions.jsonl is in the image's own pixels. With --format the boxes are also
written as annotation tools and detectors read them, in order of class and file name, and with masks the region above
the threshold as PNG (255 object, 0 background). If an image cannot be read, all such images are named and nothing is
written. The device is `train.device` of the params.yaml in this folder, if there is one.
"""

import glob
import json
import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageOps

from acol.data.images import EXTENSIONS, as_line, read_image
from acol.errors import Faults, InputError, did_you_mean
from acol.figures import pixels
from acol.figures.text import caption
from acol.files import atomic_folder
from acol.ingest.findings import Findings
from acol.ingest.layout import files_below
from acol.localization.fusion import MAPS
from acol.localization.maps import at_size
from acol.network.precision import choose_device
from acol.prediction.label_files import (
    COPIES,
    FORMATS,
    LOCAL,
    WITH_COPIES,
    LabelSettings,
    PredictedImage,
    copy_image,
    flat_names,
    write_labels,
)
from acol.prediction.predictor import BATCH, LONGEST_SIDE, Prediction, Predictor
from pipeline import cli
from pipeline.counts import add_to, counted
from pipeline.tracking.registry import load_predictor

MASKS = "masks"
ON_SHEET, TILE = 64, 240  # images of the contact sheet, and pixels a side of each
EXAMPLES = """\
examples:
  acol predict a.jpg b.jpg --out predictions
      with the champion of the registered models in this folder's MLflow store
  acol predict photos 'new/*.jpg' --model one-off/models/CELL/best.pt --out predictions
      with a checkpoint, for all images below photos/ and those in new/
  acol predict photos --format coco masks --out labels
      boxes and outlines as COCO JSON and masks as PNG, to correct in an annotation tool or to train a detector with
  acol predict photos --class-folders --format yolo --out drafts
      boxes of the classes that the folders in photos/ name, as a detector's first training set
  acol predict photos --format label-studio --regions all --image-url s3://bucket/photos/ --out tasks
      tasks with drafts of all parts above the threshold, for images that Label Studio reads from a bucket"""


def write(
    paths: Sequence[Path],
    predictor: Predictor,
    made: LabelSettings,
    base: Path,
    labels: Mapping[Path, str],
    asked: Namespace,
) -> tuple[list[str], Counter[str]]:
    """Predict image files into the folder `asked.out`, atomically; return a table for people, and the counts.

    Names in the formats that are asked for are relative to the folder `base`. `labels` are the classes that are known.
    """
    digits, labelled, counts = len(str(len(paths))), [], Counter[str]()
    table = [("image", "label", "probability", "box")]
    names = _relative(paths, base)
    flat = flat_names(names.values())
    with atomic_folder(asked.out) as partial, (partial / "predictions.jsonl").open("w", encoding="utf-8") as lines:
        for number, (path, small, found) in enumerate(predictions(paths, predictor, labels), 1):
            name, stem = names[path], f"{number:0{digits}d}-{path.stem[:40]}"  # a name has at most 255 bytes
            Image.fromarray(overlay(small, found)).save(partial / f"{stem}.overlay.png", compress_level=1)
            (partial / f"{stem}.map.png").write_bytes(found.map_png())
            row = {
                "path": str(path),
                "label": found.label,
                "probability": found.probability,
                "probabilities": found.probabilities,
                "calibrated": predictor.calibration.calibrated,
                "calibrated_on": predictor.calibration.images,
                "box": found.box,
                "threshold": predictor.tau,
                "map_name": predictor.map_name,
                "overlay": f"{stem}.overlay.png",
                "map": f"{stem}.map.png",
            }
            print(json.dumps(row), file=lines)
            box = " ".join(f"{value:.0f}" for value in found.box)
            table.append((as_line(path), found.label, f"{found.probability:.3f}", box))
            copied = flat[name]
            if {*WITH_COPIES} & {*asked.format}:
                copied = copy_image(path, partial / COPIES, copied)
            labelled.append(PredictedImage.of(name, copied, found, asked.regions == "all"))
            counts.update(counted([(found.label, found.probability, found.above_tau)]))
            if MASKS in asked.format:
                mask = partial / MASKS / PurePosixPath(name).with_suffix(".png")
                mask.parent.mkdir(parents=True, exist_ok=True)
                mask.write_bytes(found.region_png())
        for form in asked.format:
            if form != MASKS:
                write_labels(partial, form, labelled, made)
        contact_sheet(partial)
    return cli.aligned(table), counts


def predictions(
    paths: Sequence[Path], predictor: Predictor, labels: Mapping[Path, str]
) -> Iterator[tuple[Path, Image.Image, Prediction]]:
    """Predict image files, `BATCH` at a time; yields each with its picture, the longest side at most `LONGEST_SIDE`.

    One image at a time is in memory at its own size.
    """
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        pictures, ready = [], []
        for path in some:
            image = read_image(path)
            ready.append(predictor.prepare(image, labels.get(path)))
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            pictures.append(image)
        yield from zip(some, pictures, predictor.run(ready), strict=True)


def base_of(arguments: Sequence[str], paths: Sequence[Path]) -> Path:
    """Return the folder that holds the folders that are named, and all other images."""
    folders = [os.path.abspath(argument) for argument in arguments if Path(argument).is_dir()]
    others = [os.path.abspath(path.parent) for path in paths]
    return Path(os.path.commonpath([*folders, *others]))


def _relative(paths: Sequence[Path], base: Path) -> dict[Path, str]:
    return {path: Path(os.path.abspath(path)).relative_to(base).as_posix() for path in paths}


def overlay(small: Image.Image, found: Prediction) -> pixels.Pixels:
    """Draw a prediction over its image, which may have become smaller -> (h, w, 3) uint8."""
    box = np.asarray(found.box) * np.tile(np.divide(small.size, found.size), 2)
    tile = pixels.overlay(np.asarray(small), at_size(found.raw_map, small.size))
    drawn = pixels.draw_box(tile, box, pixels.PREDICTED, thickness=max(1, round(min(small.size) / 150)), dashed=True)
    return caption(drawn, f"{found.label} {found.probability:.2f}")


def contact_sheet(folder: Path) -> None:
    """Write contact-sheet.jpg, the first `ON_SHEET` overlays in a folder side by side."""
    files = sorted(folder.glob("*.overlay.png"))[:ON_SHEET]
    columns = min(len(files), 8)
    sheet = Image.new("RGB", (columns * TILE, -(-len(files) // columns) * TILE), "white")
    for n, file in enumerate(files):
        tile = ImageOps.contain(Image.open(file), (TILE - 4, TILE - 4))
        sheet.paste(tile, (n % columns * TILE + 2, n // columns * TILE + 2))
    sheet.save(folder / "contact-sheet.jpg", quality=90)


def find_images(arguments: Sequence[str]) -> list[Path]:
    """Return the image files that files, folders and patterns name, each once: in their order, then by name.

    Raises `Faults` for a folder without images and for a pattern that matches none.
    """
    found: dict[Path, None] = {}
    findings = Findings()
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            paths = list(files_below(path, EXTENSIONS, findings=findings))
        elif path.exists() or not glob.has_magic(argument):
            paths = [path]  # a missing file too: it is reported with the other unreadable files
        else:
            paths = [Path(file) for file in sorted(glob.glob(argument, recursive=True)) if Path(file).is_file()]
        if not paths:
            what = "no image in this folder" if path.is_dir() else "no image matches this pattern"
            findings.fault(argument, f"{what}; name image files, folders or patterns")
        found |= dict.fromkeys(paths)
    if findings.faults:
        raise Faults(findings.faults)
    return list(found)


def check(paths: Sequence[Path], folder: Path, formats: Sequence[str] = ()) -> None:
    """Raise `Faults` with every unreadable file, images whose masks would share a file, and a bad folder.

    `folder` must be new or empty.
    """
    findings = Findings()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        findings.fault(f"--out {folder}", "exists and is not an empty folder; name a new one")
    for path in paths:
        try:
            read_image(path)
        except InputError as error:
            findings.faults.append(str(error))
    if MASKS in formats:
        taken: dict[PurePosixPath, Path] = {}
        for path, name in _relative(paths, base_of((), paths)).items():
            first = taken.setdefault(PurePosixPath(name).with_suffix(""), path)
            if first is not path:
                both = f"{as_line(first)} and {as_line(path)}"
                findings.fault(both, "their masks would have one name; rename one, or predict them apart")
    if findings.faults:
        raise Faults(findings.faults)


def add_options(parser: ArgumentParser, form: Sequence[str] = ()) -> None:
    """Add what a prediction is asked for beside its images; `form` are the formats where none is named."""
    parser.add_argument("--out", type=Path, required=True, help="output folder, new or empty")
    parser.add_argument(
        "--model", default="models:/acol@champion", help="registered model or checkpoint (default: %(default)s)"
    )
    parser.add_argument(
        "--format", nargs="+", choices=[*FORMATS, MASKS], default=form, help="write the boxes in these formats, too"
    )
    parser.add_argument(
        "--regions",
        choices=["largest", "all"],
        default="largest",
        help="in these formats: one box an image, or one for every part above the threshold (default: %(default)s)",
    )
    parser.add_argument(
        "--image-url",
        metavar="PREFIX",
        help="in tasks for Label Studio, what stands before each image's path in the folder: s3://bucket/photos/, "
        f"http://host/photos/ (default: {LOCAL}FOLDER/, a local folder that Label Studio serves)",
    )
    parser.add_argument("--quiet", action="store_true", help="print no table of the predictions")
    parser.add_argument(
        "--map", choices=[*MAPS], help="another map than the model was scored by, at the same box threshold"
    )
    parser.add_argument("--counts", type=Path, help="add to this file how many images of which class there were")


def classes_of(images: Sequence[Path], classes: Sequence[str]) -> dict[Path, str]:
    """Return the class of each image, its folder's name; raises `Faults` for folders that are none of the classes."""
    folders = {path: Path(os.path.abspath(path)).parent for path in images}
    findings = Findings()
    for folder in sorted({*folders.values()}):
        if folder.name not in classes:
            findings.fault(folder, f"--class-folders: is no class of the model; {did_you_mean(folder.name, classes)}")
    if findings.faults:
        raise Faults(findings.faults)
    return {path: folder.name for path, folder in folders.items()}


def run(images: Sequence[Path], base: Path, arguments: Namespace, labels: Mapping[Path, str] | None = None) -> None:
    """Predict images below the folder `base`, and print what was written; `labels` are the classes that are known."""
    device = str(choose_device(cli.device_name()))
    check(images, arguments.out, arguments.format)
    predictor = load_predictor(arguments.model, Path.cwd(), device, arguments.map)
    if labels is None:
        labels = classes_of(images, predictor.card.classes) if arguments.class_folders else {}
    url = arguments.image_url or f"{LOCAL}{quote(base.name)}/"
    made = LabelSettings(predictor.card.classes, predictor.about, arguments.model, url, MASKS in arguments.format)
    try:
        table, counts = write(images, predictor, made, base, labels, arguments)
    except OSError as error:
        raise InputError(f"--out {arguments.out}: cannot be written ({error.strerror}); name another") from None
    if arguments.counts is not None:
        add_to(arguments.counts, counts)
    if not arguments.quiet:
        print(*table, sep="\n")
    plural = "" if len(images) == 1 else "s"
    print(f"{len(images)} image{plural}: {arguments.out}/predictions.jsonl, and the map and overlay of each")
    if arguments.format:
        print(f"{', '.join(arguments.format)}: in order of class and file name; no score tells which boxes are right")


@cli.main
def main() -> None:
    """Predict the images of the command line."""
    parser = cli.parser("pipeline.predict", "Name and locate the object in each image.", EXAMPLES)
    parser.add_argument("images", metavar="IMAGE|FOLDER|GLOB", nargs="+", help="image files, folders of them, patterns")
    meaning = "each image's folder is its class: look for that class, whatever the model would say"
    parser.add_argument("--class-folders", action="store_true", help=meaning)
    add_options(parser)
    arguments = parser.parse_args()
    images = find_images(arguments.images)
    run(images, base_of(arguments.images, images), arguments)


if __name__ == "__main__":
    main()
