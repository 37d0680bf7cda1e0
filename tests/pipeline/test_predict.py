"""Which images the arguments of a prediction name."""

import pytest

from acol.errors import Faults
from pipeline.predict import find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images at several depths, beside files that are none."""
    for name in ("a.jpg", "b.txt", "deep/c.png", "deep/.thumbs/d.png", "deep/er/e.JPG", "odd [1].png", "empty/f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["a.jpg"], ["a.jpg"]),
        (["deep"], ["deep/c.png", "deep/er/e.JPG"]),
        (["*.jpg"], ["a.jpg"]),
        (["**/*.png"], ["deep/c.png", "odd [1].png"]),
        (["deep/c.png", "deep", "./deep/c.png"], ["deep/c.png", "deep/er/e.JPG"]),
        (["odd [1].png"], ["odd [1].png"]),
        (["missing.jpg"], ["missing.jpg"]),
    ],
    ids=["file", "folder", "pattern", "deep pattern", "named twice", "a name like a pattern", "left to the reader"],
)
def test_files_folders_and_patterns_name_images(arguments, found, folder):
    assert [str(path) for path in find_images(arguments)] == found


def test_what_names_no_image_is_refused(folder):
    with pytest.raises(Faults) as refused:
        find_images(["empty", "*.bmp", "a.jpg"])
    assert refused.value.faults == (
        "empty: no image lies in this folder; name image files, folders or patterns",
        "*.bmp: no image fits this pattern; name image files, folders or patterns",
    )
