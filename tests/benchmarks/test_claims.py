"""The verdicts on the claims of docs/evidence.md, from results that are made to confirm or refute them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from acol.metrics import MaxScore, MeanScore
from benchmarks.evidence import claims
from benchmarks.evidence.claims import TEXTS, judge
from pipeline.params import Cell, parse_head

HEADS = ("p", "pp-0.6", "pp-0.9", "pn-0.6", "pn-0.9", "pp-0.6-conv3")
IMAGES = 400
CALM, WILD = [1.0, 0.6, 0.5], [1.0, 0.6, 1.5]  # validation losses by epoch


def cell(head: str, seed: int, accuracy: float, iou: float, val: list[float], valid: float = 0.9) -> Any:
    rng = np.random.default_rng(seed)
    curves = np.clip(iou + rng.normal(0, 0.05, (IMAGES, 1)), 0, 1).repeat(4, axis=1)
    right = np.arange(IMAGES) < IMAGES * accuracy + rng.integers(-1, 2)
    history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [1.0, 0.6, 0.4], "val_loss": val, "val_accuracy": valid})
    scores = {"accuracy_top1": MeanScore(right), "max_box_acc_v2": MaxScore(curves)}
    its = Cell("lite0", parse_head(f"{head}-s{seed}"), seed)
    return SimpleNamespace(cell=its, curve=SimpleNamespace(history=history, best_epoch=3), scores=scores)


def grid(changes: dict[str, dict[str, Any]]) -> list[Any]:
    usual = {"accuracy": 0.8, "iou": 0.55, "val": CALM}
    return [cell(head, seed, **(usual | changes.get(head, {}))) for head in HEADS for seed in range(4)]


@pytest.fixture
def verdicts(monkeypatch):
    def of(changes: dict[str, dict[str, Any]], share: float = 0.3, heads: tuple[str, ...] = HEADS) -> dict[str, str]:
        monkeypatch.setattr(claims, "_shares", lambda cell: (np.full(IMAGES, share), np.full(IMAGES, share / 2)))
        box = MaxScore(np.full((IMAGES, 4), 0.4))
        cells = [one for one in grid(changes) if str(one.cell.head.without_seed) in heads]
        return {claim.key: claim.verdict for claim in judge(cells, box)}

    return of


def test_equal_heads_refute_what_claims_a_gain_and_confirm_equality(verdicts):
    assert verdicts({}) == {
        "a": "refuted",  # no head's validation loss explodes
        "b": "refuted",
        "c": "refuted",
        "d": "confirmed",
        "e": "refuted",
        "paper": "refuted",
    }


def test_what_the_script_reported_confirms_it(verdicts):
    reported = {
        "p": {"accuracy": 0.7, "iou": 0.6},
        "pp-0.6": {"val": WILD, "iou": 0.45},
        "pp-0.9": {"val": WILD, "iou": 0.45},
        "pn-0.6": {"iou": 0.5},
        "pn-0.9": {"iou": 0.8, "accuracy": 0.8},
        "pp-0.6-conv3": {"iou": 0.75},
    }
    found = verdicts(reported, share=0.7)
    assert {key: found[key] for key in ("a", "b", "c", "e", "paper")} == dict.fromkeys(
        ("a", "b", "c", "e", "paper"), "confirmed"
    )
    assert found["d"] == "refuted"  # p is ten points below


def test_the_first_classifiers_ratio_shows_what_the_total_of_pn_hides(monkeypatch):
    monkeypatch.setattr(claims, "_shares", lambda cell: (np.full(IMAGES, 0.3), np.full(IMAGES, 0.1)))
    cells = grid({})
    for one in cells:
        if one.cell.recipe.letters == "pn":
            floor = np.log(3)
            losses = {"train_loss": floor + 0.01, "val_loss": floor + 0.03, "val_loss_2": floor}
            one.curve.history = one.curve.history.assign(**losses, train_loss_1=0.01, val_loss_1=0.03)
    (claim,) = [claim for claim in judge(cells, None) if claim.key == "a"]
    found = {number.name: number.value for number in claim.numbers}
    assert found["pn-0.9: ratio"] == pytest.approx((np.log(3) + 0.03) / (np.log(3) + 0.01))
    assert found["pn-0.9: ratio of the first classifier"] == pytest.approx(3)
    assert "p: ratio of the first classifier" not in found
    assert claim.verdict == "refuted"


def test_between_the_two_it_cannot_be_told(verdicts):
    found = verdicts({"pp-0.6": {"val": WILD}}, share=0.5)  # one of the two pp explodes
    assert found["a"] == "open"
    assert found["b"] == "open"


def test_a_claim_needs_its_heads_and_maps_need_boxes(verdicts):
    assert verdicts({}, heads=("p", "pn-0.9")).keys() == {"c"}
    assert {claim.key for claim in judge([one for one in grid({}) if one.cell.head.without_seed != "pp"], None)} <= {
        "a", "b", "d",
    }  # fmt: skip
    assert set(TEXTS) == {"a", "b", "c", "d", "e", "paper"}


def test_one_training_of_each_head_judges_nothing():
    assert judge([one for one in grid({}) if one.cell.seed == 0], None) == []
