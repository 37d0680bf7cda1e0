import pandas as pd
import pytest

from pipeline.report.wrong_labels import likely_wrong


def cell(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    images = pd.DataFrame(rows, columns=["path", "label", "predicted", "probability"])
    return images.assign(correct=(images["label"] == images["predicted"]).astype(int))


RIGHT = [("a1", "a", "a", 0.9), ("a2", "a", "a", 0.7), ("b1", "b", "b", 0.6), ("b2", "b", "b", 0.8)]


def test_an_image_that_most_cells_are_sure_of_otherwise_is_listed():
    # Sure of a from 0.8 on, of b from 0.7 on.
    one = cell(*RIGHT, ("x", "b", "a", 0.95), ("y", "a", "b", 0.7), ("z", "a", "b", 0.69))
    two = cell(*RIGHT, ("x", "b", "a", 0.85), ("y", "a", "b", 0.9), ("z", "a", "b", 0.99))
    three = cell(*RIGHT, ("x", "b", "a", 0.9), ("y", "a", "a", 0.9), ("z", "a", "c", 0.99))  # nothing is known of c
    found = likely_wrong([one, two, three])
    assert found["path"].tolist() == ["x", "y"]  # z: one cell of three
    assert found["suggested"].tolist() == ["a", "b"]
    assert found["cells"].tolist() == pytest.approx([1, 2 / 3])
    assert found["probability"].tolist() == pytest.approx([0.9, 0.8])


def test_no_cells_and_no_suspects_give_an_empty_table():
    assert likely_wrong([]).empty
    assert list(likely_wrong([cell(*RIGHT)]).columns) == ["path", "label", "suggested", "cells", "probability"]
