"""search: searches the deltas and the settings of training, with the same number of draws for each recipe.

    python -m pipeline.search [--jobs N] [--without-test]

reads the section `search` of params.yaml. It needs the split and the weights: `make search` runs `dvc repro split
pretrained` first. Each draw is trained by the code of the pipeline and scored on the validation images. The best of
each recipe is trained anew with several seeds, and scored on the test images. The folder search/ keeps everything: a
file for each trial, trials.csv, search.png and README.md. After an interruption the same command goes on. MLflow shows
a run for each trial, in the experiment of params.yaml with "-search" after its name.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

from acol.data.manifest import Manifest, read_manifest
from acol.errors import InputError
from acol.files import atomic_folder, sha256
from acol.metrics.scored import Score
from acol.training.resume import RunState
from pipeline import cli
from pipeline.evaluate import Subject, outputs_of, score, write_results
from pipeline.params import Cell, Params, Search, load_params
from pipeline.places import CACHE, CHOICE, LABELS, MANIFEST, RUNS
from pipeline.report.differences import Groups, scores_of
from pipeline.results import read_images, read_iou_curves
from pipeline.search import summary_page
from pipeline.search.trial import Trial, draw_trial, name_of, read_trial, read_trials
from pipeline.tracking.store import StoreError, failures, log_in_batches, open_store
from pipeline.train import Job, code_of, digest, fit

SHOWN_TAG = "trial"  # on a run: the digest of the trial that it shows


def search_of(params: Params) -> Search:
    """Return the section `search`. Raises `InputError` if there is none, or if the data lack what it needs."""
    if params.search is None:
        raise InputError("params.yaml: has no section search; add one as docs/search.md shows")
    if not LABELS.exists():
        raise InputError(f"{LABELS}: missing; run `dvc repro split pretrained` first")
    validation = read_manifest(CHOICE / "localization.json", params.data.root).images
    if params.search.metric == "max_box_acc_v2" and not (validation and all(image.boxes for image in validation)):
        raise InputError("search.metric max_box_acc_v2 needs boxes of all validation images; add them, or use accuracy")
    return params.search


def run_trials(params: Params, search: Search, jobs: int) -> list[Trial]:
    """Draw and train all trials, `jobs` at a time, each in a process of its own. Return them in order.

    After an interruption at any moment the same search goes on with the trials that are not finished, with the same
    values and from their saved states.

    Raises `InputError` that names the trials that failed, after all others are done.
    """
    known = {trial.name: trial for trial in read_trials(params, search)}

    def finish(number: int, recipe: str) -> bool:
        """Draw and train a trial unless that is done; return whether it succeeded."""
        trial = known.get(name_of(recipe, number))
        if trial is None:
            trained = [other for other in [*known.values()] if other.recipe == recipe and other.scores is not None]
            trial = draw_trial(search, recipe, number, sorted(trained, key=lambda other: other.number))
            trial = replace(trial, key=trial.key_now(params, search))
            trial.write()
        if trial.scores is None:
            command = [sys.executable, "-m", "pipeline.search.trial", str(trial.file)]
            if subprocess.run(command, check=False).returncode:
                return False
            trial = read_trial(trial.file)
            scores = ", ".join(f"{name} {value:.3f}" for name, value in (trial.scores or {}).items())
            print(f"{trial.name}: {trial.head}, {scores}", flush=True)
        known[trial.name] = trial
        return True

    # The recipes take turns, so that an interrupted search has given each recipe equally many trials.
    turns = [*product(range(search.trials), search.recipes)]
    with ThreadPoolExecutor(jobs) as pool:
        finished = [*pool.map(finish, *zip(*turns, strict=True))]
    if failed := [name_of(recipe, number) for (number, recipe), ok in zip(turns, finished, strict=True) if not ok]:
        raise InputError(f"search: {', '.join(failed)} failed: see the messages above; the same command tries again")
    return [known[name_of(recipe, number)] for recipe in search.recipes for number in range(search.trials)]


def best_of(trials: Sequence[Trial], search: Search) -> list[Trial]:
    """Return the trial of each recipe with the best score on validation; the first one of a tie."""
    by_recipe = [[trial for trial in trials if trial.recipe == recipe and trial.scores] for recipe in search.recipes]
    return [max(of_recipe, key=lambda trial: trial.score(search)) for of_recipe in by_recipe if of_recipe]


def train_anew(chosen: Sequence[Trial], params: Params, search: Search) -> Groups:
    """Train each chosen trial with `search.seeds` other seeds, and score these trainings on the test images."""
    backbone = search.backbone or params.grid.backbones[0]
    manifest = read_manifest(MANIFEST, params.data.root)
    groups: dict[str, dict[int, Mapping[str, Score]]] = {}
    for trial in chosen:
        for seed in range(params.train.seed + 1, params.train.seed + search.seeds + 1):
            cell = params.cell(backbone, str(replace(trial.head, seed=seed)))
            groups.setdefault(cell.group, {})[seed] = _scores(cell, trial.job(params, search, seed), params, manifest)
    return groups


def _scores(cell: Cell, job: Job, params: Params, manifest: Manifest) -> dict[str, Score]:
    """Train a cell, and return its scores on the test images.

    search/chosen/CELL keeps the training and the scores until something that determines them changes. An unfinished
    training goes on.
    """
    job = replace(job, cell=f"chosen-{cell.name}")
    plain = replace(params.evaluate, faithfulness=0)
    folder = summary_page.FOLDER / "chosen" / cell.name
    key = digest([job.content(), params.train.device, params.train.precision])
    tests = [sha256(MANIFEST), asdict(plain), code_of("data", "localization", "metrics", "network")]

    def evaluate(place: Path) -> None:
        subject = Subject.load(trained / "model" / "best.pt", manifest, CACHE, job.device)
        outputs = outputs_of(subject, plain)
        write_results(score(subject, plain, outputs), outputs["test"], place)

    trained = fill_once(folder / "trained", key, lambda to: fit(job, to / "model", to / "timing.csv", RUNS, CACHE))
    results = fill_once(folder / "results", digest([key, tests]), evaluate)
    images = read_images(results / "images.csv")
    return scores_of(images, read_iou_curves(results / "maps.npz", images))


def fill_once(folder: Path, key: str, make: Callable[[Path], None]) -> Path:
    """Return `folder`. Unless it was filled with the same key before, `make` fills it anew."""
    kept_key = folder / "key"
    if not kept_key.exists() or kept_key.read_text(encoding="utf-8") != key:
        with atomic_folder(folder) as temporary:
            make(temporary)
            (temporary / kept_key.name).write_text(key, encoding="utf-8")
    return folder


def log_trials(trials: Sequence[Trial], root: Path, experiment: str) -> None:
    """Make a finished run for each trial that has none. Raises `StoreError` if MLflow cannot be reached."""
    store = open_store(root, experiment)
    client = store.client
    with failures(store.uri):
        import mlflow
        from mlflow.entities import Metric

        runs = mlflow.search_runs([store.experiment_id], output_format="list")
        tracked = {run.data.tags.get(SHOWN_TAG) for run in runs}
        for trial in trials:
            digest = hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()
            if trial.scores is None or digest in tracked:
                continue
            run = client.create_run(store.experiment_id, run_name=trial.name)
            values = {"head": str(trial.head), "recipe": trial.recipe, **trial.values}
            metrics = {f"val_{name}": score for name, score in trial.scores.items()} | {"seconds": trial.seconds or 0.0}
            points = [Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()]
            log_in_batches(client, run.info.run_id, values, points)
            # The tag comes last, so that a trial whose run was interrupted gets another run.
            client.set_tag(run.info.run_id, SHOWN_TAG, digest)
            client.set_terminated(run.info.run_id)


@cli.main
def main() -> None:
    """Search, choose, train anew, and write the results."""
    parser = cli.parser("pipeline.search", "Search the settings of each recipe.")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: %(default)s)")
    parser.add_argument("--without-test", action="store_true", help="do not train the chosen anew")
    options = parser.parse_args()
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: give 1 or more")
    params = load_params()
    search = search_of(params)
    with RunState(summary_page.FOLDER).locked():  # one search at a time
        trials = run_trials(params, search, options.jobs)
        chosen = best_of(trials, search)
        tested = {} if options.without_test else train_anew(chosen, params, search)
        summary_page.write_summary(trials, chosen, tested, search)
    heads = ", ".join(str(trial.head) for trial in chosen)
    print(f"{summary_page.FOLDER}/README.md: {len(trials)} trials; the chosen heads are {heads}")
    try:
        log_trials(trials, Path.cwd(), f"{params.tracking.experiment}-search")
    except StoreError as error:
        print(f"warning: {error}; the files under {summary_page.FOLDER} are complete", file=sys.stderr)


if __name__ == "__main__":
    main()
