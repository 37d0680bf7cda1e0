"""What the results of a grid say about six claims on recipes: five of this project's founding script, one of the paper.

docs/evidence.md states each claim, the numbers that decide it, and why. It was written before the first run, and the
constants below are its. A claim is judged for each backbone whose heads it names; a recipe's seeds count together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import t as student

from acol.localization.fusion import fused
from acol.metrics.comparison import Difference, compare, holm, over_seeds
from acol.metrics.scored import MeanScore, Score
from pipeline import places
from pipeline.report.cells import Loaded
from pipeline.report.differences import paired_seeds
from pipeline.results import read_images, read_results

NEAR = 2.0  # the largest ratio of validation to training loss at which the two are near
EXPLODES = 2.0  # how many times its lowest value a validation loss has that exploded
MOST = 0.5  # of an image
EQUAL = 0.02  # the largest difference in accuracy of equally accurate recipes
NO_GAIN = 0.01  # a smaller gain counts as none

Verdict = Literal["confirmed", "refuted", "open"]
Heads = Mapping[str, Sequence[Loaded]]  # the seeds of each head of one backbone, by the head without its seed


@dataclass(frozen=True)
class Number:
    """A number that decides a claim, with its 95 % interval; `p` of a difference is corrected (Holm).

    It is a `factor`, a difference if it has a `p`, or else a share.
    """

    name: str
    value: float
    low: float
    high: float
    p: float | None = None
    factor: bool = False

    def text(self) -> str:
        """Return it with its interval: a factor, a share in percent, or a difference in points."""
        if self.factor:
            return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
        sign = "" if self.p is None else "+"
        value, low, high = (f"{100 * each:{sign}.1f}" for each in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    @property
    def above(self) -> bool:
        """Whether a difference is significantly above 0."""
        return self.p is not None and self.p < 0.05 and self.value > 0

    @property
    def below(self) -> bool:
        """Whether a difference is significantly below 0."""
        return self.p is not None and self.p < 0.05 and self.value < 0


@dataclass(frozen=True)
class Claim:
    """A claim's verdict for a backbone, and the numbers that it comes from."""

    key: str
    backbone: str
    text: str
    verdict: Verdict
    numbers: Sequence[Number]


WORDS = {"confirmed": "confirmed", "refuted": "refuted", "open": "cannot be told"}
TEXTS = {
    "a": "p and pn converge, with validation losses near their training losses; the validation loss of pp explodes in "
    "later epochs",
    "b": "pp-0.6 gives maps that cover most of the image",
    "c": "p makes good maps, but its first classifier is less accurate than that of pn-0.9",
    "d": "the best p, pn and pp are equally accurate",
    "e": "pn-0.9 makes the best maps",
    "paper": "pp-0.6 with the paper's deeper classifier localizes better than plain CAM",
}
NEEDED = {
    "a": ("p", "pn-0.6", "pn-0.9", "pp-0.6", "pp-0.9"),
    "b": ("pp-0.6",),
    "c": ("p", "pn-0.9"),
    "d": ("p", "pn-0.6", "pn-0.9", "pp-0.6", "pp-0.9"),
    "e": ("p", "pn-0.6", "pn-0.9", "pp-0.6", "pp-0.9"),
    "paper": ("p", "pp-0.6-conv3"),
}


def judge(cells: Sequence[Loaded], centred_box: Score | None) -> list[Claim]:
    """Judge each claim on each backbone whose cells have its heads, with several seeds; a claim on boxes needs boxes.

    `centred_box` is the centred box's MaxBoxAccV2, None without boxes.
    """
    backbones: dict[str, dict[str, list[Loaded]]] = {}
    for cell in cells:
        heads = backbones.setdefault(cell.cell.backbone, {})
        heads.setdefault(cell.cell.group.removeprefix(f"{cell.cell.backbone}-"), []).append(cell)
    # One training of a head says nothing of others.
    several = {
        name: {head: seeds for head, seeds in heads.items() if len(seeds) > 1} for name, heads in backbones.items()
    }
    return [claim for name, heads in several.items() for claim in _judge(name, heads, centred_box)]


