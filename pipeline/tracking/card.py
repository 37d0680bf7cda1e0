"""The card of a model: what it is, what it was trained on, how well it does and where it fails, with its hashes.

The gate puts it beside the model as card.json, and its Markdown into the version's description.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from acol.data.manifest import SPLITS
from acol.errors import InputError
from acol.files import sha256
from acol.metrics.intervals import wilson
from pipeline import places
from pipeline.counts import count_predictions
from pipeline.places import MANIFEST, read_json
from pipeline.report.metrics import HEADLINE, about
from pipeline.report.templates import render
from pipeline.results import read_images, right_boxes
from pipeline.tracking.record import Record, read_record
from pipeline.tracking.registry import SCHEME, download, pin, read_card
from pipeline.tracking.runs import commit_of

_LENGTH = 5000  # characters of a description that MLflow keeps
_WORST = 3  # classes that are named as the worst
# Sizes of an image's largest true box, and the shares of the image between which each lies.
_SIZES, _LIMITS = ("below 10 % of the image", "10 to 30 %", "above 30 %"), (0, 0.1, 0.3, 1)


def make_card(root: Path, record: Record) -> dict[str, Any]:
    """Return the card of a cell of the project in `root`, from the cell's files."""
    # What the stages wrote about the cell, and the comparison about the baselines.
    results = root / places.results(record.cell)
    details, images = read_json(results / "details.json"), read_images(results / "images.csv")
    manifest = read_json(root / MANIFEST)["images"] if (root / MANIFEST).is_file() else []
    table = root / "report" / "table.json"
    baselines = read_json(table).get("baseline", {}) if table.is_file() else {}
    summary, evaluated = record.summary, record.evaluated
    # A score is of the images that have the truth for it: a class, a true mask, or else a true box.
    image_counts = {"accuracy_top1": len(images), "pxap": details.get("annotated", {}).get("masks")}
    boxed = int(images["iou"].notna().sum())
    scores = {
        name: {
            "value": record.metrics[name],
            "interval": details.get("intervals", {}).get(name),
            "images": image_counts.get(name, boxed),
        }
        for name in HEADLINE
        if name in record.metrics
    }
    return with_digest(
        {
            "cell": record.cell,
            "command": f"python -m pipeline.train {summary['backbone']} {summary['head']}",
            "code": {"acol": version("acol"), "commit": commit_of(root)},
            "weights": {
                "sha256": sha256(record.checkpoint),
                "pretrained": record.params.get("pretrained", "unknown"),
                "licence": record.params.get("pretrained.licence", "unknown"),
            },
            "data": {
                "images": {split: count for split in SPLITS if (count := sum(i["split"] == split for i in manifest))},
                "classes": Counter(image["label"] for image in manifest),
                "labelled_by": "unknown",
                "sha256": summary.get("data_sha256"),
                "test_sha256": record.test_sha256,
            },
            "evaluated": {**evaluated, "calibration": asdict(evaluated["calibration"])},
            "scores": scores,
            "baselines": {title: {n: row[n] for n in scores if n in row} for title, row in baselines.items()},
            "worst_classes": _worst_classes(images),
            "sizes": _by_size(images, manifest),
            "test_counts": _test_counts(images),
        }
    )


def find_card(model: str, root: Path) -> dict[str, Any] | None:
    """Return the card of a registered model, or of a checkpoint with its results beside it; None if it has none."""
    try:
        if model.startswith(SCHEME):
            with download(model, root) as files:
                return read_card(files, model)
        cell = Path(pin(model, root)).absolute().parent  # models/CELL
        record = read_record(cell.parent.parent, cell.name)
        return None if record is None else make_card(cell.parent.parent, record)
    except InputError:
        return None


def card_of_export(card: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the card of the file to which a model with the given card was exported."""
    return with_digest({**card, "export": {"file": file.name, "sha256": sha256(file)}})


def with_digest(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card with the digest of all its other content."""
    content = {name: value for name, value in card.items() if name != "digest"}
    return content | {"digest": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def card_markdown(card: Mapping[str, Any]) -> str:
    """Return the card for people, cut to the length that MLflow keeps."""
    return render(Path(__file__).with_name("card.md.jinja"), about=about, **card)[:_LENGTH]


def _worst_classes(images: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the classes whose accuracy or share of right boxes is the lowest, from the rows of images.csv."""
    classes = []
    for label, of_class in images.groupby("label"):
        shares = {"accuracy": _share(of_class["correct"] == 1)}
        if (boxed := right_boxes(of_class)).size:
            shares["located"] = _share(boxed)
        classes.append((min(share["value"] for share in shares.values()), {"class": str(label), **shares}))
    return [row for _, row in sorted(classes, key=lambda pair: pair[0])[:_WORST]]


def _by_size(images: pd.DataFrame, manifest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how often the box is right, by the size of an image's largest object."""
    largest = {
        image["path"]: max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in image["boxes"])
        / image["width"]
        / image["height"]
        for image in manifest
        if image.get("boxes")
    }
    sizes = pd.cut(images["path"].map(largest).astype(float), _LIMITS, labels=_SIZES)
    groups = images.groupby(sizes, observed=True)
    return [{"size": size, "located": _share(boxed)} for size, group in groups if len(boxed := right_boxes(group))]


def _share(right: pd.Series) -> dict[str, Any]:
    """Return the share of rows that are true, with Wilson's interval and the number of rows."""
    share = wilson(float(right.mean()), len(right))
    return {"value": share.value, "interval": [share.low, share.high], "images": len(right)}


def _test_counts(images: pd.DataFrame) -> dict[str, int]:
    """Return the counts of what the model predicted on the test images; `drift` compares later ones with them."""
    if not {"predicted", "probability", "above_tau"} <= {*images.columns}:
        return {}
    return dict(count_predictions(images[["predicted", "probability", "above_tau"]].itertuples(index=False, name=None)))
