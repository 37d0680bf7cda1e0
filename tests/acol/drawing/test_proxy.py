"""The proxy task: reproducible, balanced, and learnable from shape and texture, not from colour."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acol.drawing.footballers import CLASSES
from acol.drawing.proxy import PROXY_CLASSES, proxy_images


def test_the_same_arguments_give_the_same_images() -> None:
    first, again = proxy_images(64, size=32, seed=5), proxy_images(64, size=32, seed=5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_another_seed_gives_other_images() -> None:
    first, other = proxy_images(64, size=32, seed=5)[0], proxy_images(64, size=32, seed=6)[0]
    assert not any(np.array_equal(image, unlike) for image, unlike in zip(first, other, strict=True))


def test_images_and_labels_have_the_promised_shapes_and_types() -> None:
    images, labels = proxy_images(50, size=40, seed=0)
    assert (images.shape, images.dtype) == ((50, 40, 40, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((50,), np.int64)
    assert images.std((1, 2, 3)).min() > 2


def test_every_class_has_as_many_images_to_within_one() -> None:
    labels = proxy_images(3 * len(PROXY_CLASSES) + 5, size=32, seed=0)[1]
    counts = np.bincount(labels, minlength=len(PROXY_CLASSES))
    assert len(counts) == len(PROXY_CLASSES)
    assert sorted(set(counts)) == [3, 4]


def test_classes_come_in_shuffled_order() -> None:
    labels = proxy_images(4 * len(PROXY_CLASSES), size=32, seed=0)[1]
    assert not np.array_equal(labels, np.sort(labels))
    assert len(set(labels[: len(PROXY_CLASSES)])) < len(PROXY_CLASSES)


def test_it_is_another_task_than_the_footballers() -> None:
    assert not set(PROXY_CLASSES) & set(CLASSES)
    assert len(set(PROXY_CLASSES)) == len(PROXY_CLASSES) >= 12


def test_colour_alone_does_not_tell_the_class() -> None:
    images, labels = proxy_images(600, size=32, seed=1)
    colours = np.concatenate([images.mean((1, 2)), images.std((1, 2))], 1)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    accuracy = cross_val_score(classifier, colours, labels, cv=3).mean()
    assert accuracy < 3 / len(PROXY_CLASSES)