def _judge(backbone: str, heads: Heads, centred_box: Score | None) -> Iterable[Claim]:
    found = _differences(heads, centred_box)
    rules: dict[str, Callable[[], tuple[Verdict, Sequence[Number]]]] = {
        "a": lambda: _losses(heads),
        "b": lambda: _spread(heads["pp-0.6"]),
        "c": lambda: _less_accurate(found["c"]),
        "d": lambda: _equally_accurate(found["d"]),
        "e": lambda: _best_maps(found["e"]),
        "paper": lambda: _better_maps(found["paper"]),
    }
    for key, rule in rules.items():
        if all(head in heads for head in NEEDED[key]) and (key in ("a", "b") or key in found):
            yield Claim(key, backbone, TEXTS[key], *rule())


# --- the differences that claims c, d, e and the paper's speak of -------------------------------------------------


def _differences(heads: Heads, centred_box: Score | None) -> dict[str, list[Number]]:
    """Return the differences by claim, corrected together for their number."""
    wanted: list[tuple[str, str, Difference]] = []

    def add(key: str, a: str, b: str, metric: str) -> None:
        one, other = ({cell.cell.seed: cell.scores for cell in heads[head]} for head in (a, b))
        scores = [(one[s][metric], other[t][metric]) for s, t in paired_seeds(one, other)]
        wanted.append((key, f"{a} - {b}", compare([x for x, _ in scores], [y for _, y in scores])))

    def all_in(key: str) -> bool:
        return all(head in heads for head in NEEDED[key])

    if all_in("c") and centred_box is not None:
        its = [cell.scores["max_box_acc_v2"] for cell in heads["p"]]
        box = compare(its, [centred_box] * len(its))
        wanted.append(("c", "p - centred box", box))
        add("c", "pn-0.9", "p", "accuracy_top1")
    if all_in("d"):
        best = [_most_accurate(heads, letters) for letters in ("p", "pn", "pp")]
        for a, b in ((1, 0), (2, 0), (1, 2)):
            add("d", best[a], best[b], "accuracy_top1")
    if all_in("e") and centred_box is not None:
        for other in ("p", "pp-0.6", "pp-0.9", "pn-0.6"):
            add("e", "pn-0.9", other, "max_box_acc_v2")
    if all_in("paper") and centred_box is not None:
        add("paper", "pp-0.6-conv3", "p", "max_box_acc_v2")
    corrected = holm([difference for *_, difference in wanted])
    numbers: dict[str, list[Number]] = {}
    for (key, name, _), found in zip(wanted, corrected, strict=True):
        numbers.setdefault(key, []).append(Number(name, found.difference, found.low, found.high, found.p))
    return numbers


def _most_accurate(heads: Heads, letters: str) -> str:
    """Return the founding script's head of a recipe with the highest mean accuracy on the validation images."""
    of_letters = [head for head in NEEDED["d"] if head.partition("-")[0] == letters]
    return max(of_letters, key=lambda head: np.mean([_val_accuracy(cell) for cell in heads[head]]))


def _val_accuracy(cell: Loaded) -> float:
    history = cell.curve.history.set_index("epoch")["val_accuracy"]
    return float(history[cell.curve.best_epoch] if cell.curve.best_epoch in history.index else history.max())


# --- the rules ----------------------------------------------------------------------------------------------------


