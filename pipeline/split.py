"""split: finds the images, validates each of them, and writes which image is in which split."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from acol.data.manifest import Manifest, without_masks, write_manifest
from acol.ingest.annotations import AnnotationSource
from acol.ingest.decoding import FileFacts, decode_image
from acol.ingest.folder import Reading, read_folder
from acol.ingest.folder_settings import FolderSettings
from acol.ingest.formats.torchvision_sets import find_set
from pipeline import cli
from pipeline.params import load_params, part_of, settings_of_images
from pipeline.places import CHOICE, LABELS, MANIFEST
from pipeline.strict_yaml import read_yaml


def read(section: dict[str, Any], decode: Callable[[Path], FileFacts] = decode_image) -> Reading:
    """Read the images of a section `data`. torchvision's data sets are downloaded first. `acol look` uses this too."""
    data = settings_of_images(section)
    settings = part_of(FolderSettings, data)
    if data.name is not None:
        data_set = find_set(data.name, data.root)
        settings = replace(
            settings,
            images=data_set.images,
            annotations=AnnotationSource("torchvision", data.name),
            masks=data_set.masks,
            label_from="annotation",
            test_from=data.test_from or data_set.test_from,
        )
    return read_folder(data.root, settings, decode=decode)


def split(section: dict[str, Any]) -> Reading:
    """Read the images of a section `data`, and print the warnings and a summary."""
    reading = read(section)
    for line in reading.warnings():
        print(line, file=sys.stderr)
    print(reading.summary())
    return reading


def write(manifest: Manifest) -> None:
    """Write the manifest, and for training, which must not see the test images and boxes, the labels alone."""
    write_manifest(LABELS, manifest.for_training())
    write_manifest(MANIFEST, manifest)
    # A training that chooses its epoch by localization sees the boxes of the validation images. Each training depends
    # on one of these two files, so that new boxes repeat no training that chooses by accuracy.
    write_manifest(CHOICE / "accuracy.json", replace(manifest, images=()))
    boxes = tuple(map(without_masks, manifest.of("val")))
    write_manifest(CHOICE / "localization.json", Manifest(manifest.root, manifest.classes, boxes))


@cli.main
def main() -> None:
    """Split the images of params.yaml."""
    cli.no_arguments("Find the images, validate them, and write which is in which split.")
    load_params()
    write(split(read_yaml()["data"]).manifest)


if __name__ == "__main__":
    main()
