"""Train one trial of a search, or go on with its training, and score it on the validation images.

python -m pipeline.search.train search/trials/NAME.json
"""

import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline import cli
from pipeline.params import Params, Search, load_params
from pipeline.places import CACHE, RUNS
from pipeline.results import read_json
from pipeline.search.space import Draw
from pipeline.search.trials import Trial
from pipeline.train import fit, job_of


def train(params: Params, search: Search, trial: Trial) -> Trial:
    """Return the trial with its scores of validation at the epoch that was kept."""
    backbone = search.backbone or params.grid.backbones[0]
    settings = trial.draw.params(params, search)
    cell = settings.cell(backbone, str(trial.draw.head))
    job = replace(job_of(settings, cell), cell=f"search-{trial.draw.name}")
    with tempfile.TemporaryDirectory(prefix="acol-") as name:
        folder = Path(name) / "model"
        fit(job, folder, Path(name) / "timing.csv", RUNS, CACHE)
        summary, history = read_json(folder / "summary.json"), pd.read_csv(folder / "history.csv")
        with (Path(name) / "timing.csv").open() as lines:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(lines))
        kept = history.set_index("epoch").loc[summary["best_epoch"]]
        scores = {"accuracy": float(kept.get("val_balanced_accuracy", kept["val_accuracy"]))}
        if "val_max_box_acc_v2" in kept:
            scores["max_box_acc_v2"] = float(kept["val_max_box_acc_v2"])
    return replace(trial, scores=scores, seconds=round(seconds, 1))


@cli.main
def main() -> None:
    """Train the trial whose file the command line names."""
    params, file = load_params(), Path(sys.argv[1])
    assert params.search is not None  # the search that started this has it
    train(params, params.search, Trial(Draw(**read_json(file)["draw"]))).write()


if __name__ == "__main__":
    main()
