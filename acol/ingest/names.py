"""When two spellings are one name, and what the words of a folder's name say."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

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
    "samples", "file", "files", "all", "full", "final",
}  # fmt: skip
_MASKS = {"mask", "masks", "segmentation", "segmentations", "trimap", "trimaps", "truth", "gt"}
_PIECES = {"part", "batch", "chunk", "fold", "shard"}
_KNOWN = _SPLITS.keys() | _IMAGES | _BESIDE | _FILLERS
_JOINED = re.compile("|".join(sorted(_KNOWN, key=lambda word: (-len(word), word))))


def plain(name: str) -> str:
    """Return a name without the differences that tools make: case, Unicode's form, and space, underscore or hyphen."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def one_name(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of different names that are one `plain` name, in order."""
    first: dict[str, str] = {}
    return [(first[key], name) for name in sorted(set(names)) if first.setdefault(key := plain(name), name) != name]


def words(name: str) -> list[str]:
    """Return the words of a name in lower case, without digits: testSet, test-set_01 and testset are test, set."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name)).casefold()
    found = []
    for word in re.findall(r"[^\W\d_]+", apart):
        known = _JOINED.findall(word) if word not in _KNOWN else [word]
        found += known if "".join(known) == word else [word]
    return found


def split_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that the words of a name say, if they say one, and the words that mean something else."""
    its = words(name)
    splits = {_SPLITS[word] for word in its if word in _SPLITS}
    split = "train" if splits == {"train", "val"} else splits.pop() if len(splits) == 1 else None
    return split, tuple(word for word in its if word not in _SPLITS.keys() | _IMAGES | _FILLERS)


def splits_among(names: Iterable[str]) -> dict[str, str]:
    """Return name -> split of the folders, of some that lie together, whose names say a split.

    Such a name has no word but that of the split and parts of a data set (train_images), or there is one with the same
    other words for another split: flowers_train and flowers_test; not "passenger train", alone or beside "test tube".
    Folders of labels and masks are none.
    """
    said = {name: split_of(name) for name in names}
    of_rest: dict[tuple[str, ...], set[str]] = {}
    for split, rest in said.values():
        of_rest.setdefault(rest, set()).update({split} if split else ())
    return {
        name: split
        for name, (split, rest) in said.items()
        if split and not _BESIDE.intersection(rest) and (not rest or len(of_rest[rest]) > 1)
    }


def is_images(name: str) -> bool:
    """Whether a name says only that images are in it: images, JPEGImages, photos."""
    return bool(its := set(words(name))) and its <= _IMAGES


def is_masks(name: str) -> bool:
    """Whether a name says that masks are in it."""
    return not _MASKS.isdisjoint(words(name))


def are_pieces(names: Sequence[str]) -> bool:
    """Whether names, which differ only in a number, are of pieces of one set: images_001 and images_002."""
    each = {tuple(words(name)) for name in names}
    return len(names) > 1 and len(each) == 1 and bool((_IMAGES | _PIECES) & set(*each))


def is_part(name: str) -> bool:
    """Whether all words of a name are of splits and parts of a data set; with a number only of splits: label_1."""
    its = set(words(name))
    return its <= _KNOWN and bool(its & (_SPLITS.keys() if re.search(r"\d", name) else _KNOWN - _FILLERS))
