"""Pascal VOC: one XML file per image."""

import re
from pathlib import Path
from xml.etree import ElementTree

from acol.data.images import as_line
from acol.ingest.annotations import MARKS, Annotation, Format, Object
from acol.ingest.findings import Findings
from acol.ingest.formats.text_files import parse_number, read_lists
from acol.ingest.layout import files_below
from acol.ingest.names import split_of


def read_voc(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the annotations of Pascal VOC XML files; a file's path in `folder` is its image's.

    VOC counts pixels from 1 and includes the last one; some tools count from 0 (`acol.ingest.box_checks`), and write a
    `size` of 0 x 0. Stanford Dogs' files have no suffix. Source: Everingham et al., The PASCAL VOC2012 Development
    Kit, section 3.
    """
    files = next(filter(None, (list(files_below(folder, (suffix,))) for suffix in (".xml", "") if folder.is_dir())), [])
    if not files:
        findings.fault(folder, "no folder with XML files; correct its path")
    annotations = []
    for file in files:
        path = file.relative_to(folder).with_suffix("").as_posix()
        try:
            annotations.append(_annotation(file, path))
        except (ElementTree.ParseError, ValueError, OverflowError, LookupError, OSError) as error:
            fault = f"{as_line(file)}: not a VOC annotation ({error}); correct or remove it"
            annotations.append(Annotation(str(file), path, faults=(fault,)))
    return annotations


def read_image_sets(folder: Path, findings: Findings) -> list[Annotation]:
    """Return the splits of the lists in ImageSets/Main, beside or below VOC's folder, or of Oxford Pets' beside it.

    These are train.txt, val.txt, test.txt, or those of each class, as cat_train.txt; or Pets' trainval.txt, test.txt.
    """
    places = [folder.parent / "ImageSets" / "Main", *sorted(folder.glob("**/ImageSets/Main"))]
    files = [file for place in places for file in sorted(place.glob("*.txt"))]
    pets = [folder.parent / "trainval.txt", folder.parent / "test.txt"]
    if not files and all(file.is_file() for file in pets):
        files = pets
    return read_lists([file for file in files if not split_of(file.stem)[1]] or files, findings)


# Difficult objects are left out as by VOC's own evaluation.
FORMAT = Format(
    read_voc,
    "image",
    r".*\.xml|[^.]+",
    (r"<annotation\b",),
    leaves_out=("difficult",),
    lists=read_image_sets,
    first_pixel=1,
)


def _annotation(file: Path, path: str) -> Annotation:
    root = ElementTree.parse(file).getroot()
    width, height = (int(parse_number(root.findtext(f"size/{side}") or "0")) for side in ("width", "height"))
    if root.tag != "annotation":
        raise ValueError(f"its root is <{root.tag:.40}>")
    objects = []
    for item in root.findall("object"):
        texts = [item.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
        if not all(texts):
            raise ValueError("an object has no complete bndbox")
        xmin, ymin, xmax, ymax = (parse_number(text or "") for text in texts)
        marks = frozenset(mark for mark in MARKS if (item.findtext(mark) or "").strip() == "1")
        objects.append(Object((xmin - 1, ymin - 1, xmax, ymax), (item.findtext("name") or "").strip(), marks))
    image = re.split(r"[/\\]", (root.findtext("filename") or "").strip())[-1]
    size = (width, height) if width and height else None
    return Annotation(str(file), path, tuple(objects), size, image=image or None)
