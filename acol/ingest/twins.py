"""Images that show the same: near duplicates, and variants whose names say so."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from acol.data.images import shown
from acol.errors import InputError
from acol.ingest.findings import Findings

NEAR = 3  # bits of 64 in which near duplicates may differ: a photograph saved again, resized, or a frame later
_BAND = 16  # of NEAR + 1 bands of bits one is equal, if at most NEAR bits differ


def variants(pattern: str | None, labels: Mapping[str, str], findings: Findings) -> dict[str, str]:
    """Return the group of each image (of path -> class) that a regular expression finds one for.

    Raises `InputError` for an impossible expression.
    """
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
    """Return the pairs of near duplicates whose images are in different splits, in order of their paths.

    `hashes` are 64-bit perceptual hashes by path. Each image is named in at most one pair.
    """
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
