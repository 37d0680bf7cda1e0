"""The annotation formats, one file each. To add one, write a file with a `FORMAT` and list it here."""

from acol.ingest.annotations import Format
from acol.ingest.formats import cub, voc, wsol

FORMATS: dict[str, Format] = {"voc": voc.FORMAT, "wsol": wsol.FORMAT, "cub": cub.FORMAT}
