"""Which image is in which split: as folders or annotations say, or drawn; the same image is never in two.

Near duplicates may be, which is told, and variants whose names say so are kept together.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sklearn.model_selection import train_test_split

from acol.data.images import shown
from acol.data.manifest import SPLITS
from acol.errors import Faults, InputError
from acol.ingest.annotations import Annotation
from acol.ingest.findings import Findings, told
from acol.ingest.layout import Layout

NEAR = 3  # bits of 64 in which near duplicates may differ: a photograph saved again, resized, or a frame later
_BAND = 16  # of NEAR + 1 bands of bits one is equal, if at most NEAR bits differ


@dataclass(frozen=True)
class Given:
    """The splits that a data set comes with: their names (none if all are drawn), path -> split, and who says it."""

    names: tuple[str, ...]
    of: Mapping[str, str]
    by: str = "folders"


def given_splits(layout: Layout, annotated: Mapping[str, Annotation], test_from: str | None) -> Given:
    """Return the splits of the annotations if they give some, else those of the folders; `test_from` is the setting."""
    given = Given(layout.splits, layout.splits_of)
    if splits := {path: annotation.split for path, annotation in annotated.items() if annotation.split}:
        for path, split in splits.items():
            if (folder := layout.splits_of.get(path, split)) != split:
                what = f"in {folder}, but {split} in {shown(annotated[path].source)}"
                layout.findings.fault(layout.base / path, f"{what}; correct one of the two")
        both = {**layout.splits_of, **splits}
        given = Given(tuple(name for name in SPLITS if name in {*layout.splits, *both.values()}), both, "annotations")
    if fault := _fault_of_names(given.names, test_from):
        layout.findings.fault(layout.base, fault)
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
    layout: Layout, given: Given, groups: Mapping[str, str], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Return path -> split of the layout's images: the given splits; what is missing of them is drawn from train.

    Images of one of `groups` (by path) stay in one split, as equal ones do; `fractions` are the shares in each class.
    """
    labels, findings = layout.kept, layout.findings
    splits = {path: given.of[path] for path in labels if path in given.of}
    _check_classes_of_splits(layout, splits, given.names)
    if given.names and (without := [path for path in labels if path not in splits]):
        what = f"in no split, though {given.by} give one to others; give these one too, or remove them"
        findings.fault(layout.base, told(without, what))
        return splits

    # An unreadable image that is not left out stays in the split, so that it causes no further faults.
    contents = {path: layout.decoded[path].sha256 if path in layout.decoded else path for path in labels}
    clear = _note_shared_bytes(layout, contents, splits)
    fractions = {name: share for name, share in fractions.items() if name not in given.names}
    if not clear or not fractions:
        return splits
    drawn = [path for path in labels if not given.names or splits.get(path) == "train"]
    try:
        same = together(drawn, contents, groups)
        chosen = stratified_split([labels[path] for path in drawn], same, fractions, seed)
    except InputError as error:
        findings.faults += str(error).splitlines()
        return splits
    return splits | dict(zip(drawn, chosen, strict=True))


def describe(layout: Layout, given: Given) -> str:
    """Describe a folder's layout and where its splits come from."""
    folders = "a folder for each class"
    if not layout.by_folder:
        folders = "each image's class is that of its largest annotated object, or the one that a list gives"
    if layout.splits:
        several = f"the folder{'s' if layout.splits[1:] else ''} {_listed(layout.splits)}"
        each = ", each with " if layout.splits[1:] else " with "
        folders = f"{several}{each if layout.by_folder else '; '}{folders}"
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


