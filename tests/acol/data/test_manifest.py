import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acol.data.manifest import SPLITS, Image, Manifest, read_manifest, write_manifest
from acol.errors import InputError

CAT = Image("cat/a b.jpg", "cat", "train", "0" * 64, 40, 30)
DOG = Image("dog/-ß\n.jpg", "dog", "val", "1" * 64, 40, 30, ((0.0, 0.5, 40.0, 30.0), (1.0, 2.0, 3.0, 4.0)))
OWL = Image("owl/o.jpg", "owl", "test", "2" * 64, 40, 30, ((1.0, 2.0, 3.0, 4.0),), "masks/owl/o.png", "3" * 64)
MANIFEST = Manifest(Path("../pictures"), ("owl", "cat", "dog"), (OWL, DOG, CAT))


def test_images_are_found_by_split_and_labels_by_index() -> None:
    assert MANIFEST.images == (CAT, DOG, OWL)
    assert [MANIFEST.of(split) for split in SPLITS] == [(CAT,), (DOG,), (OWL,)]
    assert [MANIFEST.index(label) for label in ("owl", "cat", "dog")] == [0, 1, 2]
    with pytest.raises(InputError, match="unknown class 'cow'; the classes are owl, cat, dog"):
        MANIFEST.index("cow")
    with pytest.raises(InputError, match="unknown split 'valid'; use one of train, val, test"):
        MANIFEST.of("valid")


def test_training_sees_no_test_image_box_or_mask() -> None:
    seen = MANIFEST.for_training()
    assert [image.path for image in seen.images] == [CAT.path, DOG.path]
    assert all(image.boxes is image.mask is image.mask_sha256 is None for image in seen.images)
    assert seen.classes == MANIFEST.classes  # a class's index is the same in both


def test_what_is_written_is_read_back_and_written_alike(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.json", MANIFEST)
    assert read_manifest(tmp_path / "a.json", MANIFEST.root) == MANIFEST
    write_manifest(tmp_path / "b.json", read_manifest(tmp_path / "a.json", "/of/another/machine"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_file_is_readable_json_with_a_line_an_image(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.json", MANIFEST)
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert json.loads(text)["images"][2]["boxes"] == [[1, 2, 3, 4]]
    assert len(text.splitlines()) == 1 + 3 + 1
    assert "-ß" in text


coordinate = st.floats(0, 1e4)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: "/" not in name and name != ".."
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(names, st.lists(st.tuples(*[coordinate] * 4)))), names)
def test_any_names_and_boxes_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, list[tuple[float, ...]]]], label: str
) -> None:
    images = tuple(replace(CAT, path=f"x/{n}", label=label, boxes=tuple(boxes)) for n, boxes in dict(drawn).items())
    manifest = Manifest(Path("root"), (label,), images)
    path = tmp_path_factory.mktemp("m") / "m.json"
    write_manifest(path, manifest)
    assert read_manifest(path, "root") == manifest
    assert read_manifest(path, "root").digest() == manifest.digest()


def test_the_digest_is_of_the_contents_only() -> None:
    assert replace(MANIFEST, root=Path("/elsewhere")).digest() == MANIFEST.digest()
    assert replace(MANIFEST, images=(CAT, OWL, DOG)).digest() == MANIFEST.digest()
    whole_numbers = replace(OWL, boxes=((1, 2, 3, 4),))
    assert replace(MANIFEST, images=(CAT, DOG, whole_numbers)).digest() == MANIFEST.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"path": "owl/p.jpg"},
        {"label": "cat"},
        {"split": "val"},
        {"sha256": "4" * 64},
        {"width": 41},
        {"boxes": None},
        {"boxes": ((1.0, 2.0, 3.0, 4.5),)},
        {"mask": None},
        {"mask_sha256": "4" * 64},
    ],
)
def test_every_change_of_an_image_changes_the_digest(change: dict[str, object]) -> None:
    changed = replace(MANIFEST, images=(CAT, DOG, replace(OWL, **change)))
    assert changed.digest() != MANIFEST.digest()


def test_the_order_of_the_classes_is_part_of_the_digest() -> None:
    assert replace(MANIFEST, classes=("cat", "dog", "owl")).digest() != MANIFEST.digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("owl", "cat")}, "label 'dog' is not one of the classes"),
        ({"classes": ("owl", "cat", "dog", "cat")}, "a name occurs twice"),
        ({"images": (CAT, CAT)}, "listed twice"),
        ({"images": (replace(CAT, split="valid"),)}, "unknown split 'valid'"),
    ],
)
def test_a_manifest_that_contradicts_itself_cannot_be_made(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(MANIFEST, **change)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"classes"', '"kinds"', "no 'classes'"),
        ('"width": 40', '"width": "40"', "'width' is of the wrong type"),
        ('"width": 40', '"width": true', "'width' is of the wrong type"),
        ('"sha256"', '"sha"', "no 'sha256'"),
        ('"split": "val"', '"split": "dev"', "unknown split 'dev'"),
        ('"label": "dog"', '"label": "cow"', "label 'cow' is not one of the classes"),
        ("[1.0, 2.0, 3.0, 4.0]", "[1.0, 2.0, 3.0]", "not four finite numbers"),
        ("[1.0, 2.0, 3.0, 4.0]", "[1.0, 2.0, 3.0, NaN]", "not four finite numbers"),
        ("[1.0, 2.0, 3.0, 4.0]", '[1.0, 2.0, 3.0, "4"]', "not four finite numbers"),
        ("cat/a b.jpg", "../a b.jpg", "is outside the root folder"),
        ("masks/owl/o.png", "/masks/owl/o.png", "is outside the root folder"),
        ('["owl", ', "[3, ", "a name is not text"),
        ("\n]}", "", "not a manifest"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "m.json"
    write_manifest(path, MANIFEST)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_manifest(path, "root")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b'{"root": ".", "classes": [], "images": [4]}'])
def test_something_else_under_the_name_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.json: "):
        read_manifest(tmp_path / "m.json", tmp_path)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.json: cannot be read \(No such file or directory\); run `split` first"):
        read_manifest(tmp_path / "m.json", tmp_path)
