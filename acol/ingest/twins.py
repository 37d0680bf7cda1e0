"""Images that show the same: near duplicates, and variants whose names say so."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations

NEAR = 3  # bits of 64 in which near duplicates may differ: a photograph saved again, resized, or a frame later
_BAND = 16  # of NEAR + 1 bands of bits one is equal, if at most NEAR bits differ


def straddling(
    hashes: Mapping[str, int], splits: Mapping[str, str], groups: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the pairs of near duplicates whose images are in different splits, in order of their paths.

    `hashes` are 64-bit perceptual hashes by path. A pair of one group is left out: the user knows it, and the split has
    kept it together. Each image is named in at most one pair.
    """
    buckets: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for path in sorted(hashes):
        for band in range(NEAR + 1):
            buckets[band, hashes[path] >> (_BAND * band) & (2**_BAND - 1)].append(path)
    found: dict[str, str] = {}
    for paths in buckets.values():
        # A bucket of flat images is huge, and its pairs say nothing.
        for one, other in combinations(paths, 2) if len(paths) <= 1000 else ():
            apart = splits[one] != splits[other] and groups.get(one, one) != groups.get(other, other)
            if apart and (hashes[one] ^ hashes[other]).bit_count() <= NEAR:
                found.setdefault(other, one)
    return sorted((one, other) for other, one in found.items())
