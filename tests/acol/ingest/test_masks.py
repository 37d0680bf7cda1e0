"""What the values of masks mean: conventions of real data sets, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acol.data.images import read_mask_pixels
from acol.data.manifest import read_manifest, write_manifest
from acol.data.masks import CONVENTIONS, MaskValues
from acol.data.truth import true_mask
from acol.errors import Faults
from acol.ingest.folder import read_folder
from acol.ingest.summary import summary

BORDER, INSIDE = (slice(1, 5), slice(1, 6)), (slice(2, 4), slice(2, 5))  # of images of 8 x 6


def masked(root: Path, background: int, border: int, inside: int, mode: str = "L") -> Path:
    for label in ("cat", "dog"):
        for number in range(6):
            pixels = np.full((6, 8), background, np.uint8)
            pixels[BORDER], pixels[INSIDE] = border, inside
            image = Image.fromarray(pixels)
            if mode == "P":
                image = Image.new("P", (8, 6))
                image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
                image.putdata(pixels.flatten().tolist())
            (root / "masks" / label).mkdir(parents=True, exist_ok=True)
            image.save(root / "masks" / label / f"{number}.png")
    return root


def seen(root: Path, values: MaskValues | None = None) -> tuple[np.ndarray, str]:
    """The first cat's pixels, as the evaluation reads them back from the manifest, and the summary."""
    reading = read_folder(root, masks="masks", mask_values=values)
    write_manifest(root / "manifest.json", reading.manifest)
    manifest = read_manifest(root / "manifest.json", root)
    assert manifest == reading.manifest
    image = next(image for image in manifest.images if image.path == "cat/0.png")
    return read_mask_pixels(root / str(image.mask), manifest.mask_values, image.label), summary(reading)


def wanted(border: int, inside: int) -> np.ndarray:
    pixels = np.zeros((6, 8), np.uint8)
    pixels[BORDER], pixels[INSIDE] = border, inside
    return pixels


@pytest.mark.parametrize("mode", ["L", "P"])
def test_pascal_vocs_border_is_ignored(flat: Path, mode: str) -> None:
    for path in flat.glob("*/*.png"):
        image = Image.open(path).resize((40, 30))
        image.save(path)
    for label in ("cat", "dog"):
        for number in range(6):
            pixels = np.zeros((30, 40), np.uint8)
            pixels[5:25, 5:35], pixels[6:24, 6:34] = 255, 8
            image = Image.fromarray(pixels).convert(mode)
            image.putdata(pixels.flatten().tolist())
            (flat / "masks" / label).mkdir(parents=True, exist_ok=True)
            image.save(flat / "masks" / label / f"{number}.png")
    pixels, words = seen(flat)
    assert (pixels[5, 5], pixels[10, 10], pixels[0, 0]) == (255, 1, 0)
    assert "(0 background; 255 ignored; all else object)" in words


def test_of_0_and_255_alone_255_is_the_object(flat: Path) -> None:
    pixels, words = seen(masked(flat, 0, 0, 255))
    np.testing.assert_array_equal(pixels, wanted(0, 1))
    assert "(0 background; all else object)" in words


def test_trimaps_semantic_and_inverted_masks(flat: Path) -> None:
    pixels, _ = seen(masked(flat, 2, 3, 1), CONVENTIONS["trimap"])
    np.testing.assert_array_equal(pixels, wanted(255, 1))
    pixels, _ = seen(masked(flat, 255, 0, 0), CONVENTIONS["inverted"])
    np.testing.assert_array_equal(pixels, wanted(1, 1))
    # The dog's value is background in a photograph of a cat.
    classes = MaskValues(classes={"cat": 5, "dog": 9})
    masked(flat, 0, 9, 5)
    image = Image.open(flat / "masks/dog/0.png")
    assert image.getpixel((2, 2)) == 5
    pixels, words = seen(flat, classes)
    np.testing.assert_array_equal(pixels, wanted(0, 1))
    assert "5 cat; 9 dog" in words


@pytest.mark.parametrize(
    ("values", "given", "fault"),
    [
        (
            (2, 3, 1),
            None,
            "masks: no mask has a pixel of 0, the background; say under data.masks.values what they mean",
        ),
        ((0, 7, 1), MaskValues((1,)), "cat/0.png: holds the value 7, which no setting of data.masks explains; add it"),
        ((0, 255, 1), None, "masks: most marked pixels are 255, which means ignored beside other values; if it is the"),
        (
            (0, 0, 5),
            MaskValues(classes={"cat": 5}),
            "dog/0.png: class dog has no value; add it under data.masks.classes",
        ),
        ((0, 0, 0), None, "cat/0.png: every pixel is 0; mark the object, remove the mask, or say under data.masks"),
    ],
)
def test_what_no_setting_explains_is_refused(
    flat: Path, values: tuple[int, int, int], given: MaskValues, fault: str
) -> None:
    with pytest.raises(Faults) as caught:
        read_folder(masked(flat, *values), masks="masks", mask_values=given)
    assert any(fault in line for line in caught.value.faults), caught.value.faults


def test_masks_that_are_nearly_all_object_are_told(flat: Path) -> None:
    masked(flat, 1, 1, 1)
    for path in flat.glob("masks/*/*.png"):
        image = Image.open(path)
        image.putpixel((0, 0), 0)
        image.save(path)
    (remark,) = read_folder(flat, masks="masks").remarks
    assert "the object fills 98 % of the mean mask; if object and background are exchanged, set" in remark


def test_openimages_lists_several_masks_and_ignored_regions(flat: Path) -> None:
    folder = flat / "masks"
    folder.mkdir()
    parts = {"a": (slice(0, 3), slice(0, 4)), "b": (slice(2, 6), slice(3, 6)), "ignored": (slice(0, 6), slice(4, 8))}
    for name, where in parts.items():
        pixels = np.zeros((12, 16), np.uint8)  # twice the size of the images
        pixels[2 * where[0].start : 2 * where[0].stop, 2 * where[1].start : 2 * where[1].stop] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (flat / "list.txt").write_text("cat/0.png,a.png,ignored.png\ncat/0.png,b.png,ignored.png\ndog/1.png,b.png,\n")
    reading = read_folder(flat, masks="masks", mask_list="list.txt")
    write_manifest(flat / "manifest.json", reading.manifest)
    manifest = read_manifest(flat / "manifest.json", flat)
    assert manifest == reading.manifest
    cat, dog = (next(image for image in manifest.images if image.path == path) for path in ("cat/0.png", "dog/1.png"))
    assert (cat.mask, cat.more_masks, cat.ignore_mask) == ("masks/a.png", ("masks/b.png",), "masks/ignored.png")
    assert (dog.more_masks, dog.ignore_mask) == ((), None)
    found = true_mask(cat, flat, manifest.mask_values, (224, 224))
    both, ignored = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    both[parts["a"]] = both[parts["b"]] = ignored[parts["ignored"]] = True
    wanted = np.where(both, 1, np.where(ignored, 255, 0))
    rows, columns = (np.arange(224) * side // 224 for side in (6, 8))
    np.testing.assert_array_equal(found, wanted[rows][:, columns])
    assert all(not image.more_masks for image in manifest.for_training().images)
    (flat / "list.txt").write_text("cat/0.png,c.png,\ncat/99.png,a.png,\nnonsense\n")
    with pytest.raises(Faults) as caught:
        read_folder(flat, masks="masks", mask_list="list.txt")
    assert len(caught.value.faults) == 3
