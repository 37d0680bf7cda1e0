"""Which image is in which split: as folders or annotations say, or drawn; the same image is never in two."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from acol.data.images import shown
from acol.data.manifest import SPLITS
from acol.errors import InputError
from acol.ingest.annotations import Annotation, Format
from acol.ingest.labels import told
from acol.ingest.layout import Layout
from acol.ingest.stratified import stratified_split
from acol.ingest.twins import together


@dataclass(frozen=True)
class Given:
    """The splits that a data set comes with: their names (none if all are drawn), path -> split, and who says it."""

    names: tuple[str, ...]
    of: Mapping[str, str]
    by: str = "folders"


def given_splits(
    layout: Layout,
    form: Format | None,
    annotated: Mapping[str, Annotation],
    test_from: str | None,
    faults: list[str],
) -> Given:
    """Return the splits of the annotations if their format gives them, else those of the folders.

    Where no test split is given, `test_from` says what to do: the images of "val" are the test split, or it is drawn
    from "train".
    """
    given = Given(layout.splits, layout.splits_of)
    splits = {path: annotation.split for path, annotation in annotated.items() if annotation.split}
    if form and form.gives_splits and splits:
        for path, split in splits.items():
            if (folder := layout.splits_of.get(path, split)) != split:
                what = f"in {folder}, but {split} in {shown(annotated[path].source)}"
                faults.append(f"{layout.shown(path)}: {what}; correct one of the two")
        both = {**layout.splits_of, **splits}
        given = Given(tuple(name for name in SPLITS if name in {*layout.splits, *both.values()}), both, "annotations")
    if fault := _fault_of_names(given.names, test_from):
        faults.append(f"{shown(layout.base)}: {fault}")
    elif test_from == "val":
        moved = {path: "test" if split == "val" else split for path, split in given.of.items()}
        return Given(("train", "test"), moved, given.by)
    return given


def _fault_of_names(names: tuple[str, ...], test_from: str | None) -> str | None:
    """What is wrong with the names of the given splits, and with the setting `data.test_from`."""
    if test_from and (not names or "test" in names):
        have = "there is a test split" if names else "no splits are given, and so all are drawn"
        return f"data.test_from is {test_from}, but {have}; remove the setting"
    if test_from and test_from not in names:
        return f"data.test_from is {test_from}, but there is no {test_from}; correct the setting"
    if names and "train" not in names:
        return "no folder 'train'; add it, with a folder for each class"
    if names and "test" not in names and not test_from:
        on_val = "val, to test on the images of val, or to " if "val" in names else ""
        way = f"add it, or set data.test_from (--test-from) to {on_val}train, to draw it from there"
        return f"no folder 'test' with class folders in it; {way}"
    return None


def complete_splits(
    layout: Layout,
    given: Given,
    labels: Mapping[str, str],
    contents: Mapping[str, str],
    groups: Mapping[str, str],
    fractions: Mapping[str, float],
    seed: int,
    faults: list[str],
) -> dict[str, str]:
    """Return path -> split of the images in `labels` (path -> class): the given splits, and drawn ones.

    `contents` are their hashes; images of one of `groups` (by path) stay in one split, as equal ones do;
    `fractions` the shares of "val" and "test" in each class. If no split is given, all are drawn. What is missing
    of val and test is drawn from train.
    """
    splits = {path: given.of[path] for path in labels if path in given.of}
    faults += _emptied(layout, labels)
    faults += _missing(layout, labels, splits, given.names)
    if given.names and (without := [path for path in labels if path not in splits]):
        what = f"in no split, though {given.by} give one to others; give these one too, or remove them"
        faults.append(f"{shown(layout.base)}: {told(without, what)}")
        return splits
    copies = _shared_bytes(layout, labels, contents, splits)
    faults += copies
    fractions = {name: share for name, share in fractions.items() if name not in given.names}
    if copies or not fractions:
        return splits
    drawn = [path for path in labels if not given.names or splits.get(path) == "train"]
    try:
        same = together(drawn, contents, groups)
        chosen = stratified_split([labels[path] for path in drawn], same, fractions, seed)
    except InputError as error:
        faults += str(error).splitlines()
        return splits
    return splits | dict(zip(drawn, chosen, strict=True))


def describe(layout: Layout, given: Given) -> str:
    """Describe a folder's layout and where its splits come from."""
    if not layout.by_folder:
        folders = "each image's class is that of its largest annotated object, or the one that a list gives"
    else:
        folders = "a folder for each class"
    if layout.splits:
        several = "the folders {}, each" if layout.splits[1:] else "the folder {}"
        folders = f"{several.format(_listed(layout.splits))} with {folders}"
    if not given.names:
        return f"{folders}; val and test are drawn here"
    if given.by != "folders":
        folders += f"; {_listed(given.names)} are given by the annotations"
    elif "test" in given.names and "test" not in layout.splits:
        folders += "; val is the test split"
    drawn = [name for name in ("val", "test") if name not in given.names]
    return folders + (f"; {' and '.join(drawn)} {'are' if drawn[1:] else 'is'} drawn from train" if drawn else "")


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if names[1:] else names)


def _emptied(layout: Layout, labels: Mapping[str, str]) -> list[str]:
    """Return a fault for each class folder that has images, but none of them in `labels`."""
    before, after = (
        Counter((layout.splits_of.get(path), label) for path, label in images.items())
        for images in (layout.labels, labels)
    )
    return [
        f"{layout.shown(f'{split}/{label}' if split else label)}: every image is unreadable; replace them or remove"
        " the folder"
        for split, label in layout.folders
        if before[split, label] and not after[split, label]
    ]


def _missing(layout: Layout, labels: Mapping[str, str], splits: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    """Return a fault for each class that has no image in one of the given splits, `names`."""
    held = {(splits[path], label) for path, label in labels.items() if path in splits}
    # A folder without images is already reported.
    known = held | {(split, label) for split, label in layout.folders if split}
    # A set for finding defects has good pieces alone in train, and all classes in test.
    way = "add some or remove the class"
    ways = {"train": "add some, remove the class, or set data.images to the folder of test, to draw all splits from it"}
    return [
        f"{shown(layout.base)}: class {label!r} has no image in {name}; {ways.get(name, way)}"
        for label in sorted({label for _, label in layout.folders})
        for name in names
        if (name, label) not in known
    ]


def _shared_bytes(
    layout: Layout, labels: Mapping[str, str], contents: Mapping[str, str], splits: Mapping[str, str]
) -> list[str]:
    """Return a fault for each image whose copy is in another class or in another given split."""
    faults = []
    first: dict[str, str] = {}
    for path in labels:
        twin = first.setdefault(contents[path], path)
        both = f"{layout.shown(twin)} and {layout.shown(path)}: the same image"
        if labels[twin] != labels[path]:
            faults.append(f"{both} in the classes {labels[twin]!r} and {labels[path]!r}; remove the wrong one")
        elif twin in splits and path in splits and splits[twin] != splits[path]:
            faults.append(f"{both} in {splits[twin]} and {splits[path]}; remove one of them")
    return faults