def _check_classes_of_splits(layout: Layout, splits: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Note which class folders have no readable image, and which classes none in one of the given splits, `names`."""
    before, after = (
        {(layout.splits_of.get(path), label) for path, label in images.items()}
        for images in (layout.labels, layout.kept)
    )
    for split, label in layout.folders:
        if (split, label) in before - after:
            folder = layout.base / (f"{split}/{label}" if split else label)
            layout.findings.fault(folder, "every image is unreadable; replace them or remove the folder")
    held = {(splits[path], label) for path, label in layout.kept.items() if path in splits}
    # A folder without images is already reported.
    known = held | {(split, label) for split, label in layout.folders if split}
    # A set for finding defects has good pieces alone in train, and all classes in test.
    way = "add some or remove the class"
    ways = {"train": "add some, remove the class, or set data.images to the folder of test, to draw all splits from it"}
    for label in sorted({label for _, label in layout.folders}):
        for name in names:
            if (name, label) not in known:
                layout.findings.fault(layout.base, f"class {label!r} has no image in {name}; {ways.get(name, way)}")


def _note_shared_bytes(layout: Layout, contents: Mapping[str, str], splits: Mapping[str, str]) -> bool:
    """Note each image whose copy is in another class or in another given split; return whether there is none."""
    first: dict[str, str] = {}
    clear = True
    for path, label in layout.kept.items():
        twin = first.setdefault(contents[path], path)
        where = ""
        if layout.labels[twin] != label:
            where = f"the classes {layout.labels[twin]!r} and {label!r}; remove the wrong one"
        elif twin in splits and path in splits and splits[twin] != splits[path]:
            where = f"{splits[twin]} and {splits[path]}; remove one of them"
        if where:
            layout.findings.fault(f"{layout.shown(twin)} and {layout.shown(path)}", f"the same image in {where}")
            clear = False
    return clear


def stratified_split(
    labels: Sequence[str], contents: Sequence[str], fractions: Mapping[str, float], seed: int
) -> tuple[str, ...]:
    """Return the split of each of N images: a name in `fractions`, or "train" for the rest.

    `labels` are the N class names, `contents` the N content hashes; `fractions` maps each held-out split to its share
    of every class. Each class is split alone; every split gets at least one image. Identical images stay together, in
    train if the class has enough images without a copy; otherwise the fractions are of its different images. The order
    of the images changes nothing. Raises `Faults` naming each class with fewer different images than splits.
    """
    copies: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, content in zip(labels, contents, strict=True):
        copies[label][content] += 1
    names = (*fractions, "train")
    few = []
    for label, its in sorted(copies.items()):
        have = f"{its.total()} image{'s' * (its.total() > 1)}"
        have += f", {len(its)} different" if len(its) < its.total() else ""
        what = f"class {label!r}: {have}, but {', '.join(sorted(names))} need {len(names)} different ones"
        few += [f"{what}; add images or remove the class"] * (len(its) < len(names))
    if few:
        raise Faults(few)
    splits = {label: _split_class(copies[label], fractions, seed) for label in copies}
    return tuple(splits[label][content] for label, content in zip(labels, contents, strict=True))


def _split_class(copies: Mapping[str, int], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return content -> split for one class, whose contents occur `copies` times each."""
    single = sorted(content for content, count in copies.items() if count == 1)
    counts = _counts(sum(copies.values()), fractions)
    if len(single) < sum(counts.values()):
        single = sorted(copies)
        counts = _counts(len(single), fractions)
    splits = dict.fromkeys(copies, "train")
    for name, count in counts.items():
        if count == len(single):  # train has the copies
            held_out, single = single, []
        else:
            single, held_out = train_test_split(single, test_size=count, random_state=seed)
        splits.update(dict.fromkeys(held_out, name))
    return splits


def _counts(images: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Return how many of a class's images each held-out split gets: at least one, with at least one left for train."""
    counts = {name: max(1, round(fraction * images)) for name, fraction in fractions.items()}
    while sum(counts.values()) >= images:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return counts


def variants(pattern: str | None, labels: Mapping[str, str], findings: Findings) -> dict[str, str]:
    """Return the group of each image (of path -> class) that a regular expression, if it is one, finds one for."""
    if pattern is None:
        return {}
    try:
        found = {path: re.search(pattern, path) for path in labels}
    except re.error as error:
        raise InputError(f"group_by {pattern!r}: not a regular expression ({error}); correct it") from None
    groups = {
        path: f"{labels[path]}/{match[1] if match.re.groups else match[0]}" for path, match in found.items() if match
    }
    if len(set(groups.values())) == len(groups):
        findings.note(f"data.group_by: {shown(pattern)!r} without effect: it joins no two images")
    return groups


def together(paths: Sequence[str], contents: Mapping[str, str], groups: Mapping[str, str]) -> list[str]:
    """Return one text for each of the paths, the same for images of one content or group, or linked by both."""
    leader: dict[str, str] = {}
    names = set(groups.values())  # a group's name leads, so that one more image of it moves none

    def first(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for path in paths:
        both = first(contents[path]), first(groups.get(path, contents[path]))
        leader[max(both, key=lambda key: (key not in names, key))] = min(both, key=lambda key: (key not in names, key))
    return [first(contents[path]) for path in paths]


def apart(groups: Mapping[str, str], splits: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return two paths in different splits of each of the groups (by path) that has some."""
    first: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for path, group in sorted(groups.items()):
        if path in splits and splits[first.setdefault(group, path)] != splits[path]:
            found.setdefault(group, (first[group], path))
    return sorted(found.values())


def straddling(hashes: Mapping[str, int], splits: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of near duplicates, by their hashes of 64 bits, in different splits; an image is in one pair."""
    buckets: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for path in sorted(hashes):
        for band in range(NEAR + 1):
            buckets[band, hashes[path] >> (_BAND * band) & (2**_BAND - 1)].append(path)
    found: dict[str, str] = {}
    for paths in buckets.values():
        # A bucket of flat images is huge, and its pairs say nothing.
        for one, other in combinations(paths, 2) if len(paths) <= 1000 else ():
            if splits[one] != splits[other] and (hashes[one] ^ hashes[other]).bit_count() <= NEAR:
                found.setdefault(other, one)
    return sorted((one, other) for other, one in found.items())


def tell_twins(
    hashes: Mapping[str, int], splits: Mapping[str, str], groups: Mapping[str, str], findings: Findings
) -> None:
    """Tell of near duplicates in two splits, and of groups that given splits have taken apart."""
    for kind, pairs, remedy in (
        ("variant", apart(groups, splits), "data.group_by does not change given splits; remove {}"),
        ("near duplicate", straddling(hashes, splits), "remove {}, or keep variants together by data.group_by"),
    ):
        verb, them = ("s are", "them") if len(pairs) > 1 else (" is", "it")
        for one, other in pairs[:1]:
            such = f"{len(pairs)} {kind}{verb} in two splits, such as {shown(one)} and {shown(other)}"
            findings.note(f"{such}: {remedy.format(them)}")
