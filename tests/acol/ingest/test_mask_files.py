"""What the values of masks mean: conventions of real data sets, and what is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acol.data.images import read_mask_pixels
from acol.data.manifest import read_manifest, write_manifest
from acol.data.mask_values import CONVENTIONS, MaskValues
from acol.data.masks import true_mask
from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from acol.ingest.folder_settings import MaskSource

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
    reading = read_folder(root, masks=MaskSource("masks", values))
    write_manifest(root / "manifest.json", reading.manifest)
    manifest = read_manifest(root / "manifest.json", root)
    assert manifest == reading.manifest
    image = next(image for image in manifest.images if image.path == "cat/0.png")
    return read_mask_pixels(root / str(image.mask), manifest.mask_values, image.label), reading.summary()


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
        read_folder(masked(flat, *values), masks=MaskSource("masks", given))
    assert any(fault in line for line in caught.value.faults), caught.value.faults


def test_masks_that_are_nearly_all_object_are_told(flat: Path) -> None:
    masked(flat, 1, 1, 1)
    for path in flat.glob("masks/*/*.png"):
        image = Image.open(path)
        image.putpixel((0, 0), 0)
        image.save(path)
    (remark,) = read_folder(flat, masks="masks").remarks
    assert "the object is along nearly the whole edge of the mask; if object and background are exchanged" in remark


def filled(box: tuple[int, int, int, int], size: tuple[int, int] = (40, 30), inside: int = 255) -> np.ndarray:
    """A mask of (width, height) with an object in a box."""
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = inside
    return pixels


@pytest.fixture
def parts(draw: Callable[..., Path], tmp_path: Path) -> Callable[[np.ndarray], Path]:
    """Return a function that saves one mask for each of 12 photographs of 40 x 30 pixels."""
    for label in ("cat", "dog"):
        for number in range(6):
            draw(f"{label}/{label}{number}.jpg", (40, 30))
            (tmp_path / "masks" / label).mkdir(parents=True, exist_ok=True)

    def save(pixels: np.ndarray, palette: Sequence[int] = ()) -> Path:
        image = Image.fromarray(pixels)
        if palette:
            image.putpalette(palette)
        for path in tmp_path.glob("*/*.jpg"):
            image.save(tmp_path / "masks" / path.parent.name / f"{path.stem}.png")
        return tmp_path

    return save


Parts = Callable[..., Path]


def test_values_that_may_mean_something_else_are_told_and_a_setting_settles_it(parts: Parts) -> None:
    mask = filled((10, 8, 20, 16), inside=1)
    two, three = mask.copy(), filled((10, 8, 20, 16), inside=128)
    two[:, 30:], three[7:17, 9] = 2, 255
    for pixels, palette, words, settled in (
        (two, (), "several values of 1, 2 count together as the object; if each is a class, set", MaskValues((1, 2))),
        (three, (), "255 is taken as ignored beside other values, as in Pascal VOC; if so", CONVENTIONS["voc"]),
        (
            mask,
            (255, 255, 255, 0, 0, 0),
            "0 has a light colour and is taken as the background; if so",
            MaskValues((1,)),
        ),
        (255 - filled((10, 8, 20, 16)), (), "whole edge of the mask; if object and back", CONVENTIONS["inverted"]),
    ):
        root = parts(pixels, palette)
        (remark,) = read_folder(root, masks="masks").remarks
        assert remark.startswith("12 masks (cat/cat0.jpg")
        assert words in remark
        assert "set data.masks." in remark
        assert read_folder(root, masks=MaskSource("masks", settled)).remarks == ()


def test_a_mask_that_was_once_a_jpeg(parts: Parts, tmp_path: Path) -> None:
    Image.fromarray(filled((10, 8, 27, 19))).save(tmp_path / "once.jpg", quality=60)
    pixels = np.asarray(Image.open(tmp_path / "once.jpg"))
    (tmp_path / "once.jpg").unlink()
    root = parts(pixels)
    with pytest.raises(Faults) as caught:
        read_folder(root, masks="masks")
    (fault,) = caught.value.faults
    assert (
        "grey levels, most of them near 0 or 255, as JPEG and smoothing leave them; set data.masks.values: grey"
        in fault
    )
    reading = read_folder(root, masks=MaskSource("masks", "grey"))
    found = true_mask(reading.manifest.images[0], root, reading.manifest.mask_values, (40, 30))
    assert (found != filled((10, 8, 27, 19), inside=1)).mean() < 0.01
    assert "(0-127 background; 128-255 object)" in reading.summary()


@pytest.mark.parametrize("name", ["{}_mask", "{}-seg", "{}_segmentation", "{}_gt", "mask_{}", "{}.jpg", "{}.jpg_Mask"])
def test_a_mask_with_a_word_beside_its_images_name(parts: Parts, name: str) -> None:
    root = parts(filled((10, 8, 20, 16)))
    for path in list(root.glob("masks/*/*.png")):
        path.rename(path.with_name(f"{name.format(path.stem)}.png"))
    images = read_folder(root, masks="masks").manifest.images
    assert all(image.mask == f"masks/{image.label}/{name.format(Path(image.path).stem)}.png" for image in images)
    (root / "masks/cat/cat3.png").write_bytes((root / str(images[0].mask)).read_bytes())
    with pytest.raises(Faults, match=r"cat3.*\.png and .*cat3.*\.png: masks of one image; join or list them"):
        read_folder(root, masks="masks")


@pytest.mark.parametrize(
    "name", ["{}.png", "{}_m.png", "L_{}.png", "{}_gt.png", "truth-{}.gif", "{}_mask.jpg", "{} (2).bmp"]
)
def test_a_mask_beside_its_photograph_is_no_photograph(parts: Parts, name: str) -> None:
    root = parts(filled((10, 8, 27, 19)))
    Image.open(root / "masks/dog/dog4.png").save(root / "dog" / name.format("dog4"), quality=60)
    with pytest.raises(Faults, match=r"dog: 1 image is the mask of others, such as .* of dog4\.jpg; move masks into"):
        read_folder(root, masks="masks")


def test_drawings_of_few_colours_are_images(flat: Path) -> None:
    for number, path in enumerate(sorted(flat.glob("*/*.png"))):
        Image.fromarray(filled((number, 2, 20 + number, 9))).save(path)
    assert len(read_folder(flat).manifest.images) == 12
    (flat / "dog/0.png").rename(flat / "dog/drawn.png")
    Image.effect_noise((40, 30), 50).save(flat / "dog/noise.png")  # a photograph, but of another name
    assert len(read_folder(flat).manifest.images) == 13


def test_masks_of_images_that_are_left_out_or_not_there_are_counted(parts: Parts, draw: Callable[..., Path]) -> None:
    root = parts(filled((10, 8, 20, 16)))
    draw("bird/bird0.jpg", (40, 30))
    (root / "cat/cat0.jpg").write_bytes(b"none")
    mask = (root / "masks/cat/cat0.png").read_bytes()
    for name in ("bird0", "nowhere", "bird/bird0_mask"):
        (root / "masks" / name).parent.mkdir(exist_ok=True)
        (root / "masks" / f"{name}.png").write_bytes(mask)
    (root / "masks/bird0.png").unlink()
    reading = read_folder(root, masks="masks", classes=["cat", "dog"], unreadable="leave_out")
    assert "2 masks (bird/bird0_mask.png, cat/cat0.png): of images that are left out" in reading.remarks
    assert f"1 mask (nowhere.png): no such image in {root}: passed over" in reading.remarks
    assert sum(image.mask is not None for image in reading.manifest.images) == 11


def test_a_mask_without_an_object_is_of_an_image_without_one(parts: Parts) -> None:
    root = parts(filled((10, 8, 20, 16)))
    for path in root.glob("masks/cat/*.png"):
        Image.fromarray(filled((0, 0, 0, 0))).save(path)
    reading = read_folder(root, masks="masks")
    (remark,) = reading.remarks
    assert (
        remark
        == "6 images (cat/cat0.jpg, cat/cat1.jpg, cat/cat2.jpg, ...): no pixel of the mask is of the object;"
        + (" taken as without a mask")
    )
    assert {image.label for image in reading.manifest.images if image.mask} == {"dog"}


def test_several_masks_of_an_image_and_masks_beside_images_are_refused_in_a_line(parts: Parts) -> None:
    root = parts(filled((10, 8, 20, 16)))
    for path in sorted(root.glob("masks/*/*.png")):
        (path.parent / f"{path.stem}_mask_1.png").write_bytes(path.read_bytes())
        path.rename(path.parent / f"{path.stem}_mask_2.png")
    with pytest.raises(Faults, match=r"^\S*cat0_mask_1.png and \S*cat0_mask_2.png: masks of one image; join or list"):
        read_folder(root, masks="masks")
    with pytest.raises(InputError, match=r"^\S*: data.masks holds the images too; move the masks into a folder"):
        read_folder(root, masks=".")


def test_mvtec_ad_as_it_comes(draw: Callable[..., Path], tmp_path: Path) -> None:
    for split, kind, count in (("train", "good", 9), ("test", "good", 5), ("test", "cut", 5), ("test", "hole", 5)):
        for number in range(count):
            draw(f"{split}/{kind}/{number:03d}.png", (40, 30))
            if kind != "good":
                path = tmp_path / f"ground_truth/{kind}/{number:03d}_mask.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(filled((number, 2, 9 + number, len(kind) + 9))).save(path)
    with pytest.raises(Faults) as caught:  # no defect can be learnt from good pieces alone
        read_folder(tmp_path, masks="ground_truth")
    assert any("or set data.images to the folder of test, to draw" in line for line in caught.value.faults)
    manifest = read_folder(tmp_path, images="test", masks="ground_truth").manifest
    assert manifest.classes == ("cut", "good", "hole")
    for image in manifest.images:
        stem = Path(image.path).stem
        assert image.mask == (None if image.label == "good" else f"ground_truth/{image.label}/{stem}_mask.png")


def test_openimages_lists_several_masks_and_ignored_regions(flat: Path) -> None:
    folder = flat / "masks"
    folder.mkdir()
    parts = {"a": (slice(0, 3), slice(0, 4)), "b": (slice(2, 6), slice(3, 6)), "ignored": (slice(0, 6), slice(4, 8))}
    for name, where in parts.items():
        pixels = np.zeros((12, 16), np.uint8)  # twice the size of the images
        pixels[2 * where[0].start : 2 * where[0].stop, 2 * where[1].start : 2 * where[1].stop] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (flat / "list.txt").write_text("cat/0.png,a.png,ignored.png\ncat/0.png,b.png,ignored.png\ndog/1.png,b.png,\n")
    reading = read_folder(flat, masks=MaskSource("masks", list="list.txt"))
    assert reading.remarks == ()  # the list is a file that is read
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
        read_folder(flat, masks=MaskSource("masks", list="list.txt"))
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("name", ["{stem}", "{stem}_gt", "mask {number}"])
def test_a_folder_of_masks_is_no_class(draw: Callable[..., Path], tmp_path: Path, name: str) -> None:
    for number in range(6):
        draw(f"set/x/im{number}.png", size=(40, 30))
        path = tmp_path / "set/y" / f"{name.format(stem=f'im{number}', number=number)}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(filled((number, 2, 20, 19), inside=number + 1)).save(path)
    what = f"{tmp_path}/set/y: by names, sizes and colours its images are masks of those in {tmp_path}/set/x; move"
    with pytest.raises(Faults, match=f"^{what}"):
        read_folder(tmp_path / "set")
    assert read_folder(tmp_path / "set", classes=("x", "y")).manifest.classes == ("x", "y")


def test_masks_and_boxes_of_different_objects_are_refused(parts: Parts) -> None:
    root = parts(filled((2, 3, 12, 13)))
    rows = [f"{path.name},{path.parent.name}" for path in sorted(root.glob("*/*.jpg"))]
    for corners, apart in (("11,12,30,28", False), ("12,3,30,13", True)):  # one pixel of the mask is within, none
        (root / "boxes.csv").write_text("\n".join(["path,class,x0,y0,x1,y1", *(f"{row},{corners}" for row in rows)]))
        settings = {"masks": "masks", "annotations": AnnotationSource("csv", "boxes.csv")}
        if not apart:
            assert all(image.mask and image.boxes for image in read_folder(root, **settings).manifest.images)
            continue
        what = "the object in the mask of cat/cat0.jpg is outside of all boxes; correct one of the two"
        with pytest.raises(Faults, match=f"^{root}/masks/cat/cat0.png and {root}/boxes.csv: {what}"):
            read_folder(root, **settings)
