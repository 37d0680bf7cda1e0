"""drift: compares what a model predicts now with what it predicted on its test images.

    acol predict photos --out out --counts counts.txt     or: curl localhost:8000/metrics > counts.txt
    acol drift counts.txt [--model models:/acol@champion]

The counts hold no image: how many there were of each class, up to each probability, and up to each size of the region
(`pipeline.counts`). Each is a share of the images, and the difference of two shares has Newcombe's interval
(Statistics in Medicine 1998, method 10), at a level by which all of them together hold with 95 %. Exit status: 0, or 3
if an interval leaves out 0.
"""

import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acol.errors import InputError
from acol.metrics.intervals import wilson
from pipeline import cli
from pipeline.counts import IMAGES, read_counts
from pipeline.tracking.registry import card_in, download

LEVEL = 0.95
DRIFTED = 3  # exit status


@dataclass(frozen=True)
class Shift:
    """The share of the images that a number counts: on the test images, now, and the interval of the difference."""

    name: str
    before: float
    now: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the difference is not by chance."""
        return not self.low <= 0 <= self.high

    @property
    def words(self) -> str:
        """What is counted, for people."""
        metric, label = self.name.removeprefix("acol_").split("{", 1)
        value = label.split('"', 1)[1].removesuffix('"}')
        words = {"predictions_total": "class {}", "probability_bucket": "probability at most {}"}
        return words.get(metric, "region at most {} of the image").format(value)


def shifts(before: Mapping[str, int], now: Mapping[str, int]) -> list[Shift]:
    """Return the difference of each share, those that changed most first."""
    names = [name for name in {**before, **now} if name != IMAGES and '"+Inf"' not in name]
    level, found = 1 - (1 - LEVEL) / len(names), []
    for name in names:
        a, b = (wilson(counts.get(name, 0) / counts[IMAGES], counts[IMAGES], level) for counts in (before, now))
        difference = b.value - a.value
        low = difference - math.hypot(b.value - b.low, a.high - a.value)
        high = difference + math.hypot(b.high - b.value, a.value - a.low)
        found.append(Shift(name, a.value, b.value, low, high))
    return sorted(found, key=lambda shift: -abs(shift.now - shift.before))


@cli.main
def main() -> None:
    """Compare a file of counts with a model's card."""
    parser = cli.parser("pipeline.drift", "Compare predictions with those on the test images.")
    parser.add_argument("counts", type=Path, help="file of --counts, or what /metrics answered")
    parser.add_argument("--model", default="models:/acol@champion", help="registered model (default: %(default)s)")
    arguments = parser.parse_args()
    now = read_counts(arguments.counts)
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        before = card_in(download(arguments.model, Path.cwd(), folder), arguments.model)["test_counts"]
    if not before:
        raise InputError(
            f"{arguments.model}: its card has no counts of the test images; run `dvc repro` and `make gate`"
        )
    found = shifts(before, now)
    clear = [shift for shift in found if shift.clear]
    print(f"{now[IMAGES]} images, compared with {before[IMAGES]} test images")
    largest: dict[str, Shift] = {}
    for shift in clear or found[:1]:  # of probabilities and regions one number tells it
        largest.setdefault(shift.words.partition(" at most ")[0], shift)
    for shift in largest.values():
        print(
            f"{shift.words}: {100 * shift.before:.1f} % of the test images, {100 * shift.now:.1f} % now; "
            f"{100 * (shift.now - shift.before):+.1f} points [{100 * shift.low:.1f}, {100 * shift.high:.1f}]"
        )
    print("drifted" if clear else "no clear difference; with few images only a large one is clear")
    sys.exit(DRIFTED if clear else 0)


if __name__ == "__main__":
    main()
