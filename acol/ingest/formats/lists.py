"""Lists of the images of each split beside class folders: train.txt and test.txt."""

from pathlib import Path

from acol.ingest.annotations import Annotation, Format
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import read_lists, splits_of_files


def read_split_lists(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the splits, and the classes if they have some, of lists in a folder that are named after splits.

    A line names an image, with or without its suffix, and may have its class after it. Source: Food-101's `meta`.
    """
    files = list(splits_of_files(sorted(folder.glob("*.txt"))))
    if not files:
        findings.fault(folder, "no lists train.txt and test.txt or val.txt in it; correct its path")
    return read_lists(files, findings)


FORMAT = Format(read_split_lists, "folder", r"train(_list)?\.txt", lists=read_split_lists)
