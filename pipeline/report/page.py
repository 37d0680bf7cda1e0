"""report/index.html: all that `compare` found as one page that needs nothing else, to be opened from anywhere.

What the page shows travels as JSON within it and is put in place as text by report.js: no name is ever markup.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pandas as pd
from plotly.offline import get_plotlyjs

from acol.data.images import read_image
from acol.data.manifest import Image, Manifest
from acol.figures import panels as viz
from acol.files import atomic_write
from pipeline import places
from pipeline.params import Cell
from pipeline.report.differences import Comparison
from pipeline.report.tables import HEADLINE, UNRANKED, Entry, lower_is_better, metric_names
from pipeline.report.verdict import MEANING, is_percent, leading_metric, sureness, title, verdict
from pipeline.results import Results, read_results

PHOTO_SIDE = 320  # pixels of the longer side of an embedded photograph
PHOTO_QUALITY = 82
ROOM = 4_500_000  # bytes for the gallery: with the plotting library the page stays below 10 MB
ANSWER = 120  # bytes that one cell's answer to one image takes, about


@dataclass(frozen=True)
class Shown:
    """What the page shows of one cell: its row of the table, its training, and its images.csv."""

    cell: Cell
    entry: Entry
    curve: viz.Curve
    images: pd.DataFrame


@dataclass(frozen=True)
class _Answers:
    """One cell's images.csv by path, and its maps."""

    complementary: Sequence[int]
    rows: Mapping[str, Mapping[str, Any]]
    results: Results


def write_page(
    path: Path,
    cells: Sequence[Shown],
    missing: Mapping[str, str],
    best: Mapping[str, Any],
    comparisons: Sequence[Comparison],
    baseline: Mapping[str, float],
    hardest: Sequence[str],
    manifest: Manifest,
) -> None:
    """Write the page; `hardest` are the test images' paths, hardest first, of which it shows as many as have room."""
    tests = {image.path: image for image in manifest.of("test")}
    ordered = [tests[path] for path in hardest]
    images, maps = _gallery(cells, ordered, manifest.root)
    entries = [cell.entry for cell in cells]
    content = {
        "verdict": asdict(verdict(entries, best, comparisons)),
        "best": best["cell"],
        "missing": missing,
        "metrics": [_metric(metric) for metric in metric_names(entries)],
        "baseline": baseline,
        "cells": [_cell(cell) | {"maps": kept} for cell, kept in zip(cells, maps, strict=True)],
        "comparisons": [comparison.row() | {"sureness": sureness(comparison)} for comparison in comparisons],
        "comparedBy": leading_metric(best, comparisons),
        "classes": manifest.classes,
        "tests": len(ordered),
        "images": images,
        "heat": _base64(np.rint(viz.HEAT).astype(np.uint8).tobytes()),
        "opacity": viz.OPACITY,
    }
    with atomic_write(path) as temporary:
        temporary.write_text(render(content), encoding="utf-8")


