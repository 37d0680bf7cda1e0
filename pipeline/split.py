"""split: find the images, validate every one, and write which image is in which split."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from acol.data.manifest import Manifest, without_masks, write_manifest
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder
from acol.ingest.formats.torchvision_sets import find_set
from acol.ingest.pixels import Decoded, decode_image
from acol.ingest.summary import summary, warnings
from pipeline import cli
from pipeline.params import Data, Masks, load_params, with_own_settings
from pipeline.places import CHOICE, LABELS, MANIFEST


def read(data: Data, decode: Callable[[Path], Decoded] = decode_image) -> Reading:
    """Read the images that `data` names, as `acol look` does before; torchvision downloads its own."""
    data = with_own_settings(data)
    given = data.annotations
    annotations = None
    if given:
        names = {} if given.names == "any" else given.names
        aside = None if given.leave_out is None else tuple(given.leave_out)
        annotations = AnnotationSource(
            given.format,
            given.path,
            names,
            any_object=given.names == "any",
            leave_out=aside,
            frame=given.frame,
            without=tuple(given.without),
        )
    images = data.images
    masks, values = (data.masks.path, data.masks.meaning) if isinstance(data.masks, Masks) else (data.masks, None)
    label_from, test_from = data.label_from, data.test_from
    if data.name is not None:
        known = find_set(data.name, data.root)
        images, masks, values = known.images, known.masks, known.mask_values
        annotations, label_from = AnnotationSource("torchvision", data.name), "annotation"
        test_from = test_from or known.test_from
    return read_folder(
        data.root,
        images=images,
        annotations=annotations,
        masks=masks,
        mask_values=values,
        mask_list=data.masks.list if isinstance(data.masks, Masks) else None,
        mask_frame=data.masks.frame if isinstance(data.masks, Masks) else None,
        classes=data.classes,
        label_from=label_from,
        group_by=data.group_by,
        test_from=test_from,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.seed,
        unreadable=data.unreadable,
        decode=decode,
    )


def split(data: Data) -> Reading:
    """Do `read`, and print what is told."""
    reading = read(data)
    for line in warnings(reading):
        print(line, file=sys.stderr)
    return reading


def validation_boxes(manifest: Manifest) -> Manifest:
    """Return the validation images with their boxes, without anything else."""
    return Manifest(manifest.root, manifest.classes, tuple(map(without_masks, manifest.of("val"))))


@cli.main
def main() -> None:
    """Write the manifest, and separately the labels, which are all that training may see. Print a summary."""
    cli.no_arguments("Find the images, validate them, and write which is in which split.")
    reading = split(load_params().data)
    write_manifest(LABELS, reading.manifest.for_training())
    write_manifest(MANIFEST, reading.manifest)
    # A training that chooses its epoch by localization sees the boxes of the validation images. It depends on one of
    # these files, so that boxes count for no other training.
    write_manifest(CHOICE / "accuracy.json", replace(reading.manifest, images=()))
    write_manifest(CHOICE / "localization.json", validation_boxes(reading.manifest))
    print(summary(reading))


if __name__ == "__main__":
    main()
