"""Images that show the same stay in one split, or are told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from acol.errors import InputError
from acol.ingest.decoding import FileFacts
from acol.ingest.folder import read_folder
from acol.ingest.layout import Photo
from acol.ingest.splits import NEAR, join_groups, twins_across_splits


def test_near_duplicates_in_two_splits_are_all_found():
    rng = np.random.default_rng(0)
    looks = {f"{n:03d}": int(rng.integers(0, 2**63)) for n in range(200)}
    for n in range(20):  # a twin that differs in at most NEAR bits anywhere
        flips = sum(1 << int(bit) for bit in rng.choice(64, n % (NEAR + 1), replace=False))
        looks[f"{n:03d}x"] = looks[f"{n:03d}"] ^ flips
    looks["100x"] = looks["100"] ^ 0b11110000  # one bit too many
    photos = [Photo(path, split="test" if path.endswith("x") else "train") for path in looks]
    for photo in photos:
        photo.facts = FileFacts(photo.path, (8, 8), phash=looks[photo.path])
    assert twins_across_splits(photos) == [(f"{n:03d}", f"{n:03d}x") for n in range(20)]
    for photo in photos:
        photo.split = "train"
    assert twins_across_splits(photos) == []


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    """Three variants each of twenty smooth photographs, named as Roboflow does."""
    rng = np.random.default_rng(0)
    for n in range(20):
        noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
        for k in range(3):
            path = tmp_path / "ab"[n % 2] / f"p{n}_jpg.rf.{k:032x}.png"
            path.parent.mkdir(exist_ok=True)
            noise.filter(ImageFilter.GaussianBlur(0.5 * k)).save(path)
    return tmp_path


def test_variants_that_straddle_splits_are_told_and_kept_together_on_request(variants: Path) -> None:
    (remark,) = read_folder(variants).remarks
    assert "near duplicates are in two splits, such as a/p" in remark
    reading = read_folder(variants, group_by=r"([^/]+)_jpg\.rf\.")
    assert reading.remarks == ()
    splits: dict[str, set[str]] = {}
    for image in reading.manifest.images:
        splits.setdefault(image.path.split("_jpg")[0], set()).add(image.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}


def test_an_impossible_pattern_is_refused(variants: Path) -> None:
    with pytest.raises(InputError, match=r"group_by '\(': not a regular expression"):
        read_folder(variants, group_by="(")


def test_variants_that_given_splits_take_apart_are_told(variants: Path) -> None:
    for path in sorted(variants.glob("?/*.png")):
        split = "test" if f"{2:032x}" in path.name else "train"
        target = variants / "given" / split / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    remarks = read_folder(variants / "given", group_by=r"([^/]+)_jpg\.rf\.").remarks
    assert "20 variants are in two splits, such as test/a/p0_jpg" in remarks[0]
    assert "near duplicates are in two splits" in remarks[1]


def test_equal_files_and_groups_are_joined():
    contents = ["1", "1", "2", "3", "2"]
    assert join_groups(contents, ["g", "", "g", "", ""]) == ["g", "g", "g", "3", "g"]
    assert join_groups(contents, [""] * 5) == contents
