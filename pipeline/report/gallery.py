"""The test photographs of the page, as many as fit, with the answer and the maps of every cell."""

import base64
import io
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from acol.data.images import read_image
from acol.data.manifest import Image, Manifest
from acol.metrics.boxes import half_open_iou
from pipeline import places
from pipeline.pictures import object_mask, prediction
from pipeline.report.cells import Loaded
from pipeline.results import Results, read_results

PHOTO_SIDE = 320  # pixels of the longer side of an embedded photograph
PHOTO_QUALITY = 72  # of WebP: a third smaller than JPEG that looks the same
ROOM = 2_600_000  # bytes for photographs and maps: the page stays below 3 MB
ANSWER = 120  # bytes that a cell's answer to one image takes, about
_NUMBER = 4  # bytes that a coordinate of an outline takes, about


def photographs(
    cells: Sequence[Loaded], hardest: Sequence[Image], manifest: Manifest, wanted: Collection[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return as many images as fit into `ROOM`, hardest first, and for each cell the maps of all these images.

    Images whose paths are `wanted` are taken first. The others are taken evenly from the hardest to the easiest. The
    maps of an image are those of the classifiers, and then the cell's.
    """
    results = [read_results(places.results(cell.cell.name)) for cell in cells]
    shapes = [_layers(of_cell, hardest[0].path).shape for of_cell in results]
    # Take images until the room is full. Each one takes its photograph, its outlines, and all cells' maps and answers.
    maps_and_answers = sum(math.prod(shape) * 4 // 3 + ANSWER for shape in shapes)
    room, chosen = ROOM, dict[int, dict[str, Any]]()
    for place in sorted(spread_evenly(len(hardest)), key=lambda place: hardest[place].path not in wanted):
        image = hardest[place]
        photo, outlines = _photograph(manifest.root / image.path), _outlines(image, manifest)
        room -= len(photo) + sum(map(len, outlines)) * _NUMBER + maps_and_answers
        if room < 0 and chosen:
            break
        chosen[place] = {"photo": photo, "outlines": outlines} | _answers(image, results)
    # The maps of a cell are one text, which page.js cuts by their shape.
    images = [chosen[place] for place in sorted(chosen)]
    layers = [b"".join(_bytes(_layers(of_cell, image["path"])) for image in images) for of_cell in results]
    return images, [{"shape": shape, "bytes": base64_text(maps)} for shape, maps in zip(shapes, layers, strict=True)]


def spread_evenly(count: int) -> Iterable[int]:
    """Return 0 ... count-1 in an order of which any first part is spread evenly: 0, the middle, the quarters, ...

    It is van der Corput's sequence in base 2.
    """
    bits = max(count - 1, 0).bit_length()
    reversed_bits = (int(f"{number:0{bits}b}"[::-1], 2) if bits else 0 for number in range(2**bits))
    return (number for number in reversed_bits if number < count)


def _outlines(image: Image, manifest: Manifest) -> list[list[int]]:
    """Return the outlines of an image's mask as polygons, exact to a pixel of the shown photograph."""
    if not image.masked:
        return []
    mask = object_mask(image, manifest).astype(np.uint8)
    polygons, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    error = max(1.0, max(mask.shape) / PHOTO_SIDE)
    return [cv2.approxPolyDP(polygon, error, closed=True).ravel().tolist() for polygon in polygons]


def _answers(image: Image, results: Sequence[Results]) -> dict[str, Any]:
    answers = [_answer(image, of_cell) for of_cell in results]
    return {
        "path": image.path,
        "label": image.label,
        "size": (image.width, image.height),
        "boxes": image.boxes or (),
        "differ": disagreement([answer["box"] for answer in answers if answer["box"] is not None]),
        "answers": answers,
    }


def _answer(image: Image, results: Results) -> dict[str, Any]:
    answer, size = prediction(results, image.path), results.true_cams[image.path].shape[1:]
    wrong = answer.label != image.label
    return {
        "named": answer.label,
        "probability": rounded(answer.probability),
        "box": answer.box,
        "iou": None if answer.iou is None else rounded(answer.iou),
        "rival": base64_text(_bytes(_resized(results.predicted_maps[image.path], size))) if wrong else None,
    }


def disagreement(boxes: Sequence[Sequence[float]]) -> float:
    """Return how little the cells' boxes of an image overlap, in [0, 1]: the mean of 1 - IoU over all pairs of cells.

    It is 0 for fewer than two boxes.
    """
    if len(boxes) < 2:
        return 0.0
    corners = np.asarray(boxes, dtype=float)
    first, second = (corners[chosen] for chosen in np.triu_indices(len(boxes), k=1))
    return round(float((1 - half_open_iou(first, second)).mean()), 3)


def _photograph(file: Path) -> str:
    picture = read_image(file)
    picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=PHOTO_QUALITY)
    return base64_text(encoded.getvalue())


def _layers(results: Results, path: str) -> npt.NDArray[np.floating]:
    """Return the maps of an image (K + 1, h, w): those of the K classifiers, and then the cell's."""
    cams = results.true_cams[path]
    return np.concatenate([cams, _resized(results.maps[path], cams.shape[1:])[None]])


def _resized(cell_map: npt.NDArray[np.floating], size: tuple[int, ...]) -> npt.NDArray[np.floating]:
    """Return a cell's map, which may be finer, at the size (h, w) of the classifiers' maps."""
    return cv2.resize(cell_map.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)


def _bytes(maps: npt.NDArray[np.floating]) -> bytes:
    return np.rint(np.clip(np.nan_to_num(maps.astype(np.float32)), 0, 1) * 255).astype(np.uint8).tobytes()


def base64_text(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def rounded(value: float, digits: int = 4) -> float | None:
    """Round a number; None if it is not finite."""
    return round(float(value), digits) if math.isfinite(value) else None
