"""The annotation formats, one file each. To add one, write a file with a `FORMAT` and list it here."""

from acol.ingest.annotations import Format
from acol.ingest.formats import coco, csv_rows, cub, torchvision_sets, voc, wsol, yolo

FORMATS: dict[str, Format] = {
    "voc": voc.FORMAT,
    "coco": coco.FORMAT,
    "yolo": yolo.FORMAT,
    "csv": csv_rows.FORMAT,
    "wsol": wsol.FORMAT,
    "cub": cub.FORMAT,
    "torchvision": torchvision_sets.FORMAT,
}
