from acol.ingest.annotations import Annotation, Object
from acol.ingest.objects import select_class


def test_objects_of_a_class_are_those_of_its_name() -> None:
    boxes = ((0, 0, 1, 1), (0, 0, 8, 6), (2, 1, 5, 4))
    annotation = Annotation("a.xml", "a", tuple(map(Object, boxes, ("cat", "dog", "CAT"))))
    assert select_class(annotation, "Cat").boxes == (boxes[0], boxes[2])
