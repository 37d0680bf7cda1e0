"""Which image is in which split: as folders or annotations say, or drawn; the same image is never in two.

Near duplicates may be, which is reported, and variants whose names say so are kept together.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from sklearn.model_selection import train_test_split

from acol.data.images import as_line
from acol.data.manifest import SPLITS
from acol.errors import Faults, InputError
from acol.ingest.findings import Findings, summarise
from acol.ingest.folder_settings import FolderSettings
from acol.ingest.layout import Layout, Photo

NEAR = 3  # bits of 64 in which near duplicates may differ: a photograph saved again, resized, or a frame later
_BAND = 16  # of NEAR + 1 bands of bits one is equal, if at most NEAR bits differ


def assign_splits(layout: Layout, settings: FolderSettings) -> str:
    """Give each image its split, and return in words the folder's layout and where its splits come from.

    The splits are those of the annotations if they give some, else those of the folders. What is missing of them is
    drawn from train. Images of one group stay in one split, as equal ones do.
    """
    _check_readable(layout)
    names, by = _given_splits(layout, settings.test_from)
    _assign_groups(layout.kept, settings.group_by, layout.findings)
    _check_classes_of_splits(layout, names)
    _draw_splits(layout, names, by, settings)
    return _description(layout, names, by)


def _given_splits(layout: Layout, test_from: str | None) -> tuple[tuple[str, ...], str]:
    """Return the names of the splits that the data set comes with, none if all are drawn, and who gives them."""
    given, by = {*layout.splits}, "folders"
    for photo in layout.photos.values():
        if split := photo.annotation.split:
            if photo.split not in ("", split):
                what = f"in {photo.split}, but {split} in {as_line(photo.annotation.source)}"
                layout.findings.fault(layout.base / photo.path, f"{what}; correct one of the two")
            photo.split, by = split, "annotations"
            given.add(split)
    names = tuple(name for name in SPLITS if name in given)
    if fault := _fault_of_names(names, test_from):
        layout.findings.fault(layout.base, fault)
    elif test_from == "val":
        for photo in layout.photos.values():
            photo.split = "test" if photo.split == "val" else photo.split
        names = "train", "test"
    return names, by


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


def _assign_groups(photos: Sequence[Photo], pattern: str | None, findings: Findings) -> None:
    """Give each image the group that a regular expression, if there is one, finds in its path."""
    if pattern is None:
        return
    try:
        matches = [(photo, match) for photo in photos if (match := re.search(pattern, photo.path))]
    except re.error as error:
        raise InputError(f"group_by {pattern!r}: not a regular expression ({error}); correct it") from None
    for photo, match in matches:
        photo.group = f"{photo.label}/{match[1] if match.re.groups else match[0]}"
    if len({photo.group for photo, _ in matches}) == len(matches):
        findings.note(f"data.group_by: {as_line(pattern)!r} without effect: it joins no two images")


def _draw_splits(layout: Layout, names: tuple[str, ...], by: str, settings: FolderSettings) -> None:
    photos, findings = layout.kept, layout.findings
    if names and (without := [photo.path for photo in photos if not photo.split]):
        what = f"in no split, though {by} give one to others; give these one too, or remove them"
        findings.fault(layout.base, summarise(without, what))
        return
    clear = _note_shared_bytes(layout)
    shares = {"val": settings.val_fraction, "test": settings.test_fraction}
    shares = {name: share for name, share in shares.items() if name not in names}
    if not clear or not shares:
        return
    drawn = [photo for photo in photos if not names or photo.split == "train"]
    same = join_groups([photo.facts.sha256 for photo in drawn], [photo.group for photo in drawn])
    try:
        chosen = stratified_split([photo.label for photo in drawn], same, shares, settings.seed)
    except InputError as error:
        findings.faults += str(error).splitlines()
        return
    for photo, split in zip(drawn, chosen, strict=True):
        photo.split = split


def _description(layout: Layout, names: tuple[str, ...], by: str) -> str:
    folders = "a folder for each class"
    if not layout.by_folder:
        folders = "each image's class is that of its largest annotated object, or the one that a list gives"
    if layout.splits:
        several = f"the folder{'s' if layout.splits[1:] else ''} {_listed(layout.splits)}"
        each = ", each with " if layout.splits[1:] else " with "
        folders = f"{several}{each if layout.by_folder else '; '}{folders}"
    if not names:
        return f"{folders}; val and test are drawn here"
    if by != "folders":
        folders += f"; {_listed(names)} are given by the annotations"
    elif "test" in names and "test" not in layout.splits:
        folders += "; val is the test split"
    drawn = [name for name in ("val", "test") if name not in names]
    return folders + (f"; {' and '.join(drawn)} {'are' if drawn[1:] else 'is'} drawn from train" if drawn else "")


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if names[1:] else names)


def _check_readable(layout: Layout) -> None:
    """Note the class folders, or the classes without one, of which every image is left out as unreadable."""

    def place(photo: Photo) -> str:
        return str((layout.base / photo.path).parent) if layout.by_folder else f"class {photo.label!r}"

    for where in sorted({*map(place, layout.photos.values())} - {*map(place, layout.kept)}):
        layout.findings.fault(where, "every image is unreadable; replace or remove them")


def _check_classes_of_splits(layout: Layout, names: tuple[str, ...]) -> None:
    """Note the classes without an image in one of the given splits, `names`."""
    # A folder without images is already reported.
    known = {(photo.split, photo.label) for photo in layout.kept} | {folder for folder in layout.folders if folder[0]}
    # A set for finding defects has good pieces alone in train, and all classes in test.
    way = "add some or remove the class"
    ways = {"train": "add some, remove the class, or set data.images to the folder of test, to draw all splits from it"}
    for label in sorted({label for _, label in layout.folders}):
        for name in names:
            if (name, label) not in known:
                layout.findings.fault(layout.base, f"class {label!r} has no image in {name}; {ways.get(name, way)}")


def _note_shared_bytes(layout: Layout) -> bool:
    """Note each image whose copy is in another class or in another given split; return whether there is none."""
    first: dict[str, Photo] = {}
    clear = True
    for photo in layout.kept:
        twin = first.setdefault(photo.facts.sha256, photo)
        where = ""
        if twin.label != photo.label:
            where = f"the classes {twin.label!r} and {photo.label!r}; remove the wrong one"
        elif twin.split != photo.split:
            where = f"{twin.split} and {photo.split}; remove one of them"
        if where:
            layout.findings.fault((layout.base / twin.path, layout.base / photo.path), f"the same image in {where}")
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
    for label, hashes in sorted(copies.items()):
        total, different = hashes.total(), len(hashes)
        have = f"{total} image{'s' * (total > 1)}" + (f", {different} different" if different < total else "")
        what = f"class {label!r}: {have}, but {', '.join(sorted(names))} need {len(names)} different ones"
        few += [f"{what}; add images or remove the class"] * (different < len(names))
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


def join_groups(contents: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return one text for each of N images, the same for those of one content or group, or linked by both.

    The group is "" for an image that is in none.
    """
    leader: dict[str, str] = {}
    names = {*groups} - {""}  # a group's name leads, so that one more image of it moves none

    def first(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for content, group in zip(contents, groups, strict=True):
        both = sorted((first(content), first(group or content)), key=lambda key: (key not in names, key))
        leader[both[1]] = both[0]
    return [first(content) for content in contents]


def groups_across_splits(photos: Iterable[Photo]) -> list[tuple[str, str]]:
    """Return the paths of two images in different splits of each group that has some."""
    first: dict[str, Photo] = {}
    pairs: dict[str, tuple[str, str]] = {}
    for photo in sorted(photos, key=lambda photo: photo.path):
        if photo.group and first.setdefault(photo.group, photo).split != photo.split:
            pairs.setdefault(photo.group, (first[photo.group].path, photo.path))
    return sorted(pairs.values())


def twins_across_splits(photos: Iterable[Photo]) -> list[tuple[str, str]]:
    """Return the paths of the pairs of near duplicates in different splits; an image is in one pair."""
    buckets: defaultdict[tuple[int, int], list[Photo]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: photo.path):
        for band in range(NEAR + 1):
            buckets[band, photo.facts.phash >> (_BAND * band) & (2**_BAND - 1)].append(photo)
    twin_of: dict[str, str] = {}
    for alike in buckets.values():
        # A bucket of flat images is huge, and its pairs say nothing.
        for one, other in combinations(alike, 2) if len(alike) <= 1000 else ():
            if one.split != other.split and (one.facts.phash ^ other.facts.phash).bit_count() <= NEAR:
                twin_of.setdefault(other.path, one.path)
    return sorted((one, other) for other, one in twin_of.items())


def report_near_duplicates(photos: Sequence[Photo], findings: Findings) -> None:
    """Report near duplicates in two splits, and groups that given splits have taken apart."""
    for noun, pairs, remedy in (
        ("variant", groups_across_splits(photos), "data.group_by does not change given splits; remove {}"),
        ("near duplicate", twins_across_splits(photos), "remove {}, or keep variants together by data.group_by"),
    ):
        verb, them = ("s are", "them") if len(pairs) > 1 else (" is", "it")
        for one, other in pairs[:1]:
            such = f"{len(pairs)} {noun}{verb} in two splits, such as {as_line(one)} and {as_line(other)}"
            findings.note(f"{such}: {remedy.format(them)}")
