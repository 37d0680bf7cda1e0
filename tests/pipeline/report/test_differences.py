"""Which differences are found real: of cells whose scores are made to differ, or not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from acol.head import Head
from acol.metrics import MaxScore, MeanScore
from pipeline.report.differences import Baseline, Comparison, Groups, compare_cells, over_trainings, scores_of, unbeaten

IMAGES = 200
CENTRED_BOX = "centred box"


def scored(head: str, share: float, iou: float | None = None, backbone: str = "resnet18") -> tuple[str, int, Any]:
    """A cell that is right on the first `share` of the images, with that IoU there and half of it elsewhere."""
    right = np.arange(IMAGES) < share * IMAGES
    curves = None if iou is None else np.where(right, iou, iou / 2)[:, None].repeat(10, axis=1)
    images = pd.DataFrame({"correct": right.astype(int), "iou": np.nan if curves is None else curves[:, 0]})
    parsed = Head.parse(head)
    return f"{backbone}-{parsed.without_seed}", parsed.seed or 0, scores_of(images, curves)


def grouped(cells: list[tuple[str, int, Any]]) -> Groups:
    return {name: {seed: scores for group, seed, scores in cells if group == name} for name, _, _ in cells}


def box(score: float) -> list[Baseline]:
    curves = np.where(np.arange(IMAGES) < score * IMAGES, 1.0, 0.0)[:, None]
    return [Baseline("centred_box", CENTRED_BOX, {"max_box_acc_v2": MaxScore(curves)})]


def of(comparisons: list[Comparison]) -> dict[tuple[str, str, str], Comparison]:
    return {(c.a, c.b, c.metric): c for c in comparisons}


def test_a_cells_scores_by_hand() -> None:
    _, _, scores = scored("p", 0.75, 0.6)
    assert scores["accuracy_top1"].value == 0.75
    assert scores["top1_loc"].value == 0.75  # IoU 0.6 where right, 0.3 elsewhere
    # At 0.3 every image, at 0.5 three quarters, at 0.7 none: (1 + 0.75 + 0) / 3.
    assert abs(scores["max_box_acc_v2"].value - 1.75 / 3) < 1e-12
    assert set(scored("p", 0.5)[2]) == {"accuracy_top1"}


def test_the_best_meets_every_other_and_each_meets_plain_cam_and_the_centred_box() -> None:
    cells = [scored("p", 0.6, 0.6), scored("pp-0.9", 0.62, 0.6), scored("pn-0.9", 0.9, 0.8)]
    compared = of(compare_cells(grouped(cells), "resnet18-pn-0.9", box(0.5)))
    assert {pair[:2] for pair in compared} == {
        ("resnet18-pn-0.9", "resnet18-p"),
        ("resnet18-pn-0.9", "resnet18-pp-0.9"),
        ("resnet18-pp-0.9", "resnet18-p"),
        *((f"resnet18-{recipe}", CENTRED_BOX) for recipe in ("p", "pp-0.9", "pn-0.9")),
    }
    winner = compared["resnet18-pn-0.9", "resnet18-p", "accuracy_top1"]
    assert winner.real
    assert abs(winner.difference - 0.3) < 1e-9
    assert winner.low > 0
    assert not compared["resnet18-pp-0.9", "resnet18-p", "accuracy_top1"].real  # 4 images of 200
    assert compared["resnet18-pn-0.9", CENTRED_BOX, "max_box_acc_v2"].real
    assert ("resnet18-p", CENTRED_BOX, "accuracy_top1") not in compared


def test_where_plain_cam_is_the_best_each_pair_is_compared_once() -> None:
    pairs = [(c.a, c.b) for c in compare_cells(grouped([scored("p", 0.9), scored("pp-0.9", 0.5)]), "resnet18-p", [])]
    assert pairs == [("resnet18-p", "resnet18-pp-0.9")]


def test_plain_cam_is_that_of_the_same_backbone() -> None:
    cells = [scored("p", 0.5, backbone="vgg16"), scored("pp-0.9", 0.6), scored("pn-0.9", 0.9)]
    pairs = {(c.a, c.b) for c in compare_cells(grouped(cells), "resnet18-pn-0.9", [])}
    assert pairs == {("resnet18-pn-0.9", "vgg16-p"), ("resnet18-pn-0.9", "resnet18-pp-0.9")}


def test_seeds_are_paired_where_both_have_them_else_in_order() -> None:
    cells = [scored("p-s0", 0.5), scored("p-s1", 0.6), scored("pn-0.9-s1", 0.8), scored("pn-0.9-s2", 0.9)]
    (comparison,) = compare_cells(grouped(cells), "resnet18-pn-0.9", [])
    assert (comparison.seeds, round(comparison.difference, 9)) == (1, 0.2)  # of seed 1
    (comparison,) = compare_cells(grouped([scored("p-s0", 0.5), scored("pp-0.9-s1", 0.6)]), "resnet18-p", [])
    assert (comparison.seeds, round(comparison.difference, 9)) == (1, -0.1)


def test_more_comparisons_ask_for_more_evidence() -> None:
    pair = [scored("p", 0.50), scored("pn-0.9", 0.53)]
    alone = compare_cells(grouped(pair), "resnet18-pn-0.9", [])[0]
    others = [scored(f"pn-0.{k}", 0.53) for k in range(1, 9)]
    among = of(compare_cells(grouped([*pair, *others]), "resnet18-pn-0.9", []))
    assert alone.real
    assert among["resnet18-pn-0.9", "resnet18-p", "accuracy_top1"].p > alone.p


def test_a_large_difference_is_real_among_many() -> None:
    cells = [scored("p", 0.2, 0.6), scored("pn-0.9", 0.95, 0.9)]
    cells += [scored(f"pn-0.{k}", 0.2, 0.6) for k in range(1, 9)]
    compared = of(compare_cells(grouped(cells), "resnet18-pn-0.9", box(0.1)))
    assert len(compared) > 40
    assert all(compared["resnet18-pn-0.9", "resnet18-p", m].real for m in ("accuracy_top1", "max_box_acc_v2"))
    assert not compared["resnet18-pn-0.1", "resnet18-p", "accuracy_top1"].real


def test_without_a_best_cell_none_is_compared_as_the_best() -> None:
    pairs = [(c.a, c.b) for c in compare_cells(grouped([scored("p", 0.9), scored("pp-0.9", 0.5)]), None, [])]
    assert pairs == [("resnet18-pp-0.9", "resnet18-p")]


def test_a_baseline_of_a_backbone_concerns_its_cells_alone_and_those_not_beaten_are_named() -> None:
    cells = [scored("p", 0.9, 0.6), scored("p", 0.9, 0.6, backbone="vgg16")]
    majority = MeanScore(np.arange(IMAGES) < 0.5 * IMAGES)
    baselines = [
        *box(0.1),
        Baseline(
            "imagenet_cam", "resnet18's", {"max_box_acc_v2": MaxScore(np.full((IMAGES, 10), 0.9))}, {}, "resnet18"
        ),
        Baseline("majority_class", "majority class", {"accuracy_top1": majority}),
    ]
    compared = compare_cells(grouped(cells), "resnet18-p", baselines)
    pairs = {(c.a, c.b, c.metric) for c in compared if c.baseline}
    assert ("resnet18-p", "resnet18's", "max_box_acc_v2") in pairs
    assert ("vgg16-p", "resnet18's", "max_box_acc_v2") not in pairs
    assert {(row["baseline"], row["metric"]) for row in unbeaten(compared, "resnet18-p")} == {
        ("imagenet_cam", "max_box_acc_v2"),
    }
    (row,) = unbeaten(compared, "resnet18-p")
    assert (row["title"], row["baseline_value"]) == ("resnet18's", 1)
    assert row["value"] == pytest.approx((1 + 0.9) / 3)


def test_the_mean_over_seeds_has_an_interval_over_both() -> None:
    intervals = over_trainings(grouped([scored("p-s0", 0.5), scored("p-s1", 0.7), scored("pn-0.9", 0.5)]))
    assert intervals.keys() == {"resnet18-p"}
    interval = intervals["resnet18-p"]["accuracy_top1"]
    assert interval.value == pytest.approx(0.6)
    assert 0 <= interval.low < 0.5  # two trainings say little
    assert interval.high <= 1
