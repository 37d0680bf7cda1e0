"""The card of a model: what it is, what it was trained on, how well it does and where it fails, with its hashes.

The gate puts it beside the model as card.json, and its Markdown into the version's description.
"""

import hashlib
import json
import tempfile
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
from pipeline.counts import counted
from pipeline.places import MANIFEST, read_json
from pipeline.report.metrics import HEADLINE, about
from pipeline.report.templates import markdown_table, plain
from pipeline.results import read_images, right_boxes
from pipeline.tracking.record import Record, read_record
from pipeline.tracking.registry import SCHEME, card_in, download, pinned
from pipeline.tracking.runs import commit_of

_LENGTH = 5000  # characters of a description that MLflow keeps
_WORST, _NAMED = 3, 20  # classes that are named as the worst, and that are named at all
_SIZES = {"below 10 % of the image": 0.1, "10 to 30 %": 0.3, "above 30 %": 1.0}  # of an image's largest true box


def card_of(root: Path, record: Record) -> dict[str, Any]:
    """Return the card of a cell of the project in `root`, from its files."""
    results = root / "results" / record.cell
    details, images = read_json(results / "details.json"), read_images(results / "images.csv")
    manifest = read_json(root / MANIFEST)["images"] if (root / MANIFEST).is_file() else []
    table = root / "report" / "table.json"
    baselines = read_json(table).get("baseline", {}) if table.is_file() else {}
    summary, how = record.summary, record.evaluated
    # Of how many images a score is: boxes need a true box, and pixels a true mask.
    numbers = {"accuracy_top1": len(images), "pxap": details.get("annotated", {}).get("masks")}
    boxed = int(images["iou"].notna().sum())
    scores = {
        name: {
            "value": record.metrics[name],
            "interval": details.get("intervals", {}).get(name),
            "images": numbers.get(name, boxed),
        }
        for name in HEADLINE
        if name in record.metrics
    }
    card = {
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
        "evaluated": {**how, "calibration": asdict(how["calibration"])},
        "scores": scores,
        "baselines": {title: {n: row[n] for n in scores if n in row} for title, row in baselines.items()},
        "worst_classes": _worst_classes(images),
        "sizes": _sizes(images, manifest),
        "test_counts": _counts(images),
    }
    return card | {"digest": digest_of(card)}


def card_for(model: str, root: Path) -> dict[str, Any] | None:
    """Return the card of a registered model, or of a checkpoint with its results beside it; None if it has none."""
    try:
        if model.startswith(SCHEME):
            with tempfile.TemporaryDirectory(prefix="acol-") as folder:
                return card_in(download(model, root, folder), model)
        cell = Path(pinned(model, root)).absolute().parent  # models/CELL
        record = read_record(cell.parent.parent, cell.name)
        return None if record is None else card_of(cell.parent.parent, record)
    except InputError:
        return None


def of_export(card: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return a model's card for a file that it was exported to."""
    said = {**card, "export": {"file": file.name, "sha256": sha256(file)}}
    return said | {"digest": digest_of(said)}


def digest_of(card: Mapping[str, Any]) -> str:
    """Return a digest of all that a card says."""
    said = {name: value for name, value in card.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _worst_classes(images: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for label, group in images.groupby("label"):
        shares = {"accuracy": _share(group["correct"] == 1)}
        if (boxed := right_boxes(group)).size:
            shares["located"] = _share(boxed)
        rows.append({"class": str(label), **shares})
    return sorted(rows, key=lambda row: min(row[of]["value"] for of in ("accuracy", "located") if of in row))[:_WORST]


def _sizes(images: pd.DataFrame, manifest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often the box is right, by the size of the largest object."""
    largest = {
        image["path"]: max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in image["boxes"])
        / image["width"]
        / image["height"]
        for image in manifest
        if image.get("boxes")
    }
    share, rows, low = images["path"].map(largest), [], 0.0
    for size, high in _SIZES.items():
        boxed = right_boxes(images[(share > low) & (share <= high)])
        rows += [{"size": size, "located": _share(boxed)}] if len(boxed) else []
        low = high
    return rows


def _share(right: pd.Series) -> dict[str, Any]:
    found = wilson(float(right.mean()), len(right))
    return {"value": found.value, "interval": [found.low, found.high], "images": len(right)}


def _counts(images: pd.DataFrame) -> dict[str, int]:
    """What the model predicted on the test images, to be compared with what it predicts later."""
    if not {"predicted", "probability", "above_tau"} <= {*images.columns}:
        return {}
    return dict(counted(images[["predicted", "probability", "above_tau"]].itertuples(index=False, name=None)))


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card for people, as long as MLflow keeps it."""
    data, how, weights, code = card["data"], card["evaluated"], card["weights"], card["code"]
    names = [plain(name) for name in data["classes"]]
    classes = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    counts = ", ".join(f"{count} {split}" for split, count in data["images"].items())
    parts = [
        f"# {plain(card['cell'])}\n",
        f"Data: {counts or 'unknown'} images of {len(names)} classes ({classes}); labelled by {data['labelled_by']}.\n",
        f"Pretrained weights: {plain(weights['pretrained'])}; licence: {weights['licence']}.\n",
        f"Map {how['map_name']}, box threshold {how['tau']:.3g}; probabilities up to {how['calibration']['most']:.2f}, "
        f"by {how['calibration']['images']} validation images.\n",
        "## Scores on the test images\n",
    ]
    baselines = card["baselines"]
    rows = [
        [about(name).title, *_cells(name, score), *(_number(name, row.get(name)) for row in baselines.values())]
        for name, score in card["scores"].items()
    ]
    parts.append(markdown_table(["Percent", "Value", "Images", *map(plain, baselines)], rows))
    parts.append("In brackets: the 95 % interval.\n\n## Where it fails\n")
    rows = [
        [plain(row["class"]), *_cells("accuracy_top1", row["accuracy"]), _cells("gt_known_loc", row.get("located"))[0]]
        for row in card["worst_classes"]
    ]
    parts.append(markdown_table(["Worst classes", "Accuracy", "Images", "Box right"], rows))
    if card["sizes"]:
        rows = [[row["size"], *_cells("gt_known_loc", row["located"])] for row in card["sizes"]]
        parts.append(markdown_table(["Largest object", "Box right", "Images"], rows))
    parts.append(
        f"## How it was made\n\n`{card['command']}`, acol {code['acol']}, commit {code['commit'] or 'unknown'}.\n\n"
        f"SHA-256 of the weights {weights['sha256']}, of the training data {data['sha256']}, of the test data "
        f"{data['test_sha256']}. Card {card['digest']}.\n"
    )
    return "\n".join(parts)[:_LENGTH]


def _cells(name: str, score: Mapping[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "-", "-"
    text = about(name).text
    interval = " [{}, {}]".format(*map(text, score["interval"])) if score["interval"] else ""
    return text(score["value"]) + interval, str(score["images"] if score["images"] is not None else "-")


def _number(name: str, value: float | None) -> str:
    return "-" if value is None else about(name).text(value)
