"""drift: compares what a model predicts now with what it predicted on its test images.

    acol predict photos --out out --counts counts.txt     or: curl localhost:8000/metrics > counts.txt
    acol drift counts.txt [--model models:/acol@champion]

The counts hold no image. They say how many images had each class, a probability up to each limit, and a region up to
each size (`pipeline.counts`). Each count is compared as a share of all images. The difference of two shares has
Newcombe's interval (Statistics in Medicine 1998, method 10), at a level by which all of them together hold with 95 %.
Exit status: 0, or 3 if an interval leaves out 0.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acol.errors import InputError
from acol.metrics.intervals import wilson
from pipeline import cli
from pipeline.counts import IMAGES, read_counts
from pipeline.tracking.registry import download, read_card

LEVEL = 0.95
DRIFTED = 3  # exit status


@dataclass(frozen=True)
class Shift:
    """The share of the images that a count stands for: on the test images, now, and the difference's interval."""

    name: str
    before: float
    now: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return not self.low <= 0 <= self.high

    @property
    def title(self) -> str:
        """What is counted, for people."""
        metric, _, value = self.name.removesuffix('"}').partition('"')
        titles = {"acol_predictions_total{class=": "class {}", "acol_probability_bucket{le=": "probability at most {}"}
        return titles.get(metric, "region at most {} of the image").format(value)

    def line(self) -> str:
        """Return the shift as a line for people."""
        shares = f"{100 * self.before:.1f} % of the test images, {100 * self.now:.1f} % now"
        points = f"{100 * (self.now - self.before):+.1f} points [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.title}: {shares}; {points}"


def compare_shares(before: Mapping[str, int], now: Mapping[str, int]) -> list[Shift]:
    """Return how much each share has changed, the largest change first."""
    # Bonferroni's level for each interval, so that all of them together hold with `LEVEL`.
    names = [name for name in {**before, **now} if name != IMAGES and '"+Inf"' not in name]
    level, shifts = 1 - (1 - LEVEL) / len(names), []
    for name in names:
        old, new = (wilson(counts.get(name, 0) / counts[IMAGES], counts[IMAGES], level) for counts in (before, now))
        difference = new.value - old.value
        low = difference - math.hypot(new.value - new.low, old.high - old.value)
        high = difference + math.hypot(new.high - new.value, old.value - old.low)
        shifts.append(Shift(name, old.value, new.value, low, high))
    return sorted(shifts, key=lambda shift: -abs(shift.now - shift.before))


@cli.main
def main() -> None:
    """Compare a file of counts with a model's card."""
    parser = cli.parser("pipeline.drift", "Compare predictions with those on the test images.")
    parser.add_argument("counts", type=Path, help="file of --counts, or what /metrics answered")
    parser.add_argument("--model", default="models:/acol@champion", help="registered model (default: %(default)s)")
    arguments = parser.parse_args()
    model, now = arguments.model, read_counts(arguments.counts)
    with download(model, Path.cwd()) as files:
        before = read_card(files, model).get("test_counts")
    if not before:
        raise InputError(f"{model}: its card has no counts of the test images; run `dvc repro` and `acol gate`")
    shifts = compare_shares(before, now)
    clear = [shift for shift in shifts if shift.is_clear]
    print(f"{now[IMAGES]} images, compared with {before[IMAGES]} test images")
    # Neighbouring limits of a probability or region change together, so the largest change stands for all of them.
    largest: dict[str, Shift] = {}
    for shift in clear or shifts[:1]:
        largest.setdefault(shift.title.partition(" at most ")[0], shift)
    print(*(shift.line() for shift in largest.values()), sep="\n")
    print("drifted" if clear else "no clear difference; with few images only a large one is clear")
    sys.exit(DRIFTED if clear else 0)


if __name__ == "__main__":
    main()
