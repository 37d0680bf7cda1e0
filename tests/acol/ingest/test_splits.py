import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acol.errors import Faults
from acol.ingest.splits import stratified_split

FRACTIONS = {"val": 0.1, "test": 0.2}
NAMES = {"train", "val", "test"}

fractions = st.fixed_dictionaries({"val": st.floats(0.05, 0.45), "test": st.floats(0.05, 0.45)})
seeds = st.integers(0, 2**32 - 1)
class_sizes = st.lists(st.integers(3, 60), min_size=1, max_size=5)
copies = st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=25), min_size=1, max_size=4)


def distinct(sizes: list[int]) -> tuple[list[str], list[str]]:
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    return labels, [f"content {number}" for number in range(len(labels))]


def copied(classes: list[list[int]]) -> tuple[list[str], list[str]]:
    """Images of which each class's n-th content occurs `classes[class][n]` times."""
    rows = [(f"{c}", f"{c}-{n}") for c, times in enumerate(classes) for n, k in enumerate(times) for _ in range(k)]
    return [label for label, _ in rows], [content for _, content in rows]


@settings(max_examples=30, deadline=None)
@given(class_sizes, fractions, seeds)
def test_each_class_has_its_fractions_within_rounding(sizes: list[int], parts: dict[str, float], seed: int) -> None:
    labels, contents = distinct(sizes)
    held = Counter(zip(labels, stratified_split(labels, contents, parts, seed), strict=True))
    for number, size in enumerate(sizes):
        label = f"class {number}"
        assert all(held[label, name] >= 1 for name in NAMES)
        for name, part in parts.items():
            if held[label, "train"] > 1:  # else rounding up the others has left train a single one
                assert abs(held[label, name] - part * size) <= max(0.5, 1 - part * size) + 1e-9


@settings(max_examples=30, deadline=None)
@given(copies, fractions, seeds)
def test_copies_stay_together_and_no_split_is_empty(
    classes: list[list[int]], parts: dict[str, float], seed: int
) -> None:
    labels, contents = copied(classes)
    splits = stratified_split(labels, contents, parts, seed)
    where = defaultdict(set)
    for label, content, split in zip(labels, contents, splits, strict=True):
        where[content].add(split)
        where[label].add(split)
    assert all(len(where[content]) == 1 for content in contents)
    assert all(where[label] == NAMES for label in labels)


@settings(max_examples=30, deadline=None)
@given(copies, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(classes: list[list[int]], seed: int, shuffler: random.Random) -> None:
    labels, contents = copied(classes)
    once = dict(zip(contents, stratified_split(labels, contents, FRACTIONS, seed), strict=True))
    order = list(range(len(labels)))
    shuffler.shuffle(order)
    labels, contents = [labels[n] for n in order], [contents[n] for n in order]
    assert dict(zip(contents, stratified_split(labels, contents, FRACTIONS, seed), strict=True)) == once


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(1, 20), seeds)
def test_more_images_of_one_class_move_none_of_another(first: int, second: int, more: int, seed: int) -> None:
    labels, contents = distinct([first, second])
    before = stratified_split(labels, contents, FRACTIONS, seed)
    labels += ["class 1"] * more
    contents += [f"new {number}" for number in range(more)]
    after = stratified_split(labels, contents, FRACTIONS, seed)
    assert after[:first] == before[:first]


def test_hand_counted_splits_of_10_and_25_images() -> None:
    # 10: val 1, test 2, train 7.  25: val round(2.5) = 2, test 5, train 18.
    labels, contents = distinct([10, 25])
    held = Counter(zip(labels, stratified_split(labels, contents, FRACTIONS, 0), strict=True))
    assert [held["class 0", name] for name in ("train", "val", "test")] == [7, 1, 2]
    assert [held["class 1", name] for name in ("train", "val", "test")] == [18, 2, 5]


def test_copies_go_to_train_and_leave_the_fractions_whole() -> None:
    # 20 images: one content 8 times and 12 others. val 2 and test 4 are taken from the 12.
    labels, contents = copied([[8] + [1] * 12])
    held = Counter(zip(contents, stratified_split(labels, contents, FRACTIONS, 3), strict=True))
    assert held["0-0", "train"] == 8
    assert sorted(Counter(split for _, split in held.elements()).items()) == [("test", 4), ("train", 14), ("val", 2)]


def test_a_class_of_pairs_only_is_split_by_pairs() -> None:
    # 10 different images, each twice: val 1 pair, test 2 pairs, train 7 pairs.
    labels, contents = copied([[2] * 10])
    held = Counter(stratified_split(labels, contents, FRACTIONS, 0))
    assert held == {"train": 14, "val": 2, "test": 4}


def test_three_images_are_one_for_each_split_and_two_suffice_without_test() -> None:
    assert set(stratified_split(["x"] * 3, ["a", "b", "c"], FRACTIONS, 0)) == NAMES
    assert set(stratified_split(["x"] * 2, ["a", "b"], {"val": 0.1}, 0)) == {"train", "val"}


def test_the_seed_decides() -> None:
    labels, contents = distinct([50])
    assert stratified_split(labels, contents, FRACTIONS, 0) == stratified_split(labels, contents, FRACTIONS, 0)
    assert stratified_split(labels, contents, FRACTIONS, 0) != stratified_split(labels, contents, FRACTIONS, 1)


def test_every_class_that_is_too_small_is_named() -> None:
    with pytest.raises(Faults) as error:
        stratified_split(["b", "a", "a", "c", "c", "c", "c"], ["1", "2", "3", "4", "4", "4", "5"], FRACTIONS, 0)
    need = "but test, train, val need 3 different ones; add images or remove the class"
    assert error.value.faults == (
        f"class 'a': 2 images, {need}",
        f"class 'b': 1 image, {need}",
        f"class 'c': 4 images, 2 different, {need}",
    )
