import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from torchvision.transforms import v2

from acol.data import images
from acol.data.images import as_line, read_image, read_mask, read_mask_pixels, resize
from acol.errors import InputError

RED, WHITE, GREEN = (255, 0, 0), (255, 255, 255), (0, 255, 0)


def pixel(path: Path, x: int = 0, y: int = 0) -> tuple[int, ...]:
    image = read_image(path)
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def save(path: Path, array: object, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(np.array(array))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats_keep_their_pixels(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"x.{suffix}", np.array([[RED, GREEN]], np.uint8), **options)
    assert (pixel(path, 0), pixel(path, 1)) == (RED, GREEN)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = {"CMYK": "tif", "YCbCr": "jpg"}.get(mode, "png")
    path = save(tmp_path / f"x.{suffix}", np.full((4, 4, 3), 255, np.uint8), mode)
    assert pixel(path) == WHITE


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_samples_keep_their_high_byte(tmp_path: Path, suffix: str) -> None:
    # 65535 = 0xFFFF -> 0xFF, 32768 = 0x8000 -> 0x80, 256 = 0x0100 -> 1, 255 = 0x00FF -> 0
    path = save(tmp_path / f"x.{suffix}", np.array([[65535, 32768, 256, 255]], np.uint16))
    assert [pixel(path, x)[0] for x in range(4)] == [255, 128, 1, 0]


def test_transparent_pixels_show_white(tmp_path: Path) -> None:
    rgba = np.array([[(*RED, 0), (*RED, 255)]], np.uint8)
    path = save(tmp_path / "x.png", rgba)
    assert (pixel(path, 0), pixel(path, 1)) == (WHITE, RED)


def test_half_transparent_red_over_white_is_pink(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", np.array([[(*RED, 128)]], np.uint8))
    assert pixel(path) == (255, 127, 127)  # 255 * (1 - 128/255) = 127


def test_transparent_palette_entry_shows_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "x.png", transparency=0)
    assert (pixel(tmp_path / "x.png", 0), pixel(tmp_path / "x.png", 1)) == (WHITE, GREEN)


def test_32_bit_samples_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = save(tmp_path / "x.tif", np.array([[0.5]], np.float32))
    with pytest.raises(InputError, match=r"x\.tif: 32-bit samples have no fixed range; save it with 8 or 16 bits"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the stored image's top left pixel is shown, of a 32 x 16 stored image
    [(1, (0, 0)), (2, (31, 0)), (3, (31, 15)), (4, (0, 15)), (5, (0, 0)), (6, (15, 0)), (7, (15, 31)), (8, (0, 31))],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, corner: tuple[int, int], suffix: str) -> None:
    pixels = np.full((16, 32, 3), 255, np.uint8)
    pixels[:4, :4] = 0
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save(tmp_path / f"x.{suffix}", pixels, exif=exif)
    image = read_image(path)
    assert image.size == ((32, 16) if orientation < 5 else (16, 32))
    assert max(pixel(path, *corner)) < 64
    opposite = (image.width - 1 - corner[0], image.height - 1 - corner[1])
    assert min(pixel(path, *opposite)) > 192


def test_damaged_exif_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", np.full((8, 8, 3), 255, np.uint8), exif=b"Exif\0\0garbage!")
    assert pixel(path) == WHITE


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.touch()
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value) == f"{path}: empty file (0 bytes); replace it or remove it"


def test_a_text_file_is_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("<html>404</html>")
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value) == f"{path}: not an image; replace it or remove it"


def test_postscript_is_not_handed_to_its_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("RGB", (4, 4)).save(path, "EPS")
    with pytest.raises(InputError, match=r"x\.jpg: not an image"):
        read_image(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x.jpg: cannot be opened \(No such file or directory\)"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_jpeg_is_named(tmp_path: Path, options: dict[str, bool], part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / "x.jpg", noise, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=r"x\.jpg: (truncated or damaged|not an image)"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "bmp"])
def test_other_truncated_formats_are_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"x.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=rf"x\.{suffix}: (truncated or damaged|not an image)"):
        read_image(path)


def test_a_message_is_one_line_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.jpg"
    path.touch()
    with pytest.raises(InputError) as error:
        read_image(path)
    assert "\n" not in str(error.value)
    assert r"a\nb.jpg" in str(error.value)
    assert as_line("Fußball 1.jpg") == "Fußball 1.jpg"


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    # A valid header of a 60000 x 60000 PNG, without its pixels.
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    with pytest.raises(InputError, match=rf"x\.png: .*more than {images.MAX_PIXELS} pixels; save it smaller"):
        read_image(path)


def test_an_image_above_our_own_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.png", np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(images, "MAX_PIXELS", 15)
    with pytest.raises(InputError, match="4 x 4 is more than 15 pixels"):
        read_image(path)


def test_resize_squashes_to_a_square_as_torchvision_does() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    array = resize(image, 32)
    assert array.shape == (32, 32, 3)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    np.testing.assert_array_equal(array, np.asarray(v2.Resize((32, 32), antialias=True)(image)))


def test_resize_averages_rather_than_skips() -> None:
    stripes = np.zeros((8, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert abs(resize(Image.fromarray(stripes), 8)[:, 1:-1].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("value", [1, 128, 255])
def test_a_mask_of_two_values_is_where_it_is_not_0(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "x.png", np.array([[0, value, 0]], np.uint8))
    np.testing.assert_array_equal(read_mask(path), [[False, True, False]])


def test_beside_other_values_255_is_ignored(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", np.array([[0, 255, 15, 3]], np.uint8))
    assert read_mask_pixels(path).tolist() == [[0, 255, 1, 1]]
    assert read_mask(path).tolist() == [[False, False, True, True]]


def test_a_palette_mask_counts_indices_not_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="L")
    palette = Image.new("P", (2, 1))
    palette.putdata(list(image.tobytes()))
    palette.putpalette([*WHITE, 0, 0, 0])  # index 1, the object, is drawn black
    palette.save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "x.png"), [[False, True]])


def test_grey_16_bit_and_bilevel_masks(tmp_path: Path) -> None:
    grey = save(tmp_path / "a.png", np.array([[(0, 0, 0), (9, 9, 9)]], np.uint8))
    deep = save(tmp_path / "b.png", np.array([[0, 1]], np.uint16))
    bilevel = save(tmp_path / "c.png", np.array([[0, 255]], np.uint8), "1")
    for path in (grey, deep, bilevel):
        np.testing.assert_array_equal(read_mask(path), [[False, True]])
    colour = save(tmp_path / "d.png", np.array([[(0, 0, 0), (0, 0, 9)]], np.uint8))
    with pytest.raises(InputError, match=r"d\.png: a mask in colours; save it as 8-bit grayscale or with a palette"):
        read_mask_pixels(colour)


def test_a_mask_with_transparency_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", np.array([[(*RED, 0)]], np.uint8))
    with pytest.raises(InputError, match=r"x\.png: a mask with transparency; save it as 8-bit grayscale"):
        read_mask_pixels(path)
