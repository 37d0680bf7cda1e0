"""Look at a folder of images: what `split` would read, what is wrong with it, and the settings for params.yaml.

    acol look FOLDER

tries the class folders, and then the annotations that lie in the folder (COCO, VOC, YOLO, CSV), for boxes and for the
classes. It prints what it would read, warnings and faults, and the `data:` section to paste into params.yaml. It
changes nothing.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from acol.data.images import EXTENSIONS
from acol.errors import InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder
from acol.ingest.summary import summary, warnings
from pipeline import cli

_NAMES_OF_IMAGES = ("images", "JPEGImages", "photos", "img", "imgs")
_SUFFIXES = {".json": "coco", ".csv": "csv"}
_MANY = 2  # files of one suffix that may belong to something else
Settings = dict[str, Any]


def candidates(root: Path) -> Iterator[Settings]:
    """Yield the settings that may fit the folder, the most usual first; paths are relative to it."""
    places = [name for name in _NAMES_OF_IMAGES if (root / name).is_dir()] or ["."]
    found = [*_annotations(root), None]
    for images in places:
        for label_from in ("folder", "annotation"):
            for annotations in found:
                if label_from == "folder" or annotations:
                    settings: Settings = {"images": images, "annotations": annotations}
                    yield settings | ({"label_from": "annotation"} if label_from == "annotation" else {})


def _annotations(root: Path) -> Iterator[dict[str, str]]:
    """Yield what may be annotations in or just below the folder."""
    if (root / "bounding_boxes.txt").is_file() and (root / "images.txt").is_file():
        yield {"format": "cub", "path": "."}
    for file in sorted(root.rglob("image_ids.txt")):
        yield {"format": "wsol", "path": file.parent.relative_to(root).as_posix()}
        break
    for suffix, form in _SUFFIXES.items():
        files = [file for file in sorted(root.rglob(f"*{suffix}")) if not file.name.startswith(".")]
        if files:
            path = files[0].relative_to(root).as_posix() if len(files) == 1 else "."
            yield {"format": form, "path": path}
    for pattern, form in (("*.xml", "voc"), ("*.txt", "yolo")):
        parents = {file.parent for file in root.rglob(pattern)}
        if sum(1 for _ in root.rglob(pattern)) > _MANY:
            top = {parent.relative_to(root).parts[:1] for parent in parents}
            path = next(iter(top))[0] if len(top) == 1 and () not in top else "."
            yield {"format": form, "path": path}


def read(root: Path, settings: Settings) -> Reading:
    """Read the folder by settings, as `split` does."""
    annotations = settings["annotations"]
    label_from: Literal["folder", "annotation"] = settings.get("label_from", "folder")
    return read_folder(
        root,
        images=settings["images"],
        annotations=AnnotationSource(annotations["format"], annotations["path"]) if annotations else None,
        label_from=label_from,
        unreadable="leave_out",
    )


def section(root: Path, settings: Settings) -> str:
    """Return the `data:` section of params.yaml for these settings."""
    data = {
        "source": "folder", "path": str(root.resolve()), **settings, "masks": None,
        "val_fraction": 0.1, "test_fraction": 0.2, "seed": 0, "unreadable": "leave_out",
    }  # fmt: skip
    text = io.StringIO()
    yaml = YAML()
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.width = 120
    yaml.dump({"data": data}, text)
    return text.getvalue()


@cli.main
def main() -> None:
    """Print what the folder on the command line is."""
    parser = argparse.ArgumentParser(cli.program("pipeline.look"), description="Say what would be read from a folder.")
    parser.add_argument("folder", type=Path, help="folder of images, with or without annotations")
    root = parser.parse_args().folder.expanduser()
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; correct the path")
    if not any(file.suffix.lower() in EXTENSIONS for file in root.rglob("*")):
        raise InputError(f"{root}: no images ({', '.join(EXTENSIONS)}) in it or below it; give another folder")
    first: InputError | None = None
    for settings in candidates(root):
        try:
            reading = read(root, settings)
        except InputError as error:
            first = first or error
            if settings["annotations"]:
                what = "{format} annotations in {path}".format(**settings["annotations"])
                print(f"not used: {what}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        for line in warnings(reading):
            print(line, file=sys.stderr)
        print(summary(reading), section(root, settings), sep="\n\n", end="")
        return
    assert first is not None  # there is always a candidate
    raise first


if __name__ == "__main__":
    main()
