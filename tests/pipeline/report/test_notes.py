from acol.data.manifest import Image
from pipeline.report.notes import notes_on


def some(label: str, count: int, **more: object) -> list[Image]:
    return [Image(f"{label}/{n}.png", label, "test", "0", 8, 6, **more) for n in range(count)]


def test_even_and_wholly_annotated_images_need_no_note():
    assert notes_on([*some("a", 12), *some("b", 10)]) == []


def test_what_the_test_images_cannot_tell():
    box = ((0.0, 0.0, 1.0, 1.0),)
    images = [*some("a", 19, boxes=box), *some("b", 5), *some("c", 1, mask="m.png")]
    assert notes_on(images) == [
        "19 of the 25 test images have boxes: what boxes score is of these.",
        "1 of the 25 test images have masks: what masks score is of these.",
        "Fewer than 10 test images: b (5), c (1). Scores of these classes mean little.",
        "The classes are uneven: a model that always says a is right in 76%. "
        "Balanced accuracy counts each class the same.",
    ]
