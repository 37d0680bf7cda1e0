from pathlib import Path

from acol.data.manifest import Image, Manifest
from acol.ingest.folder import Reading


def test_what_was_read_in_lines() -> None:
    def images(label: str, split: str, count: int, **more: object) -> list[Image]:
        return [Image(f"{label}/{split}{n}.png", label, split, "0" * 64, 8, 6, **more) for n in range(count)]

    box = ((0.0, 0.0, 1.0, 1.0),)
    found = [*images("cat", "train", 120), *images("giraffe", "train", 7), *images("cat", "val", 2)]
    found += [*images("cat", "test", 3, boxes=box), *images("giraffe", "test", 1, boxes=box, mask="m.png")]
    reading = Reading(Manifest(Path("x"), ("cat", "giraffe"), tuple(found)), [], "a folder for each class")
    assert reading.summary() == (
        "layout: a folder for each class\n"
        "class      train      val     test\n"
        "cat          120        2        3\n"
        "giraffe        7        0        1\n"
        "boxes: 4 test\n"
        "masks: 1 test (0 background; 255 ignored; all else object)\n"
        "2 classes: 127 train, 2 val, 4 test"
    )
