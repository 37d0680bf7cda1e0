"""The annotation formats, one file each. To add one, write a file with a `FORMAT` and list it here.

`acol look` tries them in this order: those that are recognised by what is in a file come before those of a mere suffix.
"""

from acol.ingest.annotations import Format
from acol.ingest.formats import (
    coco,
    csv_rows,
    cvat,
    hf,
    label_studio,
    labelme,
    lists,
    tables,
    torchvision_sets,
    via,
    voc,
    yolo,
)

FORMATS: dict[str, Format] = {
    "cub": tables.CUB,
    "wsol": tables.WSOL,
    "coco": coco.FORMAT,
    "label-studio": label_studio.FORMAT,
    "cvat": cvat.FORMAT,
    "hf": hf.FORMAT,
    "csv": csv_rows.FORMAT,
    "voc": voc.FORMAT,
    "yolo": yolo.FORMAT,
    "labelme": labelme.FORMAT,
    "via": via.FORMAT,
    "lists": lists.FORMAT,
    "torchvision": torchvision_sets.FORMAT,
}
