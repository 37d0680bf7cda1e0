"""Data sets of torchvision that consist of image files: it downloads them, and knows their classes and splits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acol.data.images import as_line
from acol.data.manifest import SPLITS
from acol.errors import InputError, did_you_mean
from acol.ingest.annotations import Annotation, Format
from acol.ingest.findings import Findings
from acol.ingest.folder_settings import MaskSource
from acol.ingest.names import split_of

# Where torchvision's classes keep the images' files, or pairs of a file and a label.
_FILES = ("_images", "_image_files", "_samples", "samples")


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set within torchvision's root: the folder of its images, torchvision's names of the splits, masks."""

    images: str
    splits: tuple[str, ...] = SPLITS
    masks: MaskSource | None = None
    test_from: Literal["val"] | None = None  # see `acol.ingest.splits`


SETS = {
    "DTD": TorchvisionSet("dtd/dtd/images"),
    "EuroSAT": TorchvisionSet("eurosat/2750", ()),
    "FGVCAircraft": TorchvisionSet("fgvc-aircraft-2013b/data/images"),
    "Flowers102": TorchvisionSet("flowers-102/jpg"),
    "Food101": TorchvisionSet("food-101/images", ("train", "test")),
    "Imagenette": TorchvisionSet("imagenette2", ("train", "val"), test_from="val"),
    "OxfordIIITPet": TorchvisionSet(
        "oxford-iiit-pet/images",
        ("trainval", "test"),
        MaskSource("oxford-iiit-pet/annotations/trimaps", "trimap"),
    ),
    "StanfordCars": TorchvisionSet("stanford_cars", ("train", "test")),
}


def find_set(name: str, root: Path) -> TorchvisionSet:
    """Return a data set that is in `root` afterwards: torchvision downloads it if it is missing.

    Raises `InputError` for an unknown name, and if the data set is neither there nor can be downloaded.
    """
    if name not in SETS:
        raise InputError(f"data.name: no data set {name} of image files; {did_you_mean(name, SETS)}")
    _open(name, root, next(iter(SETS[name].splits), ""))
    return SETS[name]


def read_torchvision(path: Path, _: Findings) -> Iterator[Annotation]:
    """Yield the class and split of each image of ROOT/NAME, a data set that torchvision has in ROOT."""
    root, name = path.parent, path.name
    base = root / SETS[name].images
    for split in SETS[name].splits or ("",):
        images = _open(name, root, split)
        files = next(getattr(images, attribute) for attribute in _FILES if hasattr(images, attribute))
        for file, label in files if isinstance(files[0], tuple) else zip(files, images._labels, strict=True):
            names = images.classes[label]
            text = names if isinstance(names, str) else names[0]  # Imagenette has synonyms
            key = Path(file).relative_to(base).with_suffix("").as_posix()
            yield Annotation(f"torchvision's {name}", key, label=text, split=split_of(split)[0])


FORMAT = Format(read_torchvision, "folder", "")  # it is chosen by its name


def _open(name: str, root: Path, split: str) -> Any:
    """Return torchvision's data set of a split; it is downloaded only where it is missing."""
    import torchvision.datasets

    dataset, arguments = getattr(torchvision.datasets, name), {"split": split} if split else {}
    try:
        return dataset(root, **arguments)
    except (RuntimeError, FileNotFoundError):
        pass
    try:
        return dataset(root, **arguments, download=True)
    except Exception as error:  # of the network, of the archive, of torchvision
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = f"get it by hand and unpack it so that {as_line(root / SETS[name].images)} holds its images"
        what = f"not whole in {as_line(root)}, and torchvision cannot download it ({reason:.120})"
        raise InputError(f"{name}: {what}; {remedy}") from None
