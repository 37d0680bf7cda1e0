"""Damaged photographs and masks: read_image and read_mask_pixels name the file, or return pixels."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from acol.data.images import MAX_PIXELS, read_image, read_mask_pixels
from tests.fuzz.mutations import NUMBERS, damaged, examples, result_or_clear_lines

REAL = Path(__file__).parents[2].parent / "shared" / "data"


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def files() -> dict[str, bytes]:
    """A file of each kind that a data set holds."""
    y, x = np.mgrid[:24, :32]
    scene = Image.fromarray(np.stack([x * 8, y * 10, (x * y) % 256], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "a camera"
    deep = Image.fromarray((x * 2000).astype(np.uint16))
    return {
        "photograph": encoded(scene, "JPEG", exif=exif),
        "progressive": encoded(scene, "JPEG", progressive=True, exif=exif, icc_profile=b"profile" * 20),
        "cmyk": encoded(scene.convert("CMYK"), "JPEG"),
        "png": encoded(scene, "PNG", exif=exif),
        "palette": encoded(scene.quantize(16), "PNG", transparency=3),
        "alpha": encoded(scene.convert("RGBA"), "PNG"),
        "deep": encoded(deep, "PNG"),
        "bilevel": encoded(scene.convert("1"), "PNG"),
        "tiff": encoded(scene, "TIFF", exif=exif),
        "lzw": encoded(scene, "TIFF", compression="tiff_lzw"),
        "webp": encoded(scene, "WEBP", exif=exif),
        "gif": encoded(scene, "GIF", save_all=True, append_images=[scene.rotate(90)]),
        "bmp": encoded(scene, "BMP"),
        "ppm": encoded(scene, "PPM"),
    }


FILES = files()
PHOTOGRAPHS = [path.read_bytes() for path in sorted(REAL.glob("*/images/*/*.jpg"))[:200:40]]


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


@st.composite
def damaged_png(draw: st.DrawFn, png: bytes) -> bytes:
    """A PNG with one chunk's content damaged, or what the pixels' stream inflates to; every checksum is right."""
    parts = list(chunks(png))
    at = draw(st.integers(0, len(parts) - 1))
    kind, body = parts[at]
    if kind == b"IHDR" and draw(st.booleans()):
        sizes = st.sampled_from(NUMBERS[:6]) | st.integers(0, 20_000).map(lambda n: struct.pack(">I", n))
        body = draw(sizes) + draw(sizes) + body[8:]
    elif kind == b"IDAT" and draw(st.booleans()):
        body = zlib.compress(draw(damaged(zlib.decompress(body))))
    else:
        body = draw(damaged(body))
    parts[at] = (draw(st.sampled_from([kind, kind, b"tRNS", b"PLTE", b"eXIf", b"zTXt", b"acTL"])), body)
    if draw(st.booleans()):
        parts.append(parts.pop(draw(st.integers(0, len(parts) - 1))))
    joined = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return png[:8] + b"".join(joined)


def check(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    image = result_or_clear_lines(lambda: read_image(path), f"{path}: ")
    if image is not None:
        assert image.mode == "RGB"
        assert 0 < image.width * image.height <= MAX_PIXELS
        image.resize((4, 4))
    mask = result_or_clear_lines(lambda: read_mask_pixels(path), f"{path}: ")
    assert mask is None or (mask.dtype == "uint8" and mask.ndim == 2 and mask.size)


@pytest.mark.filterwarnings("ignore")  # Pillow's on damaged metadata
@pytest.mark.parametrize("kind", FILES)
@examples(25)
@given(data=st.data())
def test_bytes(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    check(tmp_path / "x.jpg", data.draw(damaged(FILES[kind])))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "palette", "alpha", "deep", "bilevel"])
@examples(30)
@given(data=st.data())
def test_png_with_right_checksums(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    check(tmp_path / "x.png", data.draw(damaged_png(FILES[kind])))


@pytest.mark.filterwarnings("ignore")
@examples(40)
@given(first=st.sampled_from(list(FILES)), second=st.sampled_from(list(FILES)), data=st.data())
def test_one_kind_spliced_onto_another(tmp_path: Path, first: str, second: str, data: st.DataObject) -> None:
    end, start = data.draw(st.integers(1, len(FILES[first]))), data.draw(st.integers(0, len(FILES[second])))
    check(tmp_path / "x.tif", FILES[first][:end] + FILES[second][start:])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not PHOTOGRAPHS, reason=f"no real photographs under {REAL}")
@examples(30)
@given(data=st.data())
def test_real_photographs(tmp_path: Path, data: st.DataObject) -> None:
    photograph = PHOTOGRAPHS[data.draw(st.integers(0, len(PHOTOGRAPHS) - 1))]
    check(tmp_path / "x.jpg", data.draw(damaged(photograph)))
