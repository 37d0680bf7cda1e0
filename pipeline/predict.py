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
    can_be_named,
    copy_image,
    flat_names,
    write_labels,
)
from acol.prediction.predictor import BATCH, LONGEST_SIDE, Prediction, Predictor
from pipeline import cli
from pipeline.counts import add_to, count_predictions, read_counts
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


def write_predictions(
    out: Path,
    names: Mapping[Path, str],
    predictor: Predictor,
    labels: Mapping[Path, str],
    formats: Sequence[str],
    all_regions: bool,
    settings: LabelSettings,
) -> tuple[list[str], Counter[str]]:
    """Predict image files into the folder `out`, completely or not at all; return a table for people, and the counts.

    `names` are the image files, with their names in the `formats`, and `labels` the classes that are known of them.
    `all_regions`: the formats get all regions of an image, not only its largest.
    """
    digits, flat = len(str(len(names))), flat_names(names.values())
    table, rows, counts = [("image", "label", "probability", "box")], [], Counter[str]()
    tiles: list[pixels.Pixels] = []
    with atomic_folder(out) as partial, (partial / "predictions.jsonl").open("w", encoding="utf-8") as lines:
        for number, (path, picture, prediction) in enumerate(predict_images([*names], predictor, labels), 1):
            # The pictures of every image, and its line of JSON.
            stem = f"{number:0{digits}d}-{path.stem[:40]}"  # a name has at most 255 bytes
            overlay, score_map = f"{stem}.overlay.png", f"{stem}.map.png"
            Image.fromarray(draw_prediction(picture, prediction)).save(partial / overlay, compress_level=1)
            if len(tiles) < ON_SHEET:  # drawn at its own size, so that its label can be read
                tile = ImageOps.contain(picture, (TILE - 4, TILE - 4))
                tiles.append(draw_prediction(tile, prediction))
            (partial / score_map).write_bytes(prediction.map_png())
            record = {"path": str(path), **predictor.record_of(prediction), "overlay": overlay, "map": score_map}
            print(json.dumps(record), file=lines)
            # What is printed and counted at the end.
            box = " ".join(f"{value:.0f}" for value in prediction.box)
            table.append((as_line(path), prediction.label, f"{prediction.probability:.3f}", box))
            counts.update(count_predictions([(prediction.label, prediction.probability, prediction.above_tau)]))
            # What the formats need of the image: some of them a copy of it.
            name = names[path]
            file_name = copy_image(path, partial / COPIES, flat[name]) if {*WITH_COPIES} & {*formats} else flat[name]
            rows.append(PredictedImage.of(name, file_name, prediction, all_regions))
            if MASKS in formats:
                mask = partial / MASKS / PurePosixPath(name).with_suffix(".png")
                mask.parent.mkdir(parents=True, exist_ok=True)
                mask.write_bytes(prediction.region_png())
        for file_format in formats:
            if file_format != MASKS:
                write_labels(partial, file_format, rows, settings)
        write_contact_sheet(partial / "contact-sheet.jpg", tiles)
    return cli.aligned(table), counts


def predict_images(
    paths: Sequence[Path], predictor: Predictor, labels: Mapping[Path, str]
) -> Iterator[tuple[Path, Image.Image, Prediction]]:
    """Predict image files, `BATCH` at a time; yields each with its picture, the longest side at most `LONGEST_SIDE`.

    One image at a time is in memory at its own size.
    """
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        pictures, prepared = [], []
        for path in batch:
            image = read_image(path)
            prepared.append(predictor.prepare(image, labels.get(path)))
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            pictures.append(image)
        yield from zip(batch, pictures, predictor.predict_batch(prepared), strict=True)


def draw_prediction(picture: Image.Image, prediction: Prediction) -> pixels.Pixels:
    """Draw a prediction over its image, which may have become smaller -> (h, w, 3) uint8."""
    box = np.asarray(prediction.box) * np.tile(np.divide(picture.size, prediction.size), 2)
    drawn = pixels.overlay(np.asarray(picture), at_size(prediction.raw_map, picture.size))
    thickness = max(2, round(min(picture.size) / 150))
    drawn = pixels.draw_box(drawn, box, pixels.PREDICTED, thickness=thickness, dashed=True)
    return caption(drawn, f"{prediction.label} {prediction.probability:.2f}")


