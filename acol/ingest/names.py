"""When two spellings are one name, and what the words of a folder's name say."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

OWN_SETTINGS = "acol.yaml"  # in a folder of images: its settings, which params.yaml need not repeat
_SPLITS = {
    "train": "train", "training": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "eval": "val", "evaluation": "val",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip
# Parts of a data set: as classes they are nearly always a misreading. Those of the second group hold no photographs.
_IMAGES = {"image", "images", "img", "imgs", "jpegimages", "photo", "photos"}
_BESIDE = {
    "label", "labels", "annotation", "annotations", "ann", "anns", "ans", "mask", "masks", "segmentation",
    "segmentations", "bbox", "bboxes", "metadata", "gt", "trimap", "trimaps",
}  # fmt: skip
# What stands beside these words, and says nothing of its own.
_FILLERS = {
    "set", "sets", "data", "dataset", "datasets", "split", "splits", "subset", "folder", "dir", "part", "seg", "rgb",
    "raw", "orig", "original", "jpg", "jpeg", "png", "color", "colour", "pic", "pics", "picture", "pictures", "sample",
    "samples", "file", "files", "all", "full", "final", "mini",
}  # fmt: skip
_MASKS = {"mask", "masks", "segmentation", "segmentations", "trimap", "trimaps", "truth", "gt"}
_PIECES = {"part", "batch", "chunk", "fold", "shard"}
_KNOWN = _SPLITS.keys() | _IMAGES | _BESIDE | _FILLERS
_JOINED = re.compile("|".join(sorted(_KNOWN, key=lambda word: (-len(word), word))))


def normalised(name: str) -> str:
    """Return a name without the differences that tools make: case, Unicode's form, and space, underscore or hyphen."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of different names that clash, as they are equal once `normalised`, in order."""
    first: dict[str, str] = {}
    pairs = ((first.setdefault(normalised(name), name), name) for name in sorted(set(names)))
    return [(one, other) for one, other in pairs if one != other]


def words(name: str) -> list[str]:
    """Return the words of a name in lower case, without digits: testSet, test-set_01 and testset are test, set."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name)).casefold()
    parts: list[str] = []
    for word in re.findall(r"[^\W\d_]+", spaced):
        known = _JOINED.findall(word) if word not in _KNOWN else [word]
        parts += known if "".join(known) == word else [word]
    return parts


def split_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that the words of a name say, if they say one, and the words that mean something else."""
    parts = words(name)
    splits = {_SPLITS[word] for word in parts if word in _SPLITS}
    split = "train" if splits == {"train", "val"} else splits.pop() if len(splits) == 1 else None
    return split, tuple(word for word in parts if word not in _SPLITS.keys() | _IMAGES | _FILLERS)


def splits_in(names: Iterable[str]) -> dict[str, str]:
    """Return name -> split of the folders, of some that lie together, whose names say a split.

    Such a name has no word but that of the split and parts of a data set (train_images), or there is one with the same
    other words for another split: flowers_train and flowers_test; not "passenger train", alone or beside "test tube".
    Folders of labels and masks are none.
    """
    parsed = {name: split_of(name) for name in names}
    splits_of_rest: dict[tuple[str, ...], set[str]] = {}
    for split, rest in parsed.values():
        splits_of_rest.setdefault(rest, set()).update({split} if split else ())
    return {
        name: split
        for name, (split, rest) in parsed.items()
        if split and not _BESIDE.intersection(rest) and (not rest or len(splits_of_rest[rest]) > 1)
    }


def is_prediction(file: Path) -> bool:
    """Whether a file's name says that it is a challenge's answer, and so no truth: sample_submission.csv."""
    return "submission" in words(file.stem)


def is_images(name: str) -> bool:
    """Whether a name says only that images are in it: images, JPEGImages, photos."""
    return bool(parts := set(words(name))) and parts <= _IMAGES


def is_masks(name: str) -> bool:
    """Whether a name says that masks are in it."""
    return not _MASKS.isdisjoint(words(name))


def is_beside(name: str) -> bool:
    """Whether a name says only that something about images is in it: labels, annotations."""
    return bool(parts := set(words(name))) and parts <= _BESIDE


def are_pieces(names: Sequence[str]) -> bool:
    """Whether names, which differ only in a number, are of pieces of one set: images_001 and images_002."""
    each = {tuple(words(name)) for name in names}
    return len(names) > 1 and len(each) == 1 and bool((_IMAGES | _PIECES) & set(*each))


def is_part(name: str) -> bool:
    """Whether all words of a name are of splits and parts of a data set; with a number only of splits: label_1."""
    parts = set(words(name))
    return parts <= _KNOWN and bool(parts & (_SPLITS.keys() if re.search(r"\d", name) else _KNOWN - _FILLERS))
