"""What the page says in words of how certain the best cell is."""

from types import SimpleNamespace
from typing import Any

from pipeline.params import Cell, parse_head
from pipeline.report.differences import Comparison
from pipeline.report.verdict import how_sure

CENTRED_BOX = "centred box"


def loaded(head: str, score: float) -> Any:
    intervals = {"max_box_acc_v2": (score - 0.03, score + 0.04)}
    cell = Cell("resnet18", parse_head(head), 0)
    return SimpleNamespace(cell=cell, metrics={"max_box_acc_v2": score}, intervals=intervals)


def against(
    b: str, low: float, high: float, real: bool, a: str = "resnet18-pn-0.6", seeds: int = 1, images: int = 100
) -> Comparison:
    baseline = "centred_box" if b == CENTRED_BOX else None
    numbers = ((low + high) / 2, low, high, 0.01, real, (high - low) / 4)
    return Comparison(
        *numbers, a=a, b=b, metric="max_box_acc_v2", images=images, seeds=seeds, of_b=0.267, baseline=baseline
    )


BEST = {
    "cell": "resnet18-pn-0.6",
    "rule": "highest max_box_acc_v2, then the grid's order",
    "values": {"max_box_acc_v2": 0.69},
    "decided_by": "max_box_acc_v2",
}
CELLS = [loaded("p", 0.68), loaded("pp-0.6", 0.4), loaded("pn-0.6", 0.69)]


def test_a_difference_is_clear_likely_or_open() -> None:
    assert against("b", 0.1, 0.2, real=True).sureness == "clear"
    assert against("b", 0.1, 0.2, real=False).sureness == "likely"
    assert against("b", -0.2, -0.1, real=False).sureness == "likely"
    assert against("b", -0.1, 0.2, real=False).sureness == "open"


def test_the_winner_its_score_and_whom_it_beats() -> None:
    rows = [
        against("resnet18-p", -0.01, 0.02, real=False),
        against("resnet18-pp-0.6", 0.2, 0.3, real=True),
        against(CENTRED_BOX, 0.3, 0.4, real=True),
    ]
    because, *words = how_sure(CELLS, BEST, rows)
    assert because.startswith(
        "resnet18-pn-0.6 has the highest MaxBoxAccV2: 69.0 % (95 % interval: 66.0 to 73.0 %). MaxBoxAccV2 is the"
    )
    assert words[:2] == [
        "In MaxBoxAccV2 it is clearly better than resnet18-pp-0.6.",
        "It cannot be told apart from resnet18-p: the difference may be chance.",
    ]
    assert words[2] == (
        "To tell it from resnet18-p, if the true difference is the +0.5 points seen here, about 1,766 test images with "
        "boxes would be needed (for a power of 80 %); there are 100."
    )
    assert "trained once" in words[3]
    assert words[4] == "It is clearly above a box in the middle of every photograph (MaxBoxAccV2 26.7 %)."


def test_a_likely_lead_is_no_clear_one() -> None:
    rows = [against(b, 0.01, 0.05, real=False) for b in ("resnet18-p", "resnet18-pp-0.6")]
    words = how_sure(CELLS, BEST, rows)
    assert words[1].startswith("It is probably better than resnet18-p and resnet18-pp-0.6: the difference")


def test_who_is_ahead_in_another_metric_than_the_deciding_one_is_said() -> None:
    best = {**BEST, "values": {"pxap": 0.5}, "decided_by": "pxap"}
    assert how_sure(CELLS, best, [against("b", -0.3, -0.2, True)])[1] == "In MaxBoxAccV2 it is worse than b."


def test_a_tie_is_said() -> None:
    best = {**BEST, "values": {"max_box_acc_v2": 0.69, "accuracy_top1": 0.9}}
    for decided, reason in (("accuracy_top1", "Accuracy"), ("the grid's order", "the grid's order")):
        words = how_sure(CELLS, {**best, "decided_by": decided}, [])[0]
        assert words.endswith(f"Other cells have the same value; {reason} decided.")


def test_over_seeds_the_recipe_wins() -> None:
    seeded = [loaded(f"{recipe}-s{seed}", 0.5) for recipe in ("p", "pn-0.6") for seed in range(2)]
    best = {**BEST, "cell": "resnet18-pn-0.6-s1"}
    because, *words = how_sure(seeded, best, [against("resnet18-p", 0.1, 0.2, real=True, seeds=2)])
    assert because.startswith("resnet18-pn-0.6 has the highest MaxBoxAccV2, averaged over its seeds: 69.0 %.")
    assert because.endswith("The best of its seeds is resnet18-pn-0.6-s1.")
    assert words[0] == "In MaxBoxAccV2 it is clearly better than resnet18-p."
    assert words[1].startswith("This is about the recipes, not only these models: each was trained with 2 seeds. How")


def test_without_a_winner_or_without_others_nothing_is_claimed() -> None:
    none = {"cell": None, "rule": "no cell has pxap", "values": {}, "decided_by": None}
    assert how_sure(CELLS, none, []) == ["The cells cannot be ranked: no cell has pxap."]
    alone = {**BEST, "cell": "resnet18-p", "decided_by": None}
    assert how_sure(CELLS[:1], alone, [])[0].startswith(
        "resnet18-p is the only cell, so nothing is compared. Its MaxBoxAccV2 is 69.0 %"
    )
    alone["cell"] = "resnet18-p-s1"
    assert how_sure([loaded("p-s0", 0.5), loaded("p-s1", 0.5)], alone, [])[0].startswith(
        "resnet18-p is the only recipe, so nothing is compared. Its MaxBoxAccV2, averaged over its seeds, is 69.0 %"
    )


def test_what_beats_no_baseline_is_said() -> None:
    for low, high in ((-0.1, 0.1), (-0.2, -0.1)):
        words = how_sure(CELLS, BEST, [against(CENTRED_BOX, low, high, real=low < -0.1)])
        assert words[-1] == (
            "It is not significantly above a box in the middle of every photograph (MaxBoxAccV2 26.7 %): there, "
            "training may have brought nothing that counts."
        )


def test_where_nothing_can_be_told_what_could_have_been_is_said() -> None:
    words = how_sure(CELLS, BEST, [against("resnet18-p", -0.02, 0.02, real=False, seeds=4, images=300)])
    assert words[2] == (
        "300 test images with boxes and 4 seeds would show a true difference from resnet18-p of 2.8 points or more in "
        "four of five cases; the one seen is +0.0."
    )
    assert words[3] == "This is about the recipes, not only these models: each was trained with 4 seeds."
