"""When classes count as uneven."""

from collections.abc import Collection

UNEVEN = 1.5  # how many times as many images the largest class has


def uneven(counts: Collection[int]) -> bool:
    """Return whether the largest of the classes' numbers of images is more than `UNEVEN` times the smallest."""
    return bool(counts) and max(counts) > UNEVEN * min(counts)
