"""Images and masks from files: how they are decoded, turned upright and resized, everywhere in the same way."""

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from acol.data.mask_values import OBJECT, MaskValues, usual_values
from acol.errors import InputError

MAX_PIXELS = 178_956_970  # the limit of Pillow: 512 MiB of RGB, more than the picture of any camera

# Only formats that hold pixels: for PostScript, for example, Pillow would run an interpreter, whatever the suffix is.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = tuple(sorted(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS))

_Pixel = TypeVar("_Pixel", bound=np.generic)

# What turns an image of each EXIF orientation upright (EXIF 2.32, tag 274); 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path, content: bytes | None = None, max_pixels: int | None = None) -> Image.Image:
    """Return an image file as RGB pixels, fully decoded and turned upright by its EXIF orientation.

    `content` are the file's bytes if they need not be read; then `path` is only its name in messages.
    Transparent images are put on white. Of 16-bit samples the high byte is kept. Only the first frame is used.
    Raises `InputError` for a file that cannot be read as an image, and for one of more than `max_pixels` (default:
    `MAX_PIXELS`), whose pixels are not decoded.
    """
    return _read(path, _rgb, content, max_pixels)


def is_image(path: str | Path) -> bool:
    """Return whether a file begins as an image of one of the formats that `read_image` reads, whatever its suffix."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # of any type, as in `_read`
        return False


def frame_count(path: str | Path) -> int:
    """Return how many frames or pages an image file holds, of which `read_image` reads the first; 1 if damaged."""
    try:
        with Image.open(path, formats=FORMATS) as image:  # the further frames of a camera's MPO are previews
            return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception:  # of any type, as in `_read`
        return 1


def orientation(path: str | Path) -> int:
    """Return the EXIF orientation of an image file that `read_image` can read: 1 is upright, 2 to 8 are turned."""
    with Image.open(path, formats=FORMATS) as image:
        return _orientation(image)


def read_values(path: str | Path) -> NDArray[np.uint16]:
    """Return the values (H, W) of a mask file: grey levels, indices of its palette, or 0 and 1 of a 1-bit image.

    Raises `InputError` as `read_image` does, and for a mask with transparency or colours, whose meaning is not clear.
    """
    return np.asarray(_read(path, _mask_values)).astype(np.uint16)


def read_mask_pixels(path: str | Path, values: MaskValues | None = None, label: str = "") -> NDArray[np.uint8]:
    """Return a mask file as (H, W) of 0 (background), 1 (object) and 255 (ignored).

    Args:
        path: the file.
        values: what its values mean; None: what they usually mean (`usual_values`).
        label: the class of the image; in semantic masks only its pixels are the object.

    Raises `InputError` as `read_values` does, and for a value without a meaning.
    """
    raw = read_values(path)
    try:
        return (values or usual_values(np.unique(raw).tolist())).pixels(raw, label)
    except InputError as error:
        raise InputError(f"{as_line(path)}: {error}") from None


def read_mask(path: str | Path, values: MaskValues | None = None, label: str = "") -> NDArray[np.bool_]:
    """Return which pixels (H, W) of a mask file belong to the object. For arguments see `read_mask_pixels`."""
    return read_mask_pixels(path, values, label) == OBJECT


def first_colour(path: str | Path) -> int | None:
    """Return the largest channel, in [0, 255], of the palette's colour for the value 0; None without a palette."""
    with Image.open(path, formats=FORMATS) as image:
        palette = image.getpalette("RGB") if image.mode == "P" else None
    return max(palette[:3]) if palette else None


def upright(mask: NDArray[_Pixel], orientation: int | None) -> NDArray[_Pixel]:
    """Return a mask (H, W) turned upright by an EXIF orientation; with None, as it is."""
    if orientation is None:
        return mask
    return np.asarray(_upright(Image.fromarray(mask.astype(np.uint16)), orientation)).astype(mask.dtype)


def resize(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an RGB image as (size, size, 3) uint8, resized to a square by antialiased bilinear interpolation."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def as_line(path: str | Path) -> str:
    """Return a path as text for a message of one line; one with line breaks or undecodable bytes is quoted."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def stem_of(path: PurePosixPath) -> str:
    """Return a path without its suffix, if that is the suffix of an image; ".001" in "img.001" belongs to the name."""
    return (path.with_suffix("") if path.suffix.lower() in EXTENSIONS else path).as_posix()


def _read(
    path: str | Path,
    convert: Callable[[Image.Image], Image.Image],
    content: bytes | None = None,
    max_pixels: int | None = None,
) -> Image.Image:
    """Decode an image file, convert it and turn it upright; raise `InputError` if any of this fails."""
    name, limit = as_line(path), max_pixels or MAX_PIXELS
    try:
        if not (Path(path).stat().st_size if content is None else len(content)):
            raise InputError("empty file (0 bytes); replace it or remove it")
        # The size stands in the header: check it before memory is taken for the pixels.
        with Image.open(path if content is None else io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > limit:
                raise InputError(f"{image.width} x {image.height} is more than {limit} pixels; save it smaller")
            image.load()
            converted, turn = convert(image), _orientation(image)
    except InputError as error:  # from above, or from `convert`
        raise InputError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image; replace it or remove it") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: more than {MAX_PIXELS} pixels; save it smaller") from None
    except Exception as error:  # for damaged bytes decoders raise errors of any type: SyntaxError, struct.error, ...
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{name}: cannot be opened ({error.strerror}); check its path and permissions") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: truncated or damaged ({reason}); replace it or remove it") from None
    return _upright(converted, turn)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _orientation(image: Image.Image) -> int:
    try:
        turn = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block; the pixels are still good
        return 1
    return turn if turn in _UPRIGHT else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow would clip 16-bit samples to 255 instead of scaling them.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise InputError("32-bit samples have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", visible.size, "white"), visible).convert("RGB")
    return image.convert("RGB")


def _mask_values(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")  # an alpha channel that hides nothing
    if image.mode != "P" and image.has_transparency_data:
        raise InputError("a mask with transparency; save it as 8-bit grayscale, 0 outside the object")
    pixels = np.asarray(image)  # (H, W) or (H, W, channels)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise InputError("a mask in colours; save it as 8-bit grayscale or with a palette")
        pixels = pixels[..., 0]
    return Image.fromarray(pixels.astype(np.uint16))
