"""Search the delta and the training's settings, with the same number of draws for each recipe.

    python -m pipeline.search [--jobs N] [--without-test]

reads the section `search` of params.yaml. It needs the images and weights: `make search` runs `dvc repro split
pretrained` first. Each draw is trained by the pipeline's own code and scored on the validation images; the best of each
recipe is trained anew with several seeds and scored on the test images. Everything is kept under search/: a file for
each trial, trials.csv, search.png and README.md. After a stop the same command goes on. MLflow shows a run for each
trial, in the experiment of params.yaml with "-search" behind its name.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.training.resume import RunState
from pipeline import cli
from pipeline.params import Params, Search, load_params
from pipeline.places import CHOICE, LABELS
from pipeline.search import run_trials, summary_page
from pipeline.search.final import Final, best_of, train_anew
from pipeline.search.trial import Trial
from pipeline.tracking.store import StoreError, failures, log_in_batches, open_store

SHOWN_TAG = "trial"  # a digest of the trial's file: a run that has it shows that trial


def search_of(params: Params) -> Search:
    """Return the section search. Raises `InputError` if there is none, or it asks for what the data do not have."""
    if params.search is None:
        raise InputError("params.yaml: has no section search; add one as docs/search.md shows")
    if not LABELS.exists():
        raise InputError(f"{LABELS}: missing; run `dvc repro split pretrained` first")
    validation = read_manifest(CHOICE / "localization.json", params.data.root).images
    if params.search.metric == "max_box_acc_v2" and not (validation and all(image.boxes for image in validation)):
        raise InputError("search.metric max_box_acc_v2 needs boxes of all validation images; add them, or use accuracy")
    return params.search


def show(trials: Sequence[Trial], root: Path, experiment: str) -> None:
    """Make a finished run in MLflow for each trial that has none. Raises `StoreError` if it cannot be reached."""
    store = open_store(root, experiment)
    client = store.client
    with failures(store.uri):
        from mlflow.entities import Metric

        shown = {run.data.tags.get(SHOWN_TAG) for run in client.search_runs([store.experiment_id], max_results=50_000)}
        for trial in trials:
            digest = hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()
            if trial.scores is None or digest in shown:
                continue
            run = client.create_run(store.experiment_id, run_name=trial.name)
            values = {"head": str(trial.head), "recipe": trial.recipe, **trial.values}
            metrics = {f"val_{name}": score for name, score in trial.scores.items()} | {"seconds": trial.seconds or 0.0}
            points = [Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()]
            log_in_batches(client, run.info.run_id, values, points)
            # Last, so that a run that was interrupted is made again.
            client.set_tag(run.info.run_id, SHOWN_TAG, digest)
            client.set_terminated(run.info.run_id)


@cli.main
def main() -> None:
    """Search, choose, train anew, and write what was found."""
    parser = argparse.ArgumentParser("python -m pipeline.search", description="Search the settings of each recipe.")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: %(default)s)")
    parser.add_argument("--without-test", action="store_true", help="do not train the chosen anew")
    options = parser.parse_args()
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: give 1 or more")
    params = load_params()
    search = search_of(params)
    with RunState(summary_page.FOLDER).held():  # one search at a time
        trials = run_trials.run(params, search, options.jobs)
        chosen = best_of(trials, search)
        final = Final({}, []) if options.without_test else train_anew(chosen, params, search)
        summary_page.write(trials, chosen, final, search)
    heads = ", ".join(str(trial.head) for trial in chosen)
    print(f"{summary_page.FOLDER}/README.md: {len(trials)} trials; the chosen heads are {heads}")
    try:
        show(trials, Path.cwd(), f"{params.tracking.experiment}-search")
    except StoreError as error:
        print(f"warning: {error}; the files under {summary_page.FOLDER} are complete", file=sys.stderr)


if __name__ == "__main__":
    main()