def _losses(heads: Heads) -> tuple[Verdict, list[Number]]:
    ratios = {head: _over_seeds(f"{head}: ratio", heads[head], _ratio) for head in NEEDED["a"]}
    rises = {head: _over_seeds(f"{head}: rise", heads[head], _rise) for head in NEEDED["a"]}
    # Shown beside the ratios, but no part of the rule: the total of pn holds the adversarial floor ln(C-1), above and
    # below the line, so its ratio is near 1 whatever its first classifier does.
    firsts = [
        _over_seeds(f"{head}: ratio of the first classifier", heads[head], _ratio_of_first)
        for head in NEEDED["a"]
        if all("val_loss_2" in cell.curve.history for cell in heads[head])
    ]
    calm, wild = ("p", "pn-0.6", "pn-0.9"), ("pp-0.6", "pp-0.9")
    verdict: Verdict = "open"
    if all(ratios[head].high <= NEAR and rises[head].high < EXPLODES for head in calm) and all(
        rises[head].low >= EXPLODES for head in wild
    ):
        verdict = "confirmed"
    elif all(rises[head].high < EXPLODES for head in wild) or any(rises[head].low >= EXPLODES for head in calm):
        verdict = "refuted"
    return verdict, [*ratios.values(), *firsts, *rises.values()]


def _ratio(cell: Loaded, classifier: str = "") -> float:
    last = cell.curve.history.iloc[-1]
    return float(last[f"val_loss{classifier}"] / last[f"train_loss{classifier}"])


def _ratio_of_first(cell: Loaded) -> float:
    return _ratio(cell, "_1")


def _rise(cell: Loaded) -> float:
    losses = cell.curve.history["val_loss"]
    return float(losses.iloc[-1] / losses.min())


def _over_seeds(name: str, cells: Sequence[Loaded], number: Callable[[Loaded], float]) -> Number:
    """The geometric mean of a positive number over seeds, with the t-interval of its logarithms."""
    logs = np.log([number(cell) for cell in cells])
    half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, value, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half]).tolist()
    return Number(name, value, low, high, factor=True)


def _spread(cells: Sequence[Loaded]) -> tuple[Verdict, list[Number]]:
    shares = [_shares(cell) for cell in cells]
    above_tau = _mean_share("above the threshold of the box", [tau for tau, _ in shares])
    above_delta = _mean_share("above delta", [delta for _, delta in shares])
    verdict: Verdict = "confirmed" if above_tau.low > MOST else "refuted" if above_tau.high < MOST else "open"
    return verdict, [above_tau, above_delta]


def _shares(cell: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """Each test image's share (N,) above the threshold of the box, and the share of its map's cells above delta."""
    folder = places.results(cell.cell.name)
    cams = np.stack([*read_results(folder).true_cams.values()], axis=1).astype(np.float32)  # (K, N, h, w)
    together = fused(torch.from_numpy(cams), cell.cell.recipe).numpy()
    above_delta = (together > cell.cell.recipe.deltas[0]).mean(axis=(1, 2))
    return read_images(folder / "images.csv")["above_tau"].to_numpy(), above_delta


def _mean_share(name: str, shares: Sequence[np.ndarray]) -> Number:
    mean = over_seeds([MeanScore(share) for share in shares])
    return Number(name, mean.value, mean.low, mean.high)


def _less_accurate(numbers: Sequence[Number]) -> tuple[Verdict, Sequence[Number]]:
    maps, accuracy = numbers
    if maps.above and accuracy.above:
        return "confirmed", numbers
    return "refuted" if maps.below or accuracy.high < NO_GAIN else "open", numbers


def _equally_accurate(numbers: Sequence[Number]) -> tuple[Verdict, Sequence[Number]]:
    if all(number.low >= -EQUAL and number.high <= EQUAL for number in numbers):
        return "confirmed", numbers
    return "refuted" if any(number.low > EQUAL or number.high < -EQUAL for number in numbers) else "open", numbers


def _best_maps(numbers: Sequence[Number]) -> tuple[Verdict, Sequence[Number]]:
    if all(number.above for number in numbers):
        return "confirmed", numbers
    return "refuted" if any(number.below for number in numbers) or numbers[0].high < NO_GAIN else "open", numbers


def _better_maps(numbers: Sequence[Number]) -> tuple[Verdict, Sequence[Number]]:
    (number,) = numbers
    if number.above:
        return "confirmed", numbers
    return "refuted" if number.below or number.high < NO_GAIN else "open", numbers