def render(content: Mapping[str, Any]) -> str:
    """Return the page of what report.js reads. Scripts run by their hash alone: none that a name brings could."""
    folder = Path(__file__)
    scripts = [get_plotlyjs(), folder.with_name("page.js").read_text(encoding="utf-8")]
    template = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(
        folder.with_name("page.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        style=folder.with_name("page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        hashes=[_base64(hashlib.sha256(script.encode()).digest()) for script in scripts],
        content=_json(content),
    )


def _json(content: Any) -> str:
    """JSON that cannot end the script element around it; ASCII, so that any file name can be written."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


# --- the grid ----------------------------------------------------------------------------------------------------


def _metric(metric: str) -> dict[str, Any]:
    return {
        "key": metric,
        "title": title(metric),
        "meaning": MEANING.get(metric),
        "percent": is_percent(metric),
        "better": None if metric in UNRANKED else "lower" if lower_is_better(metric) else "higher",
        "headline": metric in HEADLINE,
    }


def _cell(shown: Shown) -> dict[str, Any]:
    cell, entry, curve = shown.cell, shown.entry, shown.curve
    history = {column: _numbers(curve.history[column]) for column in curve.history.columns}
    return {
        "name": cell.name,
        "backbone": cell.backbone,
        "head": cell.head,
        "letters": cell.recipe.letters,
        "deltas": cell.recipe.deltas,
        "seed": cell.seed,
        "facts": entry.facts,
        "metrics": {name: _short(value, 5) for name, value in entry.metrics.items()},
        "intervals": {name: [_short(low, 5), _short(high, 5)] for name, (low, high) in entry.intervals.items()},
        "erasing": entry.erasing,
        "history": history,
        "bestEpoch": curve.best_epoch,
        "floor": math.log(curve.num_classes - 1) if curve.num_classes > 1 else None,
    }


# --- the gallery -------------------------------------------------------------------------------------------------


def _gallery(
    cells: Sequence[Shown], hardest: Sequence[Image], root: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return as many images as have room, hardest first, and of each cell their maps."""
    answers = [
        _Answers(
            shown.cell.recipe.complementary,
            shown.images.set_index("path").to_dict("index"),
            read_results(places.results(shown.cell.name)),
        )
        for shown in cells
    ]
    shapes = [next(iter(answer.results.true_cams.values())).shape for answer in answers]
    beside = sum(math.prod(shape) * 4 // 3 + ANSWER for shape in shapes)  # what an image takes beside its photograph
    room, photos = ROOM, dict[int, str]()
    for place in spread(len(hardest)):
        photo = _photograph(root / hardest[place].path)
        room -= len(photo) + beside
        if room < 0 and photos:
            break
        photos[place] = photo
    images = [_image(hardest[place], photos[place], answers) for place in sorted(photos)]
    maps = [
        {
            "shape": shape,
            "bytes": _base64(b"".join(_bytes(answer.results.true_cams[image["path"]]) for image in images)),
        }
        for answer, shape in zip(answers, shapes, strict=True)
    ]
    return images, maps


def spread(count: int) -> Iterable[int]:
    """Return 0 ... count-1 in such an order that any beginning of it is spread evenly: 0, the middle, the quarters...

    It is van der Corput's sequence in base 2.
    """
    bits = max(count - 1, 0).bit_length()
    reversed_bits = (int(f"{number:0{bits}b}"[::-1], 2) if bits else 0 for number in range(2**bits))
    return (number for number in reversed_bits if number < count)


def _image(image: Image, photo: str, answers: Sequence[_Answers]) -> dict[str, Any]:
    rows = [_answer(answer, image) for answer in answers]
    return {
        "path": image.path,
        "label": image.label,
        "size": (image.width, image.height),
        "boxes": image.boxes or (),
        "photo": photo,
        "differ": disagreement([row["box"] for row in rows if row["box"] is not None]),
        "answers": rows,
    }


def _answer(answer: _Answers, image: Image) -> dict[str, Any]:
    row = answer.rows[image.path]
    box = [float(row[side]) for side in ("x0", "y0", "x1", "y1")]
    wrong = row["predicted"] != image.label
    rival = answer.results.predicted_cams[image.path][list(answer.complementary)].max(axis=0) if wrong else None
    return {
        "named": row["predicted"],
        "probability": _short(row["probability"]),
        "box": box if all(map(math.isfinite, box)) else None,
        "iou": _short(row["iou"]),
        "rival": None if rival is None else _base64(_bytes(rival)),
    }


def disagreement(boxes: Sequence[Sequence[float]]) -> float:
    """How little the cells' boxes of one image overlap: the mean over pairs of 1 - IoU, in [0, 1]; 0 for one cell."""
    if len(boxes) < 2:
        return 0.0
    corners = np.asarray(boxes, dtype=float)
    first, second = (corners[chosen] for chosen in np.triu_indices(len(boxes), k=1))
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = [(pair[:, 2:] - pair[:, :2]).prod(axis=1) for pair in (first, second)]
    return round(float((1 - shared / (areas[0] + areas[1] - shared)).mean()), 3)


def _photograph(file: Path) -> str:
    picture = read_image(file)
    picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=PHOTO_QUALITY)
    return _base64(encoded.getvalue())


def _bytes(maps: npt.NDArray[np.floating]) -> bytes:
    return np.rint(np.clip(np.nan_to_num(maps.astype(np.float32)), 0, 1) * 255).astype(np.uint8).tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_short(value, 5) for value in values]


def _short(value: float, digits: int = 4) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
