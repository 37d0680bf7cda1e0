"""What is drawn for a trial, and the head and settings that it means."""

import re
from dataclasses import dataclass, replace
from typing import Any

import optuna

from acol.head import Head
from acol.recipe import Recipe
from pipeline.params import Params, Search
from pipeline.train import Job, digest, job_of

_DIGITS = 3  # of a delta, so that a head has a short name


@dataclass(frozen=True)
class Draw:
    """A trial's recipe and number, and the values drawn for it: delta_1..., lr, classifier_lr, weight_decay, epochs."""

    recipe: str
    number: int
    values: dict[str, float]

    @property
    def name(self) -> str:
        """The trial's name, also its file's."""
        return f"{self.recipe}-{self.number:03d}"

    @property
    def head(self) -> Head:
        """The recipe with its drawn deltas."""
        return head_of(self.recipe, [self.values[name] for name in sorted(self.values) if name.startswith("delta_")])

    def params(self, params: Params, search: Search) -> Params:
        """Return the settings of the trial's training."""
        drawn: dict[str, Any] = {name: value for name, value in self.values.items() if not name.startswith("delta_")}
        drawn["best_by"] = "localization" if search.metric == "max_box_acc_v2" else "accuracy"
        return replace(params, train=replace(params.train, **drawn))

    def job(self, params: Params, search: Search, seed: int | None = None) -> Job:
        """Return the trial's training, with its own seed or another."""
        backbone = search.backbone or params.grid.backbones[0]
        settings = self.params(params, search)
        return job_of(settings, settings.cell(backbone, str(replace(self.head, seed=seed))))

    def key(self, params: Params, search: Search) -> str:
        """Return a digest of all that determines the trial: its training, and the ranges and sampler that drew it.

        The machine is not among it, as for the cells of the grid: a search may go on elsewhere.
        """
        space = {name: repr(each) for name, each in distributions(search, self.recipe).items()}
        drawn_by = [space, search.sampler, _seed(search, self.recipe, self.number)]
        return digest([self.job(params, search).content(), params.train.device, params.train.precision, drawn_by])


def head_of(recipe: str, deltas: list[float]) -> Head:
    """Return the head of a recipe without deltas, such as "pn" or "pp-conv3", with these."""
    letters, *words = recipe.split("-")
    head = Head.parse("-".join(["p", *words]))
    return Head(Recipe(letters, tuple(deltas)), head.classifier, head.method)


def draw(search: Search, recipe: str, number: int, told: list[tuple[dict[str, float], float]]) -> Draw:
    """Draw trial `number` of a recipe. `told` are the values and scores of the finished ones, which "tpe" learns from.

    The draw depends on the seed, the recipe, the number and, with "tpe", on `told`: a search that goes on after a stop
    draws what it would have drawn.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = _seed(search, recipe, number)
    sampler: Any = optuna.samplers.RandomSampler(seed=seed)
    if search.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed)
    space = distributions(search, recipe)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for values, score in told:
        study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=score))
    drawn = study.ask(space).params
    rounded = {name: round(value, _DIGITS) for name, value in drawn.items() if name.startswith("delta_")}
    return Draw(recipe, number, drawn | rounded)


def _seed(search: Search, recipe: str, number: int) -> int:
    return (search.seed * 1000 + search.recipes.index(recipe)) * 10_000 + number


def distributions(search: Search, recipe: str) -> dict[str, Any]:
    """Return Optuna's distributions: the same ranges for every recipe; a delta for each erasing step."""
    steps = len(re.match("[pn]*", recipe)[0]) - 1  # type: ignore[index]
    found: dict[str, Any] = {}
    for step in range(1, steps + 1):
        low, high = search.delta
        found[f"delta_{step}"] = optuna.distributions.FloatDistribution(low, high, step=10**-_DIGITS)
    for name in ("lr", "classifier_lr", "weight_decay"):
        low, high = getattr(search, name)
        found[name] = optuna.distributions.FloatDistribution(low, high, log=True)
    least, most = search.epochs
    found["epochs"] = optuna.distributions.IntDistribution(least, most)
    return found
