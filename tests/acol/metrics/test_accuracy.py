import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from acol.errors import InputError
from acol.metrics import classification, top_k_correct


def test_accuracies_by_hand():
    # Predictions 0, 1, 1, 2 for the labels 0, 1, 2, 2: three of four; class 2 has one of two, class 3 has no image.
    scores = np.array([[9, 1, 0, 0], [0, 9, 1, 0], [0, 9, 1, 0], [0, 0, 9, 1]])
    result = classification(scores, [0, 1, 2, 2])
    assert (result.top1, result.top5) == (0.75, 1)
    np.testing.assert_array_equal(result.per_class, [1, 1, 0.5, np.nan])
    assert result.confusion.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert result.correct.tolist() == [True, True, False, True]


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(1, 9))
def test_top_k_equals_scikit_learn(seed, classes, k):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(20, classes)), rng.integers(0, classes, 20)
    k = min(k, classes - 1)
    expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(classes))
    assert top_k_correct(scores, labels, k).mean() == pytest.approx(expected)
    assert classification(scores, labels).top1 == accuracy_score(labels, scores.argmax(axis=1))


def test_the_lower_class_wins_a_tie_as_in_the_prediction():
    assert top_k_correct([[1, 1], [1, 1]], [0, 1], 1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("scores", "labels"),
    [(np.zeros((2, 3)), [0]), (np.zeros((1, 3)), [3]), (np.zeros((1, 3)), [-1]), ([[np.nan, 1]], [0]), ([], [])],
)
def test_bad_input_is_refused(scores, labels):
    with pytest.raises(InputError):
        classification(scores, labels)
