"""The description of a registered version: its cell, the grid's scores, the data, and the weights' licence."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipeline.places import MANIFEST, read_json

_TABLE = Path("report/table.md")
_LENGTH = 5000  # characters that MLflow keeps


def described(root: Path, cell: str, origin: Mapping[str, str]) -> str:
    """Return Markdown on a cell of the project in `root`; `origin` holds params of its run on the weights."""
    parts = [f"The cell **{cell}**."]
    if origin:
        licence = origin.get("pretrained.licence", "unknown")
        parts.append(f"Pretrained weights: {origin.get('pretrained', 'unknown')}; licence: {licence}.")
    if (root / MANIFEST).is_file():
        images = read_json(root / MANIFEST)["images"]
        classes = sorted({image["label"] for image in images})
        splits = Counter(image["split"] for image in images)
        counts = ", ".join(f"{splits[split]} {split}" for split in ("train", "val", "test") if splits[split])
        shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
        parts.append(f"Data: {counts} images of {len(classes)} classes ({shown}).")
    text = "\n\n".join(parts)
    if (root / _TABLE).is_file():  # the scores; the differences are in the report
        scores = (root / _TABLE).read_text(encoding="utf-8").partition("\n## ")[0]
        if len(text) + len(scores) < _LENGTH:
            text += "\n\n" + scores.removeprefix("# Comparison of the cells").strip()
    return text[:_LENGTH]
