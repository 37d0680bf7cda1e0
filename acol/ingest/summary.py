"""A summary of a folder that was read, as text."""

from collections import Counter

from acol.data.manifest import SPLITS
from acol.ingest.folder import Reading


def summary(reading: Reading) -> str:
    """Return the layout, the images of each class by split, and how many images of each split have boxes and masks."""
    images, classes = reading.manifest.images, reading.manifest.classes
    counts = Counter((image.label, image.split) for image in images)
    width = max(map(len, ("class", *classes)))
    return "\n".join(
        [
            f"layout: {reading.layout}",
            f"{'class':{width}}" + "".join(f"{split:>9}" for split in SPLITS),
            *(f"{label:{width}}" + "".join(f"{counts[label, split]:9}" for split in SPLITS) for label in classes),
            f"boxes: {_by_split(Counter(image.split for image in images if image.boxes is not None))}",
            f"masks: {_by_split(Counter(image.split for image in images if image.masked))}" + _meaning(reading),
            f"{len(classes)} classes: {_by_split(Counter(image.split for image in images))}",
        ]
    )


def warnings(reading: Reading) -> list[str]:
    """Return a line for each image that was left out, and for each remark."""
    left_out = [f"left out: {image.path}: {image.reason}" for image in reading.left_out]
    return left_out + [f"warning: {remark}" for remark in reading.remarks]


def _meaning(reading: Reading) -> str:
    """What the values of masks mean, if there are masks."""
    return f" ({reading.manifest.mask_values})" if any(image.mask for image in reading.manifest.images) else ""


def _by_split(counts: Counter[str]) -> str:
    """Return how many images of each split there are, such as "20 train, 5 test"."""
    return ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split]) or "none"
