"""Images that show the same: near duplicates, and variants whose names say so."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

NEAR = 3  # bits of 64 in which near duplicates may differ: a photograph saved again, resized, or a frame later
_BAND = 16  # of NEAR + 1 bands of bits one is equal, if at most NEAR bits differ


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
