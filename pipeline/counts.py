"""Counts of what a model predicted, without the images, in the text form that Prometheus reads:

    acol_images_total 120
    acol_predictions_total{class="keeper"} 31
    acol_probability_bucket{le="0.9"} 57        images whose class is at most so probable
    acol_region_bucket{le="0.2"} 64             images of which the region fills at most that share

Each number counts images, so the counts of two files can be added, and a number is a share of the images.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from acol.errors import InputError
from acol.files import atomic_write

if TYPE_CHECKING:
    from acol.prediction.predictor import Prediction, Predictor  # imports torch, which takes seconds

IMAGES = "acol_images_total"
_EDGES = (*(f"{tenth / 10}" for tenth in range(1, 10)), "0.95", "+Inf")
_LINE = re.compile(r'(acol_\w+(?:\{\w+=".*"\})?) (\d+)')


def counted(rows: Iterable[tuple[str, float, float]]) -> Counter[str]:
    """Count images by class, by its probability, and by the share of the image that the region fills."""
    found: Counter[str] = Counter()
    for label, probability, region in rows:
        name = label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        found.update([IMAGES, f'acol_predictions_total{{class="{name}"}}'])
        for of, value in (("probability", probability), ("region", region)):
            found.update(_bucket(of, edge) for edge in _EDGES if value <= float(edge))
    return found


def count_predictions(predictor: "Predictor") -> Counter[str]:
    """Count from now on what a predictor predicts; return the counts, which grow."""
    counts: Counter[str] = Counter()
    predict = predictor.predict

    def counting(images: Sequence[Any], *labels: Any) -> "list[Prediction]":
        found = predict(images, *labels)
        region = [float((each.map > predictor.tau * each.map.max()).mean()) for each in found]
        counts.update(counted((each.label, each.probability, r) for each, r in zip(found, region, strict=True)))
        return found

    predictor.predict = counting  # type: ignore[method-assign,assignment]
    return counts


def text_of(counts: Counter[str]) -> str:
    """Return the counts as Prometheus reads them; each histogram has the number of images as its count."""
    lines = [f"# TYPE {IMAGES} counter", f"{IMAGES} {counts[IMAGES]}", "# TYPE acol_predictions_total counter"]
    lines += [f"{name} {number}" for name, number in sorted(counts.items()) if name.startswith("acol_predictions")]
    for of in ("probability", "region"):
        lines.append(f"# TYPE acol_{of} histogram")
        lines += [f"{bucket} {counts[bucket]}" for bucket in (_bucket(of, edge) for edge in _EDGES)]
        lines.append(f"acol_{of}_count {counts[IMAGES]}")
    return "\n".join(lines) + "\n"


def _bucket(of: str, edge: str) -> str:
    return f'acol_{of}_bucket{{le="{edge}"}}'


def read_counts(file: Path) -> Counter[str]:
    """Read a file of counts, of other numbers too. Raises `InputError` if it holds none."""
    try:
        found = (_LINE.fullmatch(line) for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); name a file that --counts wrote, or of /metrics") from None
    counts = Counter({match[1]: int(match[2]) for match in found if match and not match[1].endswith("_count")})
    if not counts[IMAGES]:
        raise InputError(f"{file}: counts no images; name a file that --counts wrote, or what /metrics answered")
    return counts


def add_to(file: Path, counts: Counter[str]) -> None:
    """Add counts to those in a file, which is made if there is none."""
    with FileLock(f"{file}.lock"):
        total = (read_counts(file) if file.exists() else Counter()) + counts
        with atomic_write(file) as temporary:
            temporary.write_text(text_of(total), encoding="utf-8")