def write_contact_sheet(file: Path, tiles: Sequence[pixels.Pixels]) -> None:
    """Write tiles, each within a square of `TILE` pixels, side by side."""
    columns = min(len(tiles), 8)
    sheet = Image.new("RGB", (columns * TILE, -(-len(tiles) // columns) * TILE), "white")
    for n, tile in enumerate(tiles):
        sheet.paste(Image.fromarray(tile), (n % columns * TILE + 2, n // columns * TILE + 2))
    sheet.save(file, quality=90)


def image_paths(arguments: Sequence[str]) -> list[Path]:
    """Return the image files that files, folders and patterns name, each once: in their order, then by name.

    Raises `Faults` for a folder without images and for a pattern that matches none.
    """
    paths: dict[Path, None] = {}
    findings = Findings()
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            files = list(files_below(path, EXTENSIONS, findings=findings))
        elif path.exists() or not glob.has_magic(argument):
            files = [path]  # a missing file too: it is reported with the other unreadable files
        else:
            files = [Path(file) for file in sorted(glob.glob(argument, recursive=True)) if Path(file).is_file()]
        if not files:
            problem = "no image in this folder" if path.is_dir() else "no image matches this pattern"
            findings.fault(argument, f"{problem}; name image files, folders or patterns")
        paths |= dict.fromkeys(files)
    if findings.faults:
        raise Faults(findings.faults)
    return list(paths)


def common_folder(arguments: Sequence[str], paths: Sequence[Path]) -> Path:
    """Return the innermost folder that holds the folders among the arguments, and all image files."""
    folders = [os.path.abspath(argument) for argument in arguments if Path(argument).is_dir()]
    parents = [os.path.abspath(path.parent) for path in paths]
    return Path(os.path.commonpath([*folders, *parents]))


def relative_names(paths: Sequence[Path], base: Path) -> dict[Path, str]:
    """Return the path of each image file relative to the folder `base`, by which the formats name it."""
    return {path: Path(os.path.abspath(path)).relative_to(base).as_posix() for path in paths}


def check_inputs(names: Mapping[Path, str], out: Path, formats: Sequence[str] = ()) -> None:
    """Raise `Faults` with all that would stop `write_predictions`.

    That is an output folder that is not new or empty, each image file that cannot be read or whose name a format cannot
    hold, and images whose masks would be one file.
    """
    findings = Findings()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        findings.fault(f"--out {out}", "exists and is not an empty folder; name a new one")
    masks: dict[PurePosixPath, Path] = {}
    for path, name in names.items():
        try:
            read_image(path)
        except InputError as error:
            findings.faults.append(str(error))
        if {*formats} - {MASKS} and not can_be_named(name):
            findings.fault(path, "its name is not UTF-8, or has a control character; rename it")
        first = masks.setdefault(PurePosixPath(name).with_suffix(""), path)
        if MASKS in formats and first is not path:
            findings.fault((first, path), "their masks would have one name; rename one, or predict them apart")
    if findings.faults:
        raise Faults(findings.faults)


def add_options(parser: ArgumentParser, formats: Sequence[str] = ()) -> None:
    """Add the options of a prediction to a parser; `formats` are the default of --format."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="output folder, new or empty")
    add("--model", default="models:/acol@champion", help="registered model or checkpoint (default: %(default)s)")
    add("--format", nargs="+", choices=[*FORMATS, MASKS], default=formats, help="write the boxes in these formats, too")
    meaning = "in these formats: one box an image, or one for every part above the threshold (default: %(default)s)"
    add("--regions", choices=["largest", "all"], default="largest", help=meaning)
    meaning = (
        "in tasks for Label Studio, what stands before each image's path in the folder: s3://bucket/photos/, "
        f"http://host/photos/ (default: {LOCAL}FOLDER/, a local folder that Label Studio serves)"
    )
    add("--image-url", metavar="PREFIX", help=meaning)
    add("--quiet", action="store_true", help="print no table of the predictions")
    add("--map", choices=[*MAPS], help="another map than the model was scored by, at the same box threshold")
    add("--counts", type=Path, help="add to this file how many images of which class there were")


def folder_labels(paths: Sequence[Path], classes: Sequence[str]) -> dict[Path, str]:
    """Return the class of each image, its folder's name; raises `Faults` for folders that are none of the classes."""
    folders = {path: Path(os.path.abspath(path)).parent for path in paths}
    if unknown := [folder for folder in sorted({*folders.values()}) if folder.name not in classes]:
        problem = "--class-folders: is no class of the model"
        raise Faults([f"{as_line(each)}: {problem}; {did_you_mean(each.name, classes)}" for each in unknown])
    return {path: folder.name for path, folder in folders.items()}


def check_and_load(paths: Sequence[Path], base: Path, options: Namespace) -> Predictor:
    """Check image files and the options of `add_options`, and load the model; `base` holds the images."""
    device = str(choose_device(cli.device_name()))
    check_inputs(relative_names(paths, base), options.out, options.format)
    if options.counts is not None and options.counts.exists():
        read_counts(options.counts)  # here, and not when all is predicted: it refuses a file that holds no counts
    return load_predictor(options.model, Path.cwd(), device, options.map)


def predict_files(
    paths: Sequence[Path], base: Path, predictor: Predictor, labels: Mapping[Path, str], options: Namespace
) -> None:
    """Predict image files below the folder `base` by the options of `add_options`, and print what was written.

    `labels` are the classes that are known of image files.
    """
    classes, formats, all_regions = predictor.card.classes, options.format, options.regions == "all"
    url = options.image_url or f"{LOCAL}{quote(base.name)}/"
    settings = LabelSettings(classes, predictor.about, options.model, url, outlines=MASKS in formats)
    names = relative_names(paths, base)
    try:
        table, counts = write_predictions(options.out, names, predictor, labels, formats, all_regions, settings)
    except OSError as error:
        raise InputError(f"--out {options.out}: cannot be written ({error.strerror}); name another") from None
    if options.counts is not None:
        add_to(options.counts, counts)
    if not options.quiet:
        print(*table, sep="\n")
    plural = "" if len(paths) == 1 else "s"
    print(f"{len(paths)} image{plural}: {options.out}/predictions.jsonl, and the map and overlay of each")
    if formats:
        print(f"{', '.join(formats)}: in order of class and file name; no score tells which boxes are right")


@cli.main
def main() -> None:
    """Predict the images of the command line."""
    parser = cli.parser("pipeline.predict", "Name and locate the object in each image.", EXAMPLES)
    parser.add_argument("images", metavar="IMAGE|FOLDER|GLOB", nargs="+", help="image files, folders of them, patterns")
    meaning = "each image's folder is its class: look for that class, whatever the model would say"
    parser.add_argument("--class-folders", action="store_true", help=meaning)
    add_options(parser)
    options = parser.parse_args()
    paths = image_paths(options.images)
    cli.check_outside("--out", options.out, filter(Path.is_dir, map(Path, options.images)))
    base = common_folder(options.images, paths)
    predictor = check_and_load(paths, base, options)
    labels = folder_labels(paths, predictor.card.classes) if options.class_folders else {}
    predict_files(paths, base, predictor, labels, options)


if __name__ == "__main__":
    main()
