"""Draw and train the trials of a search, each in a process of its own.

    python -m pipeline.search.run_trials search/trials/NAME.json

is such a process: it trains one trial, or goes on with its training, and scores it on the validation images. After a
stop at any moment the same search trains again what was not finished, with the same values and from its saved state,
and nothing else.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pandas as pd

from acol.errors import InputError
from pipeline import cli
from pipeline.params import Params, Search, load_params
from pipeline.places import CACHE, RUNS, read_json
from pipeline.search.trial import Trial, draw, name_of, read_trial, read_trials
from pipeline.train import fit


def run(params: Params, search: Search, jobs: int) -> list[Trial]:
    """Draw and train all trials, `jobs` at a time; those that are finished stay. Returns them in order.

    Raises `InputError` that names the trials that failed, after all others are done.
    """
    known = {trial.name: trial for trial in read_trials(params, search)}
    failed: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[int], Trial] = {}
        # The recipes take turns, so that a search that was stopped has given each as many trials.
        for number in range(search.trials):
            for recipe in search.recipes:
                trial = known.get(name_of(recipe, number))
                if trial is None:
                    done = [one for one in known.values() if one.recipe == recipe and one.scores is not None]
                    trial = draw(search, recipe, number, done)
                    trial = replace(trial, key=trial.key_now(params, search))
                    trial.write()
                known[trial.name] = trial
                if trial.scores is not None:
                    continue
                running[pool.submit(_train_in_process, trial)] = trial
                while len(running) >= jobs:
                    failed += _collect(running, known)
        while running:
            failed += _collect(running, known)
    if failed:
        raise InputError(f"search: {', '.join(failed)} failed: see the messages above; the same command tries again")
    return [known[name_of(recipe, number)] for recipe in search.recipes for number in range(search.trials)]


def _train_in_process(trial: Trial) -> int:
    command = [sys.executable, "-m", "pipeline.search.run_trials", str(trial.file)]
    return subprocess.run(command, check=False).returncode


def _collect(running: dict[Future[int], Trial], known: dict[str, Trial]) -> list[str]:
    """Wait for a trial to end; return the names of those that failed."""
    ended, _ = wait(running, return_when=FIRST_COMPLETED)
    failed = []
    for future in ended:
        trial = running.pop(future)
        if future.result():
            failed.append(trial.name)
        else:
            known[trial.name] = read_trial(trial.file)
            print(f"{trial.name}: {trial.head}, {known[trial.name].scores}", flush=True)
    return failed


def train(params: Params, search: Search, trial: Trial) -> Trial:
    """Return the trial with its scores of validation at the epoch that was kept."""
    job = replace(trial.job(params, search), cell=f"search-{trial.name}")
    with tempfile.TemporaryDirectory(prefix="acol-") as name:
        folder = Path(name) / "model"
        fit(job, folder, Path(name) / "timing.csv", RUNS, CACHE)
        summary, history = read_json(folder / "summary.json"), pd.read_csv(folder / "history.csv")
        seconds = float(pd.read_csv(Path(name) / "timing.csv")["seconds"].sum())
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
    if trial.key != trial.key_now(params, params.search):
        raise InputError(f"{file}: params.yaml, the images or the code changed after it was drawn; search again")
    train(params, params.search, trial).write()


if __name__ == "__main__":
    main()
