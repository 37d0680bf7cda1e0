"""What is found about the test images: the hardest, the labels that may be wrong, and what they cannot tell."""

import numpy as np
import pandas as pd
import pytest

from acol.data.manifest import Image
from pipeline.report.grid_comparison import hardest, likely_wrong, notes_on


def test_the_hardest_image_without_boxes_is_that_of_the_highest_loss() -> None:
    rows = {"path": ["a", "b", "c"], "label": "x", "correct": [1, 1, 0], "loss_1": [0.1, 0.2, 0]}
    assert hardest([pd.DataFrame(rows).assign(iou=np.nan)] * 2)["path"].to_list() == ["c", "b", "a"]


def cell(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    images = pd.DataFrame(rows, columns=["path", "label", "predicted", "probability"])
    return images.assign(correct=(images["label"] == images["predicted"]).astype(int))


RIGHT = [("a1", "a", "a", 0.9), ("a2", "a", "a", 0.7), ("b1", "b", "b", 0.6), ("b2", "b", "b", 0.8)]


def test_an_image_that_most_cells_are_sure_of_otherwise_is_listed():
    # Sure of a from 0.8 on, of b from 0.7 on.
    one = cell(*RIGHT, ("x", "b", "a", 0.95), ("y", "a", "b", 0.7), ("z", "a", "b", 0.69))
    two = cell(*RIGHT, ("x", "b", "a", 0.85), ("y", "a", "b", 0.9), ("z", "a", "b", 0.99))
    three = cell(*RIGHT, ("x", "b", "a", 0.9), ("y", "a", "a", 0.9), ("z", "a", "c", 0.99))  # nothing is known of c
    suspects = likely_wrong([one, two, three])
    assert suspects["path"].tolist() == ["x", "y"]  # z: one cell of three
    assert suspects["suggested"].tolist() == ["a", "b"]
    assert suspects["cells"].tolist() == pytest.approx([1, 2 / 3])
    assert suspects["probability"].tolist() == pytest.approx([0.9, 0.8])
    assert likely_wrong([cell(*RIGHT)]).empty


def some(label: str, count: int, **more: object) -> list[Image]:
    return [Image(f"{label}/{n}.png", label, "test", "0", 8, 6, **more) for n in range(count)]


def test_even_and_wholly_annotated_images_need_no_note():
    assert notes_on([*some("a", 12), *some("b", 10)]) == []


def test_what_the_test_images_cannot_tell():
    box = ((0.0, 0.0, 1.0, 1.0),)
    images = [*some("a", 19, boxes=box), *some("b", 5), *some("c", 1, mask="m.png")]
    assert notes_on(images) == [
        "19 of the 25 test images have boxes: scores of boxes are of these alone.",
        "1 of the 25 test images have masks: scores of masks are of these alone.",
        "Fewer than 10 test images: b (5), c (1). Scores of these classes mean little.",
        "The classes are uneven: a model that always says a is right in 76%. "
        "Balanced accuracy counts each class the same.",
    ]
