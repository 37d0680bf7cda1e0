"""The first screen: which cell is taken, and what is recommended of its photographs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.params import Cell, parse_head
from pipeline.report.differences import Comparison
from pipeline.report.recommendation import recommend

IMAGES = pd.DataFrame(
    {
        "path": [f"{n}.png" for n in range(12)],
        "label": ["cat"] * 6 + ["dog"] * 6,
        "predicted": ["cat"] * 5 + ["dog"] + ["dog"] * 4 + ["cat", "fox"],
        "probability": np.linspace(0.5, 0.94, 12),
        "iou": [0.9, 0.8, 0.1, 0.7, 0.6, 0.2, 0.55, 0.4, 0.95, 0.85, 0.3, 0.3],
    }
).assign(correct=lambda images: (images["label"] == images["predicted"]).astype(int))


def cell(head: str, score: float, size: float, images: pd.DataFrame = IMAGES) -> Any:
    cell, metrics = Cell("resnet18", parse_head(head), 0), {"max_box_acc_v2": score, "size_mb": size}
    return SimpleNamespace(cell=cell, facts={"map": "cam"}, metrics=metrics, images=images)


def told(b: str, low: float, high: float, baseline: str | None = None, metric: str = "max_box_acc_v2") -> Comparison:
    numbers = ((low + high) / 2, low, high, 0.5, low > 0)
    return Comparison(*numbers, a="resnet18-pn-0.9", b=b, metric=metric, images=9, seeds=1, baseline=baseline)


def found(cells: list[Any], comparisons: list[Comparison]) -> dict[str, Any]:
    best = {"cell": "resnet18-pn-0.9", "values": {"max_box_acc_v2": 0.7}}
    recommended = recommend(cells, best, comparisons)
    assert recommended is not None
    return recommended


@pytest.mark.parametrize(
    ("size", "low", "taken"),
    [(50, -0.1, "resnet18-p"), (95, -0.1, "resnet18-pn-0.9"), (50, 0.1, "resnet18-pn-0.9")],
    ids=["half of the size", "hardly smaller", "smaller but worse"],
)
def test_the_cheapest_of_the_equally_good_is_taken(size: float, low: float, taken: str) -> None:
    recommended = found([cell("p", 0.6, size), cell("pn-0.9", 0.7, 100)], [told("resnet18-p", low, 0.2)])
    assert recommended["cell"] == taken
    assert ("50% of its size" in recommended["why"]) == (taken == "resnet18-p")


def test_it_is_no_equal_that_is_worse_in_another_metric() -> None:
    rows = [told("resnet18-p", -0.1, 0.1), told("resnet18-p", 0.1, 0.2, metric="accuracy_top1")]
    assert found([cell("p", 0.7, 10), cell("pn-0.9", 0.7, 100)], rows)["cell"] == "resnet18-pn-0.9"


def test_photographs_are_counted_and_chosen_by_rule() -> None:
    rows = [told("centred box", -0.1, 0.1, "centred_box"), told("untrained (a)", -0.1, 0.1, "imagenet_cam")]
    rows += [told("untrained (b)", -0.1, 0.1, "imagenet_cam"), told("majority class", 0.1, 0.2, "majority_class")]
    recommended = found([cell("pn-0.9", 0.7, 100)], rows)
    assert recommended["right"].startswith("Right on 9 of 12 test photographs. The box fits in 7 of 12: half or more")
    assert recommended["weakest"] == "Weakest class: dog, 4 of 6 right. It is most often taken for cat (1)."
    assert recommended["worst"] == ["11.png", "10.png", "5.png"]  # wrong, the surest first
    assert recommended["typical"] == ["6.png", "3.png", "9.png"]  # of 2, 7, 6, 4, 3, 1, 9, 0 and 8: by IoU
    assert recommended["careful"] == [
        "Its boxes are no clear gain over a box in the middle of every photograph.",
        "Its boxes are no clear gain over the same backbone without this training.",
    ]


def test_without_boxes_nothing_is_said_of_them() -> None:
    recommended = found([cell("pn-0.9", 0.7, 100, IMAGES.assign(iou=np.nan, predicted=IMAGES["label"], correct=1))], [])
    assert recommended["right"] == "Right on 12 of 12 test photographs."
    assert recommended["weakest"] == "It names every class rightly."
    assert recommended["worst"] == ["0.png", "1.png", "2.png"]  # the least sure
