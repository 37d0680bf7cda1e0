"""Counts what a model predicted, without the images, in the text form that Prometheus reads:

    acol_images_total 120
    acol_predictions_total{class="keeper"} 31
    acol_probability_bucket{le="0.9"} 57        images whose class has at most this probability
    acol_region_bucket{le="0.2"} 64             images of which the region fills at most this share

Each number counts images. So the counts of two files can be added, and a count divided by all images is a share.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from acol.errors import InputError
from acol.files import atomic_write

IMAGES = "acol_images_total"
_LIMITS = (*(f"{tenth / 10}" for tenth in range(1, 10)), "0.95", "+Inf")
_LINE = re.compile(
    r'(acol_(?:images_total|predictions_total\{class=".*"\}|(?:probability|region)_bucket\{le=".*"\})) (\d+)'
)


def count_predictions(rows: Iterable[tuple[str, float, float]]) -> Counter[str]:
    """Count images, each given by its class, that class's probability, and the share of the image in the region."""
    counts: Counter[str] = Counter()
    for label, probability, region in rows:
        escaped = label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        counts.update([IMAGES, f'acol_predictions_total{{class="{escaped}"}}'])
        for quantity, value in (("probability", probability), ("region", region)):
            counts.update(_bucket(quantity, limit) for limit in _LIMITS if value <= float(limit))
    return counts


def prometheus_text(counts: Counter[str]) -> str:
    """Return the counts as Prometheus reads them. Each histogram has the number of images as its count."""
    lines = [f"# TYPE {IMAGES} counter", f"{IMAGES} {counts[IMAGES]}", "# TYPE acol_predictions_total counter"]
    lines += [f"{name} {number}" for name, number in sorted(counts.items()) if name.startswith("acol_predictions")]
    for quantity in ("probability", "region"):
        lines.append(f"# TYPE acol_{quantity} histogram")
        lines += [f"{bucket} {counts[bucket]}" for bucket in (_bucket(quantity, limit) for limit in _LIMITS)]
        lines.append(f"acol_{quantity}_count {counts[IMAGES]}")
    return "\n".join(lines) + "\n"


def _bucket(quantity: str, limit: str) -> str:
    return f'acol_{quantity}_bucket{{le="{limit}"}}'


def read_counts(file: Path) -> Counter[str]:
    """Read a file of counts, which may hold other numbers too. Raises `InputError` without, or for impossible ones."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); name a file of --counts or /metrics") from None
    counts = Counter({match[1]: int(match[2]) for match in map(_LINE.fullmatch, lines) if match})
    if not 0 < counts[IMAGES] == max(counts.values()):
        remedy = "name a file that --counts wrote, or what /metrics answered"
        raise InputError(f"{file}: counts no images, or more of something; {remedy}")
    return counts


def add_to(file: Path, counts: Counter[str]) -> None:
    """Add counts to those in a file. The file is made if it is missing."""
    with FileLock(f"{file}.lock"):
        total = (read_counts(file) if file.exists() else Counter()) + counts
        with atomic_write(file) as temporary:
            temporary.write_text(prometheus_text(total), encoding="utf-8")
