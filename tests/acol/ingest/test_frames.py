"""Boxes and masks of photographs with an EXIF turn, drawn on the upright or on the stored pixels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from acol.data.manifest import Manifest, read_manifest, write_manifest
from acol.data.masks import true_mask
from acol.errors import Faults
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import Reading, read_folder
from acol.ingest.folder_settings import MaskSource

BOX = (2, 1, 7, 4)
Make = Callable[..., tuple[Path, str]]


@pytest.fixture
def turned(flat: Path) -> Callable[..., tuple[np.ndarray, Path]]:
    """Store a photograph with a turn, and its object's box and polygon as drawn on the stored pixels, as COCO."""

    def make(orientation: int, size: tuple[int, int], *, told: bool = True) -> tuple[np.ndarray, Path]:
        pixels = np.random.default_rng(1).integers(0, 128, (size[1], size[0], 3), np.uint8)
        x0, y0, x1, y1 = BOX
        pixels[y0:y1, x0:x1] = 255
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(pixels).save(flat / "cat/turned.png", exif=exif)
        sides = {"width": size[0], "height": size[1]} if told else {}
        corners = [[x0, y0, x1, y0, x1, y1, x0, y1, x0, y0 + 1]]  # a point more than the box
        content = {
            "images": [{"id": 1, "file_name": "cat/turned.png", **sides}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": corners}
            ],
        }
        (flat / "boxes.json").write_text(json.dumps(content))
        return np.asarray(Image.open(flat / "cat/turned.png")), flat

    return make


def read(root: Path, frame: str | None = None) -> Reading:
    return read_folder(root, annotations=AnnotationSource("coco", "boxes.json", frame=frame))


def object_of(manifest: Manifest, root: Path) -> tuple[tuple[float, ...], np.ndarray, np.ndarray]:
    image = next(image for image in manifest.images if image.path == "cat/turned.png")
    upright = np.asarray(ImageOps.exif_transpose(Image.open(root / image.path)))
    assert image.boxes is not None
    return image.boxes[0], true_mask(image, root, None, (image.width, image.height)), upright[..., 0] == 255


@pytest.mark.parametrize("size", [(10, 8), (9, 9)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_masks_of_stored_pixels_are_turned_with_them(turned: Make, orientation: int, size: tuple[int, int]):
    _, root = turned(orientation, size)
    box, mask, there = object_of(read(root, "stored").manifest, root)
    rows, columns = np.nonzero(there)
    assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_array_equal(mask == 1, there)


@pytest.mark.parametrize("size", [(10, 8), (9, 9)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_files_of_stored_pixels_are_turned_with_them(turned: Make, orientation: int, size: tuple[int, int]):
    pixels, root = turned(orientation, size)
    (root / "masks/cat").mkdir(parents=True)
    Image.fromarray((pixels[..., 0] == 255).astype(np.uint8)).save(root / "masks/cat/turned.png")
    reading = read_folder(
        root, masks=MaskSource("masks", frame="stored"), annotations=AnnotationSource("coco", "boxes.json")
    )
    write_manifest(root / "manifest.json", reading.manifest)
    _, mask, there = object_of(read_manifest(root / "manifest.json", root), root)
    np.testing.assert_array_equal(mask == 1, there)
    # Without the setting, the size tells it, or it is told that nothing does.
    told = [remark for remark in read_folder(root, masks="masks").remarks if "data.masks.frame" in remark]
    turns_sides = orientation >= 5 and size[0] != size[1]
    assert bool(told) == (orientation != 1 and not turns_sides)
    if turns_sides:
        assert read_folder(root, masks="masks").manifest.digest() == (
            read_folder(root, masks=MaskSource("masks", frame="stored")).manifest.digest()
        )
        with pytest.raises(Faults, match="but its image is 8 x 10; draw it again"):
            read_folder(root, masks=MaskSource("masks", frame="upright"))


def test_the_annotated_size_tells_the_frame_where_it_can(turned: Make):
    _, root = turned(6, (10, 8))
    reading = read(root)
    assert not any("EXIF" in remark for remark in reading.remarks)
    assert reading.manifest == read(root, "stored").manifest
    for orientation, size, told in ((6, (9, 9), True), (3, (10, 8), True), (6, (10, 8), False)):
        turned(orientation, size, told=told)
        (remark,) = [remark for remark in read(root).remarks if "EXIF" in remark]
        assert remark.startswith("1 photograph (cat/turned.png): an EXIF orientation, and nothing says")
        assert not any("EXIF" in remark for remark in read(root, "upright").remarks)
