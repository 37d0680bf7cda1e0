"""The stratified, seeded split of labelled images. Identical files stay in one split."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sklearn.model_selection import train_test_split

from acol.errors import Faults


def stratified_split(
    labels: Sequence[str], contents: Sequence[str], fractions: Mapping[str, float], seed: int
) -> tuple[str, ...]:
    """Return the split of each of N images: a name in `fractions`, or "train" for the rest.

    `labels` are the N class names, `contents` the N content hashes; `fractions` in (0, 1), with a sum below 1, maps
    each held-out split to its share of every class. Each class is split alone. A held-out split gets its fraction of
    the class's images, rounded; every split gets at least one. Identical images stay together, in train if the class
    has enough images without a copy; otherwise the fractions are taken of its different images. The result depends on
    contents, labels and seed, not on the order of the images. Images added to one class move no image of another.

    Raises `Faults` naming each class with fewer different images than splits.
    """
    copies: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, content in zip(labels, contents, strict=True):
        copies[label][content] += 1
    names = (*fractions, "train")
    few = [label for label in sorted(copies) if len(copies[label]) < len(names)]
    if few:
        raise Faults([_too_few(label, copies[label], names) for label in few])
    splits = {label: _split_class(copies[label], fractions, seed) for label in copies}
    return tuple(splits[label][content] for label, content in zip(labels, contents, strict=True))


def _split_class(copies: Mapping[str, int], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return content -> split for one class, whose contents occur `copies` times each."""
    single = sorted(content for content, count in copies.items() if count == 1)
    counts = _counts(sum(copies.values()), fractions)
    if len(single) < sum(counts.values()):
        single = sorted(copies)
        counts = _counts(len(single), fractions)
    splits = dict.fromkeys(copies, "train")
    for name, count in counts.items():
        if count == len(single):  # train has the copies
            held_out, single = single, []
        else:
            single, held_out = train_test_split(single, test_size=count, random_state=seed)
        splits.update(dict.fromkeys(held_out, name))
    return splits


def _counts(images: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Return how many of a class's images each held-out split gets: at least one, with at least one left for train."""
    counts = {name: max(1, round(fraction * images)) for name, fraction in fractions.items()}
    while sum(counts.values()) >= images:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return counts


def _too_few(label: str, copies: Counter[str], names: Sequence[str]) -> str:
    images, different = copies.total(), len(copies)
    have = f"{images} image{'s' * (images > 1)}" + (f", {different} different" if different < images else "")
    wanted = f"{', '.join(sorted(names))} need {len(names)} different ones"
    return f"class {label!r}: {have}, but {wanted}; add images or remove the class"
