"""The annotation formats, a file each. To add one: write its file with a `FORMAT`, and list that here."""

from acol.ingest.annotations import Format
from acol.ingest.formats import cub, voc, wsol

FORMATS: dict[str, Format] = {"voc": voc.FORMAT, "wsol": wsol.FORMAT, "cub": cub.FORMAT}
