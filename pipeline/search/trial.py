"""A trial of a search: its drawn values, the head and settings that follow from them, its file and its training.

A trial's file is written when the trial is drawn, and again with its score. It holds a key of everything that
determines the trial. If settings, images, weights or ranges changed, the trial is drawn and trained anew.

    python -m pipeline.search.trial search/trials/NAME.json

trains a trial, or goes on with its training, and scores it on the validation images.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from acol.errors import InputError
from acol.files import atomic_write
from acol.head import Head
from acol.recipe import Recipe
from pipeline import cli
from pipeline.params import Params, Search, load_params
from pipeline.places import CACHE, RUNS, read_json
from pipeline.train import Job, digest, fit, job_of

TRIALS = Path("search/trials")
_DIGITS = 3  # of a delta, so that the name of the head is short


@dataclass(frozen=True)
class Trial:
    """A recipe, the trial's number, and the drawn values: delta_1..., lr, classifier_lr, weight_decay, epochs.

    `scores` are those of validation at the epoch that was kept. They and `seconds` are None until the trial is trained.
    """

    recipe: str
    number: int
    values: dict[str, float]
    key: str = ""
    scores: dict[str, float] | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """The name of the trial and of its file."""
        return name_of(self.recipe, self.number)

    @property
    def file(self) -> Path:
        """The trial's file."""
        return TRIALS / f"{self.name}.json"

    @property
    def head(self) -> Head:
        """The recipe with its drawn deltas."""
        deltas = [self.values[name] for name in sorted(self.values) if name.startswith("delta_")]
        return head_with_deltas(self.recipe, deltas)

    def score(self, search: Search) -> float:
        """Return the score by which trials are chosen; a trial that is not trained has the lowest."""
        return self.scores[search.metric] if self.scores is not None else -1.0

    def settings(self, params: Params, search: Search) -> Params:
        """Return the settings of the trial's training."""
        drawn: dict[str, Any] = {name: value for name, value in self.values.items() if not name.startswith("delta_")}
        drawn["best_by"] = "localization" if search.metric == "max_box_acc_v2" else "accuracy"
        return replace(params, train=replace(params.train, **drawn))

    def job(self, params: Params, search: Search, seed: int | None = None) -> Job:
        """Return the trial's training, with its own seed or another."""
        backbone, settings = search.backbone or params.grid.backbones[0], self.settings(params, search)
        return job_of(settings, settings.cell(backbone, str(replace(self.head, seed=seed))))

    def key_now(self, params: Params, search: Search) -> str:
        """Return a digest of what determines the trial: its training, and the ranges and the sampler of its draw.

        The machine does not count, as for the cells of the grid, so that a search can go on elsewhere.
        """
        space = {name: repr(each) for name, each in distributions(search, self.recipe).items()}
        drawn_by = [space, search.sampler, _seed(search, self.recipe, self.number)]
        return digest([self.job(params, search).content(), params.train.device, params.train.precision, drawn_by])

    def write(self) -> None:
        """Write the trial's file, atomically."""
        with atomic_write(self.file) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def name_of(recipe: str, number: int) -> str:
    """Return the name of a trial."""
    return f"{recipe}-{number:03d}"


def read_trial(file: Path) -> Trial:
    """Read a trial's file. Raises `InputError` if it holds no trial."""
    try:
        return Trial(**read_json(file))
    except TypeError:
        raise InputError(f"{file}: is not a trial; remove it") from None


def read_trials(params: Params, search: Search) -> list[Trial]:
    """Return the trials that this search has drawn before, in the order of recipes and numbers.

    Raises `InputError` for a damaged file.
    """
    files = [TRIALS / f"{name_of(recipe, n)}.json" for recipe in search.recipes for n in range(search.trials)]
    trials = [read_trial(file) for file in files if file.exists()]
    return [trial for trial in trials if trial.key == trial.key_now(params, search)]


def head_with_deltas(recipe: str, deltas: list[float]) -> Head:
    """Return the head of a recipe without deltas, such as "pn" or "pp-conv3", with the given deltas."""
    letters, *words = recipe.split("-")
    head = Head.parse("-".join(["p", *words]))
    return Head(Recipe(letters, tuple(deltas)), head.classifier, head.method)


def draw_trial(search: Search, recipe: str, number: int, trained: Iterable[Trial] = ()) -> Trial:
    """Draw trial `number` of a recipe, without its key. The sampler "tpe" learns from the trials `trained`.

    The draw depends only on the seed, the recipe, the number and, with "tpe", on `trained`. So a search that goes on
    after an interruption draws the same values.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    sampler = samplers[search.sampler](seed=_seed(search, recipe, number))
    space = distributions(search, recipe)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trained:
        study.add_trial(optuna.trial.create_trial(params=trial.values, distributions=space, value=trial.score(search)))
    drawn = study.ask(space).params
    rounded = {name: round(value, _DIGITS) for name, value in drawn.items() if name.startswith("delta_")}
    return Trial(recipe, number, drawn | rounded)


def _seed(search: Search, recipe: str, number: int) -> int:
    return (search.seed * 1000 + search.recipes.index(recipe)) * 10_000 + number


def distributions(search: Search, recipe: str) -> dict[str, Any]:
    """Return Optuna's distributions: the same ranges for every recipe; a delta for each erasing step."""
    steps = len(re.match("[pn]*", recipe)[0]) - 1  # type: ignore[index]
    deltas = {f"delta_{step}": (*search.delta, {"step": 10**-_DIGITS}) for step in range(1, steps + 1)}
    rates = {name: (*getattr(search, name), {"log": True}) for name in ("lr", "classifier_lr", "weight_decay")}
    ranges: dict[str, Any] = {
        name: optuna.distributions.FloatDistribution(low, high, **kind)
        for name, (low, high, kind) in (deltas | rates).items()
    }
    fewest, most = search.epochs
    return ranges | {"epochs": optuna.distributions.IntDistribution(fewest, most)}


def train(params: Params, search: Search, trial: Trial) -> Trial:
    """Train a trial, and return it with its scores of validation at the epoch that was kept."""
    job = replace(trial.job(params, search), cell=f"search-{trial.name}")
    with tempfile.TemporaryDirectory(prefix="acol-") as name:
        folder, timing = Path(name) / "model", Path(name) / "timing.csv"
        fit(job, folder, timing, RUNS, CACHE)
        summary, history = read_json(folder / "summary.json"), pd.read_csv(folder / "history.csv")
        seconds = float(pd.read_csv(timing)["seconds"].sum())
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
