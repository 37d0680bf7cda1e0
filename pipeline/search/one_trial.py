"""Train one trial of a search, or go on with its training, and score it on the validation images.

python -m pipeline.search.one_trial search/trials/NAME.json
"""

import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from acol.errors import InputError
from pipeline import cli
from pipeline.params import Params, Search, load_params
from pipeline.places import CACHE, RUNS, read_json
from pipeline.search.trials import Trial, read_trial
from pipeline.train import fit


def train(params: Params, search: Search, trial: Trial) -> Trial:
    """Return the trial with its scores of validation at the epoch that was kept."""
    job = replace(trial.draw.job(params, search), cell=f"search-{trial.draw.name}")
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
    trial = read_trial(file)
    if trial.key != trial.draw.key(params, params.search):
        raise InputError(f"{file}: params.yaml, the images or the code changed after it was drawn; search again")
    train(params, params.search, trial).write()


if __name__ == "__main__":
    main()
