"""Draw footballers: an image set with labels, and with true boxes and masks to check localization by.

Two *parts* of the figure mark each of the four classes. They do not touch, and one is smaller: a mohawk and boots of
its colour, a striped jersey and half-dark socks, a keeper's gloves and neon boots, hooped socks and a headband. A class
activation map that covers only the stronger part misses the player. A map that covers more of the figure finds the box.
After one part is erased, the next classifier can still find the other. All else (scene, clutter, pose, size, place,
skin, clothes and their colours) is drawn from the same distribution for every class.

    python -m examples.footballers.draw FOLDER --per-class 300 --size 176
"""

import argparse
import math
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from acol.errors import InputError
from examples.footballers.canvas import WHITE, Canvas, Pixels, shaded
from examples.footballers.player import TURN, figure_of
from examples.footballers.scenes import background, developed

CLASSES = ("hoops", "keeper", "mohawk", "stripes")
"""Named after the stronger part: hooped socks, a goalkeeper's gloves, a mohawk, a vertically striped jersey."""

_SMALLEST_SIZE = 32
_OVERSAMPLING = 3
_JPEG_QUALITY = 94
_SETTINGS = """\
# What params.yaml need not say of these images.
images: images
annotations: {format: voc, path: annotations}
masks: masks
"""


def draw_footballers(folder: str | Path, *, per_class: int = 240, size: int = 96, seed: int = 0) -> None:
    """Draw `per_class` images of each class, a single player in each, with box and mask.

    Writes `images/CLASS/NAME.jpg` (RGB, `size` x `size`), `masks/CLASS/NAME.png` (255 where the player is),
    `annotations/NAME.xml` (Pascal VOC: 1-based inclusive pixels, tight around the mask), and `acol.yaml`, which says to
    the stage `split` what lies where. The files depend on the arguments alone; a larger `per_class` adds images and
    does not change the others. Drawing again over the same files is allowed.

    Args:
        folder: where to write; created if it is missing.
        per_class: images of each class, at least 1.
        size: pixels a side, at least 32.
        seed: non-negative; another seed gives other images.

    Raises:
        InputError: an argument is out of its range, or `folder` holds images of another drawing.
    """
    if per_class < 1:
        raise InputError(f"per_class is {per_class}: give at least 1 image for each class")
    if size < _SMALLEST_SIZE:
        raise InputError(f"size is {size}: footballers need images of at least {_SMALLEST_SIZE} pixels a side")
    if seed < 0:
        raise InputError(f"seed is {seed}: give a non-negative whole number")
    folder = Path(folder)
    names = {label: [f"{label}-{index:04d}" for index in range(per_class)] for label in CLASSES}
    _refuse_strangers(folder, {name for of_class in names.values() for name in of_class})
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    with tqdm(total=per_class * len(CLASSES), desc="drawing footballers", unit="image", disable=None) as progress:
        for label in CLASSES:
            for kind in ("images", "masks"):
                (folder / kind / label).mkdir(parents=True, exist_ok=True)
            for index, name in enumerate(names[label]):
                image, mask = footballer(label, index, size=size, seed=seed)
                image_file = folder / "images" / label / f"{name}.jpg"
                Image.fromarray(image).save(image_file, quality=_JPEG_QUALITY, subsampling=0)
                Image.fromarray(mask).save(folder / "masks" / label / f"{name}.png")
                (folder / "annotations" / f"{name}.xml").write_bytes(_voc(label, image_file.name, mask))
                progress.update()
    (folder / "acol.yaml").write_text(_SETTINGS, encoding="utf-8")


def footballer(label: str, index: int, *, size: int, seed: int) -> tuple[Pixels, Pixels]:
    """Draw one image: the `index`-th of class `label` in the set of `seed`.

    Returns:
        The image (size, size, 3) uint8 RGB and the player's mask (size, size) uint8 of 0 and 255.
    """
    rng = np.random.default_rng((seed, CLASSES.index(label), index))
    figure = figure_of(rng, label)
    feet, middle = figure.place(rng)
    scene = background(rng, size, horizon=rng.uniform(0.1, max(0.15, feet - 0.1)), clutter=int(rng.integers(0, 4)))
    canvas = Canvas.blank(size * _OVERSAMPLING, with_mask=True)
    for shape in figure.shapes:
        outline = shaded(shape.colour, 0.5) if shape.outlined else None
        canvas.polygon(shape.points, shape.colour, outline=outline, width=figure.outline)
    player, coverage = canvas.shrunk(size)
    shadow = Canvas.blank(size, with_mask=True)
    reach = rng.uniform(10, 16) * figure.outline
    shadow.polygon((middle, feet) + reach * TURN * (1.0, 0.22), WHITE)
    dim = 1 - np.float32(0.45) * cv2.GaussianBlur(shadow.shrunk(size)[1], (0, 0), 0.012 * size)
    lit = player * _relief(rng, coverage)[..., None]
    image = developed(rng, scene * (dim * (1 - coverage))[..., None] + lit)
    return image, np.where(coverage >= 0.5, 255, 0).astype(np.uint8)


def _refuse_strangers(folder: Path, names: set[str]) -> None:
    for file in sorted((folder / "images").glob("*/*")):
        if file.stem not in names or file.parent.name not in CLASSES:
            raise InputError(
                f"{file}: not part of this drawing; draw into an empty folder, or remove the old images first"
            )


def _voc(label: str, filename: str, mask: Pixels) -> bytes:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = label
    ElementTree.SubElement(root, "filename").text = filename
    shape = ElementTree.SubElement(root, "size")
    for tag, value in (("width", mask.shape[1]), ("height", mask.shape[0]), ("depth", 3)):
        ElementTree.SubElement(shape, tag).text = str(value)
    ElementTree.SubElement(root, "segmented").text = "1"
    thing = ElementTree.SubElement(root, "object")
    for tag, text in (("name", label), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
        ElementTree.SubElement(thing, tag).text = text
    box = ElementTree.SubElement(thing, "bndbox")
    for tag, value in (("xmin", columns[0]), ("ymin", rows[0]), ("xmax", columns[-1]), ("ymax", rows[-1])):
        ElementTree.SubElement(box, tag).text = str(value + 1)
    ElementTree.indent(root)
    return ElementTree.tostring(root) + b"\n"


def _relief(rng: np.random.Generator, coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light from one side, as if the figure bulged: a factor (S, S) around 1."""
    height = cv2.GaussianBlur(coverage, (0, 0), 0.02 * len(coverage))
    angle = rng.uniform(0, math.pi)
    slope = math.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + math.sin(angle) * cv2.Sobel(
        height, cv2.CV_32F, 0, 1
    )
    lit: NDArray[np.float32] = np.clip(1 + 0.6 * slope, 0.6, 1.3).astype(np.float32)
    return lit


def main() -> None:
    """Draw the set that the command line describes."""
    parser = argparse.ArgumentParser(description="Draw four classes of footballers, with boxes and masks.")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--per-class", type=int, default=300, help="images of each class (default: %(default)s)")
    parser.add_argument("--size", type=int, default=176, help="pixels a side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other images (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        draw_footballers(**vars(arguments))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
