"""One experiment: run in a clone of the project, and reduced to the numbers and pictures of the page."""

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.files import atomic_write
from benchmarks.evidence.claims import judge
from benchmarks.evidence.pictures import draw_curves
from pipeline import compare
from pipeline.params import load_params
from pipeline.pictures import choose_sample, photograph
from pipeline.places import MANIFEST, timing
from pipeline.report.baselines import CENTRED_BOX, baselines_of
from pipeline.report.cells import Loaded
from pipeline.report.grid_comparison import compare_grid
from pipeline.tracking.store import store_uri

EXPERIMENTS = Path("experiments/evidence")
CLONES = Path(".acol/evidence")
PICTURES = Path("docs/images")
METRICS = ("accuracy_top1", "gt_known_loc", "max_box_acc_v2", "pxap")


def run(name: str) -> None:
    """Bring the experiment's clone to this project's commit, and rebuild there what is not up to date.

    Raises `InputError` if git or DVC fails.
    """
    clone = CLONES / name
    if not clone.exists():
        _git("clone", "--quiet", "--no-checkout", ".", str(clone))
    _git("-C", str(clone), "fetch", "--quiet", "origin")
    _git("-C", str(clone), "checkout", "--quiet", "--force", "--detach", _git("rev-parse", "HEAD"))
    yaml = YAML()
    content = yaml.load((EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    if not content["data"]["path"].startswith("examples/"):  # relative to this folder, not to the clone
        content["data"]["path"] = str(Path(content["data"]["path"]).resolve())
    with (clone / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store_uri(Path.cwd()), "PYTHONPATH": str(clone.resolve())}
    if subprocess.run([sys.executable, "-m", "pipeline.repro"], cwd=clone, env=environment, check=False).returncode:
        raise InputError(f"{clone}: dvc repro failed, as said above; the same command goes on from there")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {done.stderr.strip()}; run this in a clone of the project")
    return done.stdout.strip()


def collect(name: str) -> None:
    """Write the experiment's numbers to experiments/evidence/NAME.json, and draw its pictures."""
    pictures = PICTURES.resolve()
    with contextlib.chdir(CLONES / name):
        params = load_params()
        manifest = read_manifest(MANIFEST, params.data.root)
        tests = manifest.of("test")
        grid = compare_grid(params, manifest)
        baselines = {one.key: one.scores for one in baselines_of(manifest, {})}
        box = baselines[CENTRED_BOX]["max_box_acc_v2"] if CENTRED_BOX in baselines else None
        heads: dict[str, list[Loaded]] = {}
        for cell in grid.cells:
            heads.setdefault(cell.cell.group.partition("-")[2], []).append(cell)
        first = [cells[0] for cells in heads.values()]
        sample = choose_sample([(image.path, image.label) for image in tests], 4, params.cams.seed)
        by_path = {image.path: image for image in tests}
        if params.data.path.startswith("examples/"):  # photographs are not ours to publish
            gallery = pictures / f"evidence-{name}-maps.png"
            compare.draw_gallery(gallery, first, [photograph(by_path[path], manifest) for path in sample])
        draw_curves(pictures / f"evidence-{name}-losses.png", heads)
        content = {
            "commit": _git("rev-parse", "HEAD"),
            "processor": _processor(),
            "torch": _version(),
            "training_hours": _hours(grid.cells),
            "images": {split: len(manifest.of(split)) for split in ("train", "val", "test")},
            "classes": len(manifest.classes),
            "missing": list(grid.missing),
            "baselines": grid.baselines,
            "heads": {head: _head(cells) for head, cells in heads.items()},
            "claims": [asdict(claim) for claim in judge(grid.cells, box)],
        }
    with atomic_write(EXPERIMENTS / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _head(cells: Sequence[Loaded]) -> dict[str, Any]:
    """The means over seeds of a head's scores, and of its losses by epoch."""
    scores = {
        metric: [cell.metrics[metric] for cell in cells]
        for metric in METRICS
        if all(metric in cell.metrics for cell in cells)
    }
    losses = {
        column: np.mean([cell.curve.history[column] for cell in cells], axis=0).round(5).tolist()
        for column in ("train_loss", "val_loss", "val_accuracy")
    }
    return {"seeds": [cell.cell.seed for cell in cells], "scores": scores, "seconds": _seconds(cells), **losses}


def _seconds(cells: Sequence[Loaded]) -> float:
    """Seconds of one training, as the mean over seeds."""
    return float(np.mean([pd.read_csv(timing(cell.cell.name))["seconds"].sum() for cell in cells]).round(1))


def _hours(cells: Sequence[Loaded]) -> float:
    return round(sum(pd.read_csv(timing(cell.cell.name))["seconds"].sum() for cell in cells) / 3600, 2)


def _processor() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else [])
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.processor()}"


def _version() -> str:
    import torch

    return torch.__version__
